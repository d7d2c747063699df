"""Decisions in the operator state: judged one after the other, withdrawn and never lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier

import pytest

from identity.decisions import LINK, REFUSE, WALL
from identity.tables import DECISIONS
from orchestration.decision_records import Decision, Identifier
from orchestration.errors import DecisionError
from orchestration.state import State, utc_now


def names(text: str) -> tuple[Identifier, ...]:
    return tuple(("email", f"{letter}@shop.example") for letter in text)


def link(text: str) -> Decision:
    return Decision(LINK, "link", (names(text),))


def wall(one: str, other: str) -> Decision:
    return Decision(WALL, "forbid", (names(one), names(other)))


def add(state: State, decision: Decision) -> int:
    recorded, is_new = state.decisions.add(decision, note="seen in the shop", made_by="anna", now=utc_now())
    return recorded.seq if is_new else -recorded.seq


def test_decisions_are_numbered_kept_and_read_back_as_the_engine_takes_them(state: State) -> None:
    assert state.decisions.table() == DECISIONS.empty_table()
    assert [add(state, decision) for decision in (link("ab"), wall("a", "cd"))] == [1, 2]
    [first, second] = state.decisions.list()
    assert (first.decision, first.note, first.made_by, first.is_in_force) == (
        link("ab"),
        "seen in the shop",
        "anna",
        True,
    )
    assert isinstance(second.made_at, datetime)
    assert state.decisions.table().to_pylist() == [
        {"decision_seq": seq, "action": action, "side": side, "identifier_type": "email", "identifier_value": value}
        for seq, action, side, value in [
            (1, "link", 0, "a@shop.example"),
            (1, "link", 0, "b@shop.example"),
            (2, "wall", 0, "a@shop.example"),
            (2, "wall", 1, "c@shop.example"),
            (2, "wall", 1, "d@shop.example"),
        ]
    ]


def test_a_contradicting_decision_is_refused_by_the_other_ones_number_and_names_nobody(state: State) -> None:
    add(state, wall("a", "c"))
    add(state, link("ab"))
    with pytest.raises(DecisionError) as refusal:
        add(state, link("bc"))
    assert "decision 1 (weft forbid, " in str(refusal.value)
    assert "withdraw 1" in str(refusal.value)
    assert "shop.example" not in str(refusal.value)
    add(state, link("cd"))
    with pytest.raises(DecisionError, match=r"decision 2 \(weft link.*made one person"):
        add(state, wall("a", "b"))
    with pytest.raises(DecisionError, match="apart from itself"):
        add(state, wall("ax", "ya"))
    assert [record.seq for record in state.decisions.list()] == [1, 2, 3]


def test_what_is_withdrawn_counts_no_more_and_stays_in_the_list(state: State) -> None:
    add(state, wall("a", "b"))
    state.decisions.withdraw(1, by="otto", now=utc_now())
    assert add(state, link("ab")) == 2
    assert [record.seq for record in state.decisions.list()] == [2]
    [first, _] = state.decisions.list(with_withdrawn=True)
    assert (first.is_in_force, first.withdrawn_by) == (False, "otto")
    with pytest.raises(DecisionError, match="withdrawn on"):
        state.decisions.withdraw(1, by="otto", now=utc_now())
    with pytest.raises(DecisionError, match="There is no decision 7"):
        state.decisions.withdraw(7, by="otto", now=utc_now())


def test_the_same_decision_again_is_the_one_in_force(state: State) -> None:
    assert add(state, wall("ab", "cd")) == 1
    assert add(state, wall("dc", "bbaa")) == -1
    state.decisions.withdraw(1, by="anna", now=utc_now())
    assert add(state, wall("ab", "cd")) == 2


def test_a_refused_review_is_found_by_its_id_until_the_refusal_is_withdrawn(state: State) -> None:
    add(state, Decision(REFUSE, "review refuse", (names("abcd"),), review_id="r1"))
    found = state.decisions.of_review("r1")
    assert found is not None
    assert found.seq == 1
    with pytest.raises(DecisionError, match=r"the review that decision 1 \(weft review refuse"):
        add(state, Decision(LINK, "review approve", (names("abcd"),), review_id="r1"))
    state.decisions.withdraw(1, by="anna", now=utc_now())
    assert state.decisions.of_review("r1") is None


def test_of_contradicting_decisions_made_at_once_one_comes_into_force(url: str) -> None:
    states = [State(url) for _ in range(8)]
    start = Barrier(len(states))

    def decide(number: int) -> bool:
        start.wait()
        try:
            add(states[number], link("ab") if number % 2 else wall("a", "b"))
        except DecisionError:
            return False
        return True

    with ThreadPoolExecutor(len(states)) as pool:
        accepted = list(pool.map(decide, range(len(states))))
    # the four that say the same are one
    assert len(states[0].decisions.list(with_withdrawn=True)) == 1
    assert accepted.count(True) == 4


def test_a_value_of_any_text_comes_back_as_it_was(state: State) -> None:
    odd = ("user_id", 'x"\\\x1f,[]é\U0001f600')
    add(state, Decision(LINK, "link", ((odd, ("user_id", "y")),)))
    assert state.decisions.list()[0].decision.sides[0][0] == odd
