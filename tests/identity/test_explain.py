"""Why two identifiers are one customer: the way told is one that the rules really went, and there is one exactly where they are one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.explain import Sightings, Step, joining_path, shortest_path
from identity.rules import Rules
from tests.identity.histories import (
    Decision,
    Identifier,
    Run,
    Sighting,
    customers,
    day,
    evidence_id,
    histories,
    link,
    run,
    seen,
    some_decisions,
    strict_rules,
    wall,
)

END = day(20)


class Told:
    """A finished run, in the numbers that explanations take, without the warehouse's help."""

    def __init__(self, done: Run, history: Sequence[Sighting], decisions: Sequence[Decision]) -> None:
        result = done.result
        types = strict_rules().identifier_types
        current = [row for row in result.memberships.to_pylist() if row["known_to"] is None]
        alive = {(row["identifier_type"], row["identifier_value"]) for row in current}
        waits = {
            (row["identifier_type"], row["identifier_value"])
            for row in result.waiting.to_pylist()
            if row["reason"] in ("blocked", "hot")
        }
        links = [(seq, name) for seq, each in enumerate(decisions) if each.action == "link" for name in each.sides[0]]
        links = [(seq, name) for seq, name in links if name not in waits]
        self.names = sorted(alive | {name for _, name in links})
        self.place = {name: number for number, name in enumerate(self.names)}
        self.sets = sorted({each.members for each in history if each.members & alive}, key=sorted)
        held = {row["evidence_id"] for row in result.review_queue.to_pylist() if row["known_to"] is None}
        remainder = {evidence_id(each): each & alive for each in self.sets}
        aside = {
            (remainder[row["evidence_id"]], (row["identifier_type"], row["identifier_value"]))
            for row in result.set_aside.to_pylist()
        }
        refused = [((row["identifier_type"], row["identifier_value"]), row) for row in result.refused_joins.to_pylist()]
        pairs = [(row, name) for row, each in enumerate(self.sets) for name in sorted(each & alive)]
        self.sightings = Sightings(
            pair_row=np.array([row for row, _ in pairs], dtype=np.int64),
            pair_identifier=np.array([self.place[name] for _, name in pairs], dtype=np.int64),
            is_aside=np.array([(self.sets[row] & alive, name) in aside for row, name in pairs], dtype=bool),
            is_strong=np.array([types[name[0]].is_strong for name in self.names], dtype=bool),
            is_shared=self._flags(name for name, row in refused if row["is_shared"]),
            refused_beside_strong=self._flags(name for name, row in refused if row["step"] == "strong"),
            refused_beside_weak=self._flags(name for name, row in refused if row["step"] == "weak"),
            in_review=np.array([evidence_id(each) in held for each in self.sets], dtype=bool),
            link=np.array([seq for seq, _ in links], dtype=np.int64),
            link_identifier=np.array([self.place[name] for _, name in links], dtype=np.int64),
        )
        self.refused = {name for name, _ in refused}
        self.decisions = decisions

    def _flags(self, names: object) -> np.ndarray:
        flags = np.zeros(len(self.names), dtype=bool)
        flags[[self.place[name] for name in names]] = True  # type: ignore[attr-defined]
        return flags

    def is_closed(self, step: Step) -> bool:
        """Whether a rule stands in a step, by the tables alone."""
        given = self.sightings
        assert step.row is not None
        ends = (step.start, step.end)
        aside = {
            (int(r), int(i))
            for r, i in zip(given.pair_row[given.is_aside], given.pair_identifier[given.is_aside], strict=True)
        }
        return (
            bool(given.in_review[step.row])
            or any((step.row, end) in aside or given.is_shared[end] for end in ends)
            or any(self.names[end] in self.refused for end in ends)
        )

    def check(self, steps: Sequence[Step], one: int, other: int) -> None:
        """The way leads from the one to the other, each step through something that holds both of its ends."""
        assert (steps[0].start, steps[-1].end) == (one, other)
        assert all(step.end == following.start for step, following in pairwise(steps))
        for step in steps:
            ends = {self.names[step.start], self.names[step.end]}
            if step.link is not None:
                assert ends <= set(self.decisions[step.link].sides[0])
                assert step.is_open
            else:
                assert step.row is not None
                assert ends <= self.sets[step.row]
                if not step.is_open:
                    assert self.is_closed(step)

    def graph(self) -> nx.Graph:
        """Everything that evidence and links connect."""
        graph: nx.Graph = nx.Graph()
        graph.add_nodes_from(range(len(self.names)))
        for row, identifier in zip(self.sightings.pair_row, self.sightings.pair_identifier, strict=True):
            graph.add_edge(("set", int(row)), int(identifier))
        for seq, identifier in zip(self.sightings.link, self.sightings.link_identifier, strict=True):
            graph.add_edge(("link", int(seq)), int(identifier))
        return graph


