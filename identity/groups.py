"""Groups at a date: who is together under rules 3 to 5.

Where no rule can bite, a group is a connected component; the other components are decided step by step (identity.passes).
What may bite is a superset, found from counts: a wall with both sides in a component, a set that could need review or was
refused, more identifiers of a type than a customer may hold, two groups of strong identifiers with the same strong type.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from identity.bites import edges, find_bitten, limits
from identity.components import ABSENT, connect
from identity.decision_codes import Decided, Links, links_at
from identity.evidence import Codes, Evidence, Flags, Ints
from identity.passes import FREE, JOINED, Outcome, Walls, decide
from identity.rules import Rules


@dataclass(frozen=True)
class Rulings:
    """What was decided step by step. `nodes`: the codes of those identifiers; by set of evidence that is left without hot
    identifiers (equal ones are one, at the earliest key): `set_row` (place of the earliest in the table), `start` and
    `member` (codes); by given set: `given_row` and `given_set` (its number among the former)."""

    nodes: Codes
    outcome: Outcome
    set_row: Ints
    start: Ints
    member: Codes
    given_row: Ints
    given_set: Ints


@dataclass(frozen=True)
class Groups:
    """Who is together at one date. By identifier code: `group` (a number below `count`, ABSENT where the identifier is
    unseen, blocked or hot), `component` (what is connected, whatever rules keep apart) and `first_place` (place of its
    earliest evidence). `pairs`: the pairs that count, `joins`: which of them a rule let join. `idle`: by group, those of
    shared identifiers whose events are all somebody else's (found later: identity.visits). `links`: those that join."""

    group: Codes
    count: int
    component: Codes
    component_count: int
    first_place: Codes
    pairs: Ints
    joins: Flags
    shared: Flags
    idle: Flags
    links: Links
    rulings: Rulings

    def held_rows(self) -> Ints:
        """Rows of evidence that join nothing: they wait for a person, or one refused them."""
        rulings = self.rulings
        held: Ints = rulings.given_row[rulings.outcome.state[rulings.given_set] != FREE]
        return held


def find_groups(evidence: Evidence, hot_from: Codes, decided: Decided, rules: Rules, *, date: int) -> Groups:
    """Decide who is together by what is known at `date` (a place in `dates`), once hot identifiers have left.

    Cost: linear in pairs (SciPy's components), and more steps per pair only where a rule may bite; k identifiers of a set
    make k - 1 edges, never k squared.
    """
    alive = (evidence.pair_date <= date) & (hot_from[evidence.pair_identifier] > date)
    pairs = np.flatnonzero(alive)
    row, identifier = evidence.pair_row[pairs], evidence.pair_identifier[pairs]
    count = evidence.identifier_count
    linked = links_at(decided, evidence, hot_from, date)
    links = linked.pairs
    component_count, component = connect(*edges(row, identifier, links), count)
    first_place = np.full(count, np.iinfo(np.int32).max, dtype=np.int32)
    first_place[identifier[::-1]] = evidence.pair_place[pairs][::-1]
    seen = np.zeros(count, dtype=bool)
    seen[identifier] = True

    there = seen.copy()
    there[np.concatenate(links)] = True

    bitten = find_bitten(
        evidence,
        decided,
        rules,
        pairs=(row, identifier),
        links=links,
        components=(component, component_count),
        there=there,
    )
    nodes = np.flatnonzero(bitten[component] & there)
    concerned = np.flatnonzero(bitten[component[identifier]])
    rulings, joins_there = _rule(
        evidence,
        decided,
        rules,
        nodes=nodes,
        pairs=(row[concerned], identifier[concerned]),
        links=links,
        first_place=first_place,
    )
    group, shared, joins = component.copy(), np.zeros(count, dtype=bool), np.ones(len(pairs), dtype=bool)
    group[nodes] = component_count + rulings.outcome.root
    shared[nodes] = rulings.outcome.shared
    joins[concerned] = joins_there
    group_count = component_count + len(nodes)
    return Groups(
        group=np.where(seen, group, ABSENT).astype(np.int32),
        count=group_count,
        component=np.where(seen, component, ABSENT).astype(np.int32),
        component_count=component_count,
        first_place=first_place,
        pairs=pairs,
        joins=joins,
        shared=shared & seen,
        idle=np.zeros(group_count, dtype=bool),
        links=linked,
        rulings=rulings,
    )


