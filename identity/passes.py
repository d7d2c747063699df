"""Rules 4 and 5 step by step, for the components where they can bite (SPEC 3): compiled, because each step needs the last.

Everything is a number here: nodes are the identifiers of those components in order of (priority, value), sets are their
evidence in key order. identity.groups chooses them and reads the answer. Cost: linear in the identifiers of the sets, times
the logarithm that a union-find by size has; a wall costs as many steps as the two groups have walled identifiers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from identity.evidence import Codes, Flags, Ints

FREE, REVIEWED, REFUSED = 0, 1, 2
"""What became of a set: it joined what it could, waits for a person, or was refused by one."""
JOINED, SEVERAL, LIMIT, WALL = 0, 1, 2, 3
"""Why something joined nothing: several people, one identifier too many, a decision."""
UNLIMITED = np.iinfo(np.int32).max
Small = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Walls:
    """The sides of walls that nodes stand on: `start` and `side` list those of each node, as 2 * wall + (0 or 1)."""

    start: Ints
    side: Codes
    count: int


@dataclass(frozen=True)
class Outcome:
    """By node: `root` (equal within a group) and `shared`; `refusal` and `refusal_of` by step and node. By set: `state`
    and `group_count`. By member of a set: `aside` and `aside_of`. The `_of` say which type (LIMIT, SEVERAL) or wall."""

    root: Codes
    shared: Flags
    refusal: Small
    refusal_of: Codes
    state: Small
    group_count: Codes
    aside: Small
    aside_of: Codes


def decide(
    *,
    start: Ints,
    member: Codes,
    kind: Codes,
    strong_kind: Flags,
    limit: Codes,
    links: tuple[Codes, Codes],
    walls: Walls,
    refused: Flags,
    weak_order: Codes,
    most_groups: int,
) -> Outcome:
    """Apply rules 3 to 5. `start` and `member` list the sets in key order, members ascending; `kind` and `limit` are types and
    their limits; `links` pairs that are joined; `weak_order` the weak nodes as rule 5 takes them."""
    is_weak_member = ~strong_kind[kind[member]]
    weak_places = np.flatnonzero(is_weak_member)
    by_node = weak_places[np.argsort(member[weak_places], kind="stable")]
    set_of = (np.searchsorted(start, by_node, side="right") - 1).astype(np.int64)
    seen_start = np.searchsorted(member[by_node], np.arange(len(kind) + 1)).astype(np.int64)
    found = _decide(
        start,
        member,
        kind,
        strong_kind,
        limit,
        *links,
        walls.start,
        walls.side,
        walls.count,
        refused,
        weak_order,
        seen_start,
        set_of,
        most_groups,
    )
    return Outcome(*found)


@numba.njit(cache=True)
def _root(parent: Codes, node: int) -> Any:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node


@numba.njit(cache=True)
def _obstacle(  # noqa: PLR0917
    roots: Codes,
    count: int,
    held: Codes,
    limit: Codes,
    head: Codes,
    following: Codes,
    side: Codes,
    stamp: Ints,
    tick: int,
) -> Any:
    """What keeps the groups of `roots` from becoming one: a wall, or a type of which they would hold too many."""
    for place in range(count):
        slot = head[roots[place]]
        while slot >= 0:
            if stamp[side[slot] ^ 1] == tick:
                return WALL, side[slot] >> 1
            slot = following[slot]
        slot = head[roots[place]]
        while slot >= 0:
            stamp[side[slot]] = tick
            slot = following[slot]
    for type_ in range(len(limit)):
        total, largest = 0, 0
        for place in range(count):
            here = held[roots[place], type_]
            total += here
            largest = max(largest, here)
        if total > limit[type_] and total > largest:
            return LIMIT, type_
    return JOINED, -1


@numba.njit(cache=True)
def _join(  # noqa: PLR0917
    one: int,
    other: int,
    parent: Codes,
    size: Codes,
    held: Codes,
    seen: Flags,
    head: Codes,
    tail: Codes,
    following: Codes,
) -> Any:
    """Join two groups; gives the root of both."""
    if size[one] < size[other]:
        one, other = other, one
    parent[other] = one
    size[one] += size[other]
    seen[one] |= seen[other]
    for type_ in range(held.shape[1]):
        held[one, type_] += held[other, type_]
    if head[other] >= 0:
        if head[one] < 0:
            head[one] = head[other]
        else:
            following[tail[one]] = head[other]
        tail[one] = tail[other]
    return one


@numba.njit(cache=True)
def _held_twice(roots: Codes, count: int, held: Codes, strong_kind: Flags) -> Any:
    """A strong type that two of the groups hold, -1 for none."""
    for type_ in range(held.shape[1]):
        if not strong_kind[type_]:
            continue
        holders = 0
        for place in range(count):
            if held[roots[place], type_] > 0:
                holders += 1
        if holders > 1:
            return type_
    return -1


@numba.njit(cache=True)
def _decide(  # noqa: PLR0912, PLR0915, PLR0917 (one pass over one state: cut in pieces, each would be handed all of it)
    start: Ints,
    member: Codes,
    kind: Codes,
    strong_kind: Flags,
    limit: Codes,
    link_one: Codes,
    link_other: Codes,
    wall_start: Ints,
    wall_side: Codes,
    wall_count: int,
    refused: Flags,
    weak_order: Codes,
    seen_start: Ints,
    set_of: Ints,
    most_groups: int,
) -> Any:
    nodes, sets = len(kind), len(start) - 1
    parent = np.arange(nodes).astype(np.int32)
    size = np.ones(nodes, np.int32)
    held = np.zeros((nodes, len(limit)), np.int32)
    seen = np.zeros(nodes, np.bool_)
    head, tail = np.full(nodes, -1, np.int32), np.full(nodes, -1, np.int32)
    following = np.full(len(wall_side), -1, np.int32)
    for node in range(nodes):
        held[node, kind[node]] = 1
        for slot in range(wall_start[node], wall_start[node + 1]):
            if head[node] < 0:
                head[node] = slot
            else:
                following[tail[node]] = slot
            tail[node] = slot
    wall_stamp = np.zeros(2 * wall_count, np.int64)
    root_stamp = np.zeros(nodes, np.int64)
    roots = np.empty(nodes + 1, np.int32)
    tick = 0

    for place in range(len(link_one)):
        one, other = _root(parent, link_one[place]), _root(parent, link_other[place])
        if one != other:
            _join(one, other, parent, size, held, seen, head, tail, following)

    state, group_count = np.zeros(sets, np.int8), np.zeros(sets, np.int32)
    aside, aside_of = np.zeros(len(member), np.int8), np.full(len(member), -1, np.int32)
    for each in range(sets):
        tick += 1
        known = 0
        for place in range(start[each], start[each + 1]):
            if strong_kind[kind[member[place]]]:
                root = _root(parent, member[place])
                if seen[root] and root_stamp[root] != tick:
                    root_stamp[root] = tick
                    known += 1
        group_count[each] = known
        if refused[each]:
            state[each] = REFUSED
        elif known > most_groups:
            state[each] = REVIEWED
        else:
            kept = -1
            for place in range(start[each], start[each + 1]):
                if not strong_kind[kind[member[place]]]:
                    continue
                root = _root(parent, member[place])
                if kept < 0 or root == kept:
                    kept = root
                    continue
                tick += 1
                roots[0], roots[1] = kept, root
                why, what = _obstacle(roots, 2, held, limit, head, following, wall_side, wall_stamp, tick)
                if why == JOINED:
                    kept = _join(kept, root, parent, size, held, seen, head, tail, following)
                else:
                    aside[place], aside_of[place] = why, what
        for place in range(start[each], start[each + 1]):
            seen[_root(parent, member[place])] = True

    shared = np.zeros(nodes, np.bool_)
    refusal, refusal_of = np.zeros((2, nodes), np.int8), np.full((2, nodes), -1, np.int32)
    for step in range(2):
        for weak in weak_order:
            if shared[weak]:
                continue
            tick += 1
            own = _root(parent, weak)
            roots[0] = own
            root_stamp[own] = tick
            count = 1
            for number in range(seen_start[weak], seen_start[weak + 1]):
                each = set_of[number]
                if state[each] != FREE:
                    continue
                for place in range(start[each], start[each + 1]):
                    node = member[place]
                    if step == 0:
                        beside = strong_kind[kind[node]] and aside[place] == JOINED
                    else:
                        beside = not strong_kind[kind[node]] and not shared[node]
                    if beside:
                        root = _root(parent, node)
                        if root_stamp[root] != tick:
                            root_stamp[root] = tick
                            roots[count] = root
                            count += 1
            if count == 1:
                continue
            tick += 1
            why, what = _obstacle(roots, count, held, limit, head, following, wall_side, wall_stamp, tick)
            if why != WALL:
                twice = _held_twice(roots, count, held, strong_kind)
                if twice >= 0:
                    why, what = SEVERAL, twice
            if why == JOINED:
                for place in range(1, count):
                    own = _join(own, roots[place], parent, size, held, seen, head, tail, following)
            else:
                refusal[step, weak], refusal_of[step, weak] = why, what
                # what a decision linked to others is theirs: it is nobody else's, but not shared either
                shared[weak] = size[own] == 1

    root_of = np.empty(nodes, np.int32)
    for node in range(nodes):
        root_of[node] = _root(parent, node)
    return root_of, shared, refusal, refusal_of, state, group_count, aside, aside_of
