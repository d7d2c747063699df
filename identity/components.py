"""Groups at a date: identifiers that evidence connects, directly or through others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from identity.evidence import Codes, Evidence, Flags, Ints

ABSENT = -1
_NEVER = np.iinfo(np.int64).max
_WEAK = np.int64(1) << 62


@dataclass(frozen=True)
class Groups:
    """Who is together at one date. By identifier code: `group` (a number below `count`, ABSENT where the identifier is
    unseen, blocked or hot) and `first_place` (place of its earliest evidence). `pairs`: the pairs that count."""

    group: Codes
    count: int
    first_place: Codes
    pairs: Ints


def find_groups(evidence: Evidence, hot_from: Codes, *, date: int) -> Groups:
    """Connect what evidence known at `date` (a place in `dates`) holds together once hot identifiers have left.

    Remainders of sets that are equal need no merging here: components and earliest keys are the same either way.
    Cost: linear in pairs (SciPy's components); k identifiers of a set make k - 1 edges, never k squared.
    """
    alive = (evidence.pair_date <= date) & (hot_from[evidence.pair_identifier] > date)
    pairs = np.flatnonzero(alive)
    row, identifier = evidence.pair_row[pairs], evidence.pair_identifier[pairs]
    together = row[1:] == row[:-1]
    left, right = identifier[:-1][together], identifier[1:][together]
    count = evidence.identifier_count
    edges = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count)).tocsr()
    group_count, group = connected_components(edges, directed=False) if count else (0, np.empty(0, np.int32))
    first_place = np.full(count, np.iinfo(np.int32).max, dtype=np.int32)
    first_place[identifier[::-1]] = evidence.pair_place[pairs][::-1]
    seen = np.zeros(count, dtype=bool)
    seen[identifier] = True
    return Groups(np.where(seen, group, ABSENT).astype(np.int32), int(group_count), first_place, pairs)


def find_anchors(evidence: Evidence, groups: Groups, wanted: Flags) -> Codes:
    """Give for each wanted group its first strong identifier by (key, priority, value), else its first weak one.

    By group number; ABSENT for groups that are not wanted.
    """
    members = np.flatnonzero(groups.group != ABSENT)
    members = members[wanted[groups.group[members]]]
    order = groups.first_place[members].astype(np.int64) * evidence.identifier_count + members
    order += np.where(evidence.is_strong[members], 0, _WEAK)
    best = np.full(groups.count, _NEVER)
    np.minimum.at(best, groups.group[members], order)
    anchor = np.full(groups.count, ABSENT, dtype=np.int32)
    found = best != _NEVER
    anchor[found] = (best[found] & ~_WEAK) % evidence.identifier_count
    return anchor