@settings(derandomize=True, max_examples=200, deadline=None)
@given(histories(), some_decisions(), st.booleans())
def test_there_is_a_joining_way_exactly_where_two_are_one_customer(
    history: list[Sighting], decisions: list[Decision], is_strict: bool
) -> None:
    rules: Rules = strict_rules(2 if is_strict else 10)
    done = run(history, dates=[END], rules=rules, decisions=decisions)
    told = Told(done, history, decisions)
    owner, graph = customers(done), told.graph()
    members = [name for name in told.names if name in owner]
    for one in members:
        for other in members:
            if one == other:
                continue
            ends = told.place[one], told.place[other]
            way = joining_path(told.sightings, *ends)
            assert (way is not None) == (owner[one] == owner[other]), (one, other)
            shortest = shortest_path(told.sightings, *ends)
            assert (shortest is not None) == nx.has_path(graph, *ends)
            if shortest is not None:
                told.check(shortest, *ends)
                assert 2 * len(shortest) == nx.shortest_path_length(graph, *ends)
            if way is not None:
                told.check(way, *ends)
                assert all(step.is_open for step in way)
                assert shortest is not None
                assert len(shortest) <= len(way)
            elif shortest is not None:
                assert not all(step.is_open for step in shortest)


def way_of(history: Sequence[Sighting], one: Identifier, other: Identifier, *decisions: Decision) -> list[str]:
    done = run(history, dates=[END], rules=strict_rules(10), decisions=decisions)
    told = Told(done, history, decisions)
    steps = shortest_path(told.sightings, told.place[one], told.place[other])
    assert steps is not None
    return [f"{told.names[s.start][1]}-{'' if s.is_open else '/'}-{told.names[s.end][1]}" for s in steps]


ANNA, ALSO, COOKIE = ("user_id", "anna"), ("email", "also"), ("anonymous_id", "c")


def test_the_way_goes_by_the_fewest_events() -> None:
    history = [
        seen(1, "user:anna cookie:c"),
        seen(2, "cookie:c email:x"),
        seen(3, "email:x email:also"),
        seen(4, "cookie:c email:also"),
    ]
    assert way_of(history, ANNA, ALSO) == ["anna--c", "c--also"]


def test_the_way_goes_by_a_link_where_that_is_shorter() -> None:
    history = [seen(1, "user:anna cookie:c"), seen(2, "cookie:c email:also")]
    assert way_of(history, ANNA, ALSO, link("user:anna email:also")) == ["anna--also"]


def test_a_shared_cookie_closes_the_way_on_both_sides() -> None:
    history = [seen(1, "user:anna cookie:c"), seen(2, "user:bert cookie:c")]
    assert way_of(history, ANNA, ("user_id", "bert")) == ["anna-/-c", "c-/-bert"]


def test_a_wall_closes_the_step_that_it_stands_in_and_no_other() -> None:
    history = [seen(1, "user:anna email:also"), seen(2, "email:also phone:1")]
    assert way_of(history, ANNA, ("phone", "1"), wall("user:anna", "phone:1")) == ["anna--also", "also-/-1"]


def test_of_equally_long_ways_the_one_with_fewer_rules_in_it_is_told() -> None:
    history = [
        seen(1, "user:anna email:x"), seen(2, "email:x phone:1"),
        seen(3, "user:anna cookie:c"), seen(4, "user:bert cookie:c"), seen(5, "cookie:c phone:1"),
    ]  # fmt: skip
    assert way_of(history, ANNA, ("phone", "1")) == ["anna--x", "x--1"]


@pytest.mark.parametrize("length", [10_000])
def test_a_chain_of_ten_thousand_is_walked(length: int) -> None:
    places = np.arange(length, dtype=np.int64)
    none = np.zeros(length + 1, dtype=bool)
    chain = Sightings(
        pair_row=np.repeat(places, 2),
        pair_identifier=np.column_stack((places, places + 1)).ravel(),
        is_aside=np.zeros(2 * length, dtype=bool),
        is_strong=none,
        is_shared=none,
        refused_beside_strong=none,
        refused_beside_weak=none,
        in_review=np.zeros(length, dtype=bool),
        link=places[:0],
        link_identifier=places[:0],
    )
    way = joining_path(chain, 0, length)
    assert way is not None
    assert [step.row for step in way] == list(range(length))
    broken = replace(chain, in_review=places == 5_000)
    assert joining_path(broken, 0, length) is None
    assert [step.row for step in shortest_path(broken, 0, length) or [] if not step.is_open] == [5_000]


def test_weak_identifiers_that_joined_nothing_are_joined_only_by_one_that_did() -> None:
    refused, other_refused, accepted, last = range(4)
    sets = [(refused, other_refused), (refused, accepted), (accepted, last)]
    none = np.zeros(4, dtype=bool)
    given = Sightings(
        pair_row=np.repeat(np.arange(3, dtype=np.int64), 2),
        pair_identifier=np.array(sets, dtype=np.int64).ravel(),
        is_aside=np.zeros(6, dtype=bool),
        is_strong=none,
        is_shared=none,
        refused_beside_strong=none,
        refused_beside_weak=np.array([True, True, False, False]),
        in_review=np.zeros(3, dtype=bool),
        link=np.empty(0, dtype=np.int64),
        link_identifier=np.empty(0, dtype=np.int64),
    )
    assert joining_path(given, refused, other_refused) is None
    assert [step.row for step in joining_path(given, refused, last) or []] == [1, 2]
    assert [step.row for step in joining_path(given, last, refused) or []] == [2, 1]
