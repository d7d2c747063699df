"""Groups at a date: identifiers that evidence connects, directly or through others; and what is decided together.

With the rules of today a group is a component without its hot identifiers. Rules that keep apart what is connected leave
components as they are: a run that is handed part of the evidence is handed whole components.
"""

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
    group_count, group = _connect(left, right, count)
    first_place = np.full(count, np.iinfo(np.int32).max, dtype=np.int32)
    first_place[identifier[::-1]] = evidence.pair_place[pairs][::-1]
    seen = np.zeros(count, dtype=bool)
    seen[identifier] = True
    return Groups(np.where(seen, group, ABSENT).astype(np.int32), group_count, first_place, pairs)


def _connect(left: Codes, right: Codes, count: int) -> tuple[int, Codes]:
    if not count:
        return 0, np.empty(0, np.int32)
    edges = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count)).tocsr()
    found, label = connected_components(edges, directed=False)
    return int(found), label


def find_components(
    evidence: Evidence, hot_from: Codes, last: Groups, *, row_id: Codes, row_identifier: Codes
) -> Codes:
    """Give by identifier code what it must be decided together with: a number, ABSENT where it is in no group at any date.

    Evidence connects as it does at each date, taken together, and so do the anchors of one customer id (`row_id` and
    `row_identifier`, the ledger): where one dies, the id is another's. `last` are the groups at the last date: they need
    only what was connected before it through identifiers that are hot by then. Cost: linear in pairs.
    """
    alive = evidence.pair_date < hot_from[evidence.pair_identifier]
    node, identifier, row = last.group.copy(), evidence.pair_identifier, evidence.pair_row
    once = np.unique(identifier[alive & (last.group[identifier] == ABSENT)])
    node[once] = last.count + np.arange(len(once), dtype=np.int32)
    through = np.zeros(len(evidence.table), dtype=bool)
    through[row[alive & (node[identifier] >= last.count)]] = True
    pairs = np.flatnonzero(alive & through[row])
    row, at = row[pairs], node[identifier[pairs]]
    beside = row[1:] == row[:-1]

    anchors = np.flatnonzero(row_identifier != ABSENT)
    anchors = anchors[node[row_identifier[anchors]] != ABSENT]
    anchors = anchors[np.argsort(row_id[anchors], kind="stable")]
    held, holder = row_id[anchors], node[row_identifier[anchors]]
    same = held[1:] == held[:-1]
    left = np.concatenate((at[:-1][beside], holder[:-1][same]))
    right = np.concatenate((at[1:][beside], holder[1:][same]))
    _, component = _connect(left, right, last.count + len(once))
    return np.where(node != ABSENT, component[node], ABSENT).astype(np.int32)


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