def _rule(
    evidence: Evidence,
    decided: Decided,
    rules: Rules,
    *,
    nodes: Ints,
    pairs: tuple[Codes, Codes],
    links: tuple[Codes, Codes],
    first_place: Codes,
) -> tuple[Rulings, Flags]:
    """Run the passes over the sets of `pairs` (row and identifier, in key order); and by pair, whether it joined."""
    row, identifier = pairs
    local = np.full(evidence.identifier_count, ABSENT, dtype=np.int32)
    local[nodes] = np.arange(len(nodes), dtype=np.int32)
    given = np.cumsum(np.diff(row, prepend=ABSENT) != 0) - 1
    order = np.argsort(given * max(len(nodes), 1) + local[identifier], kind="stable")
    member = local[identifier[order]]
    given_start = np.searchsorted(given, np.arange(given[-1] + 2 if len(given) else 1))
    given_row = row[given_start[:-1]].astype(np.int64)
    first, given_set = _distinct_sets(member, given_start)
    sizes = np.diff(given_start)[first]
    start = np.concatenate(([0], np.cumsum(sizes)))
    offset = np.arange(start[-1]) - np.repeat(start[:-1], sizes)
    kept = member[np.repeat(given_start[first], sizes) + offset]

    kind = evidence.type_code[nodes].astype(np.int32)
    weak = np.flatnonzero(~evidence.is_strong[nodes])
    # a linked identifier without an event is beside nothing: any place in the order will do
    weak_order = weak[np.lexsort((weak, first_place[nodes[weak]], kind[weak]))].astype(np.int32)
    linked = local[links[0]] != ABSENT
    outcome = decide(
        start=start,
        member=kept,
        kind=kind,
        strong_kind=evidence.strong_types,
        limit=limits(evidence, rules),
        links=(local[links[0][linked]], local[links[1][linked]]),
        walls=_walls(decided, local, len(nodes)),
        refused=_refused(evidence, decided, nodes, start, kept),
        weak_order=weak_order,
        most_groups=rules.review.groups,
    )
    rulings = Rulings(
        nodes=nodes.astype(np.int32),
        outcome=outcome,
        set_row=given_row[first],
        start=start,
        member=nodes[kept].astype(np.int32),
        given_row=given_row,
        given_set=given_set,
    )
    place = start[given_set[given[order]]] + np.arange(len(order)) - given_start[given[order]]
    joined = (outcome.aside[place] == JOINED) & (outcome.state[given_set[given[order]]] == FREE)
    joins = np.empty(len(row), dtype=bool)
    joins[order] = joined & ~outcome.shared[member]
    return rulings, joins


def _distinct_sets(member: Codes, start: Ints) -> tuple[Ints, Ints]:
    """Sets that are equal are one: the first set of each kind, ascending, and by set its number among those.

    A hash of 64 bits says which may be equal; those are compared, and if it ever errs, everything is.
    """
    if len(start) == 1:
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    sums = np.add.reduceat(_scrambled(np.arange(member.max() + 1, dtype=np.uint64))[member], start[:-1])
    _, first, kind = np.unique(sums, return_index=True, return_inverse=True)
    leader = first[kind]
    if not _are_equal(member, start, leader):
        by_members: dict[bytes, int] = {}
        sets = [member[one:end].tobytes() for one, end in pairwise(start.tolist())]
        leader = np.array([by_members.setdefault(each, place) for place, each in enumerate(sets)])
    is_leader = leader == np.arange(len(leader))
    number = np.cumsum(is_leader) - 1
    return np.flatnonzero(is_leader), number[leader]


def _are_equal(member: Codes, start: Ints, leader: Ints) -> bool:
    """Whether every set has the members of its leader."""
    size = np.diff(start)
    if not np.array_equal(size, size[leader]):
        return False
    offset = np.arange(len(member)) - np.repeat(start[:-1], size)
    return np.array_equal(member, member[np.repeat(start[leader], size) + offset])


def _scrambled(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)."""
    x = numbers + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _walls(decided: Decided, local: Codes, count: int) -> Walls:
    node = local[decided.wall_code]
    there = np.flatnonzero(node != ABSENT)
    there = there[np.argsort(node[there], kind="stable")]
    start = np.searchsorted(node[there], np.arange(count + 1)).astype(np.int64)
    return Walls(start, (2 * decided.wall[there] + decided.wall_side[there]).astype(np.int32), len(decided.wall_seq))


def _refused(evidence: Evidence, decided: Decided, nodes: Ints, start: Ints, member: Codes) -> Flags:
    """By set, whether its strong identifiers are those of a set that a person refused."""
    refused = np.zeros(len(start) - 1, dtype=bool)
    if not decided.refused:
        return refused
    named = np.zeros(evidence.identifier_count, dtype=bool)
    named[[code for codes in decided.refused for code in codes]] = True
    hits = np.flatnonzero(named[nodes[member]])
    for each in np.unique(np.searchsorted(start, hits, side="right") - 1).tolist():
        codes = nodes[member[start[each] : start[each + 1]]]
        refused[each] = frozenset(codes[evidence.is_strong[codes]].tolist()) in decided.refused
    return refused
