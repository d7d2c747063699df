"""`weft review`: what waits for a person, and what becomes of it when one has decided."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from identity.rules import load_rules
from orchestration.decision_records import Decision
from orchestration.errors import DecisionError
from orchestration.reviews import approval, find_review, read_reviews, refusal
from orchestration.state import State, utc_now
from orchestration.warehouse import Connection
from tests.identity import histories
from tests.identity.histories import day, identifier_id, seen
from tests.orchestration.stitched_store import Store, held_at
from tests.orchestration.test_explaining import serve

END = day(20)
HISTORY = [
    *(seen(number, f"email:e{number}") for number in range(1, 9)),
    seen(10, "email:e1 email:e2 email:e3 email:e4 email:null cookie:c"),
    seen(11, "email:e1 email:e2 email:e3 email:e4 cookie:d"),
    seen(12, "email:e5 email:e6 email:e7 email:e8"),
]


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(f"sqlite:///{tmp_path / 'state.sqlite'}")


@pytest.fixture
def served() -> Iterator[Connection]:
    with Store() as store:
        store.run(HISTORY, dates=[END], rules=load_rules())
        yield serve(store, load_rules())


def decide(state: State, decision: Decision) -> None:
    state.decisions.add(decision, note="", made_by="anna", now=utc_now())


def test_events_with_the_same_strong_identifiers_are_one_review_named_as_the_engine_names_it(
    served: Connection, state: State
) -> None:
    first, second = read_reviews(served, state.decisions)
    assert list(first.identifiers) == [("email", f"e{number}") for number in range(1, 5)]
    assert (first.status, first.customer_count, first.event_count, first.kinds()) == ("open", 4, 2, "4 email")
    assert first.first_seen_at == day(10)
    for review in (first, second):
        ids = sorted(identifier_id(name) for name in review.identifiers)
        assert review.review_id == hashlib.sha256("\x1f".join(ids).encode()).hexdigest()[:16]
    assert all(first.identifiers.values())


def test_a_review_is_found_by_the_beginning_of_its_id(served: Connection, state: State) -> None:
    first, _ = read_reviews(served, state.decisions)
    assert find_review(served, state.decisions, f" {first.review_id[:7].upper()} ") == first
    for nonsense in ("", "   ", "zz", "%", "'; drop table identity.evidence", "x" * 10_000):
        with pytest.raises(DecisionError, match="No review") as refused:
            find_review(served, state.decisions, nonsense)
        assert len(str(refused.value)) < 200


def test_a_beginning_that_two_share_is_not_enough() -> None:
    pairs = [[f"email:x{number}{letter}" for letter in "abcd"] for number in range(40)]
    history = [seen(1 + place / 100, name) for place, name in enumerate(name for names in pairs for name in names)]
    history += [seen(10 + place / 100, " ".join(names)) for place, names in enumerate(pairs)]
    with Store() as store:
        store.run(history, dates=[END], rules=load_rules())
        served = serve(store, load_rules())
        records = State("sqlite://").decisions
        by_beginning: dict[str, int] = {}
        for review in read_reviews(served, records):
            by_beginning[review.review_id[0]] = by_beginning.get(review.review_id[0], 0) + 1
        letter, count = max(by_beginning.items(), key=lambda item: item[1])
        assert count > 1
        with pytest.raises(DecisionError, match=f"{count} reviews begin with {letter}"):
            find_review(served, records, letter)


def test_an_approved_review_joins_and_a_refused_one_never_does(served: Connection, state: State) -> None:
    first, second = read_reviews(served, state.decisions)
    decide(state, approval(first))
    decide(state, refusal(second))
    assert [review.status for review in read_reviews(served, state.decisions)] == ["approved", "refused"]
    decisions = [histories.Decision(record.decision.action, record.decision.sides) for record in state.decisions.list()]
    with Store() as store:
        store.run(HISTORY, dates=[END], rules=load_rules(), decisions=decisions)
        owner = held_at(store.memberships(), END)
        again = serve(store, load_rules())
        assert [review.status for review in read_reviews(again, state.decisions)] == ["refused"]
        assert len({owner["email", f"e{number}"] for number in range(1, 5)}) == 1
        assert owner["anonymous_id", "d"] == owner["email", "e1"]
        assert len({owner["email", f"e{number}"] for number in range(5, 9)}) == 4
        state.decisions.withdraw(2, by="anna", now=utc_now())
        assert [review.status for review in read_reviews(again, state.decisions)] == ["open"]


def test_what_was_refused_is_not_approved_and_the_other_way_round(served: Connection, state: State) -> None:
    first, second = read_reviews(served, state.decisions)
    decide(state, refusal(first))
    decide(state, approval(second))
    with pytest.raises(DecisionError, match=r"decision 1 \(weft review refuse"):
        decide(state, approval(first))
    with pytest.raises(DecisionError, match=r"decision 2 \(weft review approve"):
        decide(state, refusal(second))
