"""Rule 3: a decision that contradicts those in force is found, however far apart they are, and the other one is named."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.decisions import LINK, REFUSE, WALL, Contradiction, in_force, judge
from identity.tables import DECISIONS, IdentityError

Decision = tuple[str, Sequence[str], Sequence[str]]


def decided(*decisions: Decision, first_seq: int = 1) -> pa.Table:
    rows = [
        {"decision_seq": seq, "action": action, "side": side, "identifier_type": "email", "identifier_value": name}
        for seq, (action, *sides) in enumerate(decisions, start=first_seq)
        for side, names in enumerate(sides)
        for name in names
    ]
    return pa.Table.from_pylist(rows, schema=DECISIONS)


def verdict(*decisions: Decision) -> Contradiction | None:
    return judge(decided(*decisions[:-1]), decided(decisions[-1], first_seq=len(decisions)))


def test_a_link_that_closes_a_chain_across_a_wall_names_the_wall() -> None:
    assert verdict((WALL, "a", "d"), (LINK, "ab", ""), (LINK, "cd", ""), (LINK, "bc", "")) == Contradiction(
        "wall", (1,)
    )


def test_a_wall_between_what_links_join_names_every_link_on_the_way() -> None:
    links: list[Decision] = [(LINK, "ab", ""), (LINK, "xy", ""), (LINK, "bc", ""), (LINK, "cd", "")]
    assert verdict(*links, (WALL, "xa", "zd")) == Contradiction("links", (1, 3, 4))


def test_decisions_about_different_people_do_not_contradict() -> None:
    assert verdict((WALL, "ab", "cd"), (LINK, "ab", ""), (LINK, "cd", ""), (LINK, "ef", "")) is None
    assert verdict((LINK, "ab", ""), (WALL, "ab", "cd")) is None
    assert verdict((WALL, "ab", "cd"), (WALL, "a", "b")) is None
    assert verdict((LINK, "ab", "")) is None


def test_an_identifier_is_not_walled_from_itself() -> None:
    assert verdict((WALL, "ab", "bc")) == Contradiction("itself", ())


def test_links_that_join_all_of_a_refused_set_contradict_the_refusal_and_the_other_way_round() -> None:
    assert verdict((REFUSE, "abcd", ""), (LINK, "ab", ""), (LINK, "cd", "")) is None
    assert verdict((REFUSE, "abcd", ""), (LINK, "ab", ""), (LINK, "cd", ""), (LINK, "bc", "")) == Contradiction(
        "refusal", (1,)
    )
    assert verdict((LINK, "ab", ""), (LINK, "cd", ""), (LINK, "bc", ""), (REFUSE, "abcd", "")) == Contradiction(
        "links", (1, 2, 3)
    )


def test_the_same_value_of_two_types_is_two_identifiers() -> None:
    existing = decided((WALL, "a", "b"))
    new = decided((LINK, "ab", ""), first_seq=2)
    phones = new.set_column(3, "identifier_type", pa.array(["email", "phone"]))
    assert judge(existing, phones) is None


def test_a_split_of_2500_from_2500_is_judged_without_its_pairs() -> None:
    one, other = [f"a{n}" for n in range(2500)], [f"b{n}" for n in range(2500)]
    chain: list[Decision] = [(LINK, [f"b{n}", f"b{n + 1}"], []) for n in range(2499)]
    existing = decided((WALL, one, other), *chain)
    started = time.perf_counter()
    assert judge(existing, decided((LINK, ["a7", "b2499"], []), first_seq=9999)) == Contradiction("wall", (1,))
    assert judge(existing, decided((WALL, ["b0"], ["b2499"]), first_seq=9999)) == Contradiction(
        "links", tuple(range(2, 2501))
    )
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (("join", "ab"), "neither link, wall, refuse"),
        ((WALL, "ab"), "a wall without the sides"),
        ((LINK, "ab", "c"), "a link without the sides"),
        ((REFUSE, "", "c"), "a refuse without the sides"),
    ],
)
def test_a_decision_that_is_none_is_refused(decision: Decision, said: str) -> None:
    with pytest.raises(IdentityError, match=said):
        judge(decided(), decided(decision))


def test_a_table_of_no_or_two_decisions_is_not_judged() -> None:
    for new in (decided(), decided((LINK, "ab", ""), (LINK, "cd", ""))):
        with pytest.raises(IdentityError, match="one decision"):
            judge(decided(), new)
    with pytest.raises(IdentityError, match="two actions"):
        judge(decided(), decided((LINK, "ab", "")).set_column(1, "action", pa.array([LINK, REFUSE])))


NAMES = st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=4)
ANY_DECISION = st.one_of(
    st.tuples(st.just(LINK), NAMES, st.just("")),
    st.tuples(st.just(WALL), NAMES, NAMES),
    st.tuples(st.just(REFUSE), NAMES, st.just("")),
)


def contradicts(decisions: Sequence[Decision]) -> bool:
    """Directly from the definition: join until nothing changes, then look at every pair of every wall."""
    people = {name: {name} for name in "abcdefg"}
    for action, names, _ in decisions:
        if action == LINK:
            joined = set().union(*(people[name] for name in names))
            people |= dict.fromkeys(joined, joined)
    walled = [(x, y) for action, one, other in decisions if action == WALL for x in one for y in other]
    refused = [set(names) for action, names, _ in decisions if action == REFUSE]
    return any(y in people[x] for x, y in walled) or any(
        len(names) > 1 and names <= people[next(iter(names))] for names in refused
    )


@given(st.lists(ANY_DECISION, max_size=7))
def test_what_is_in_force_is_what_the_definition_accepts_one_after_the_other(decisions: list[Decision]) -> None:
    accepted: dict[int, Decision] = {}
    for seq, decision in enumerate(decisions, start=1):
        if not contradicts([*accepted.values(), decision]):
            accepted[seq] = decision
    assert set(in_force(decided(*decisions))["decision_seq"].to_pylist()) == set(accepted)
    # taking any of them back never makes a contradiction
    for left_out in accepted:
        assert not contradicts([each for seq, each in accepted.items() if seq != left_out])
