"""Merge history: what happened to the customers of an earlier answer, and the event that caused each merge."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa

from identity.components import ABSENT
from identity.evidence import Codes, Evidence, Flags, Ints
from identity.groups import Groups
from identity.ledger import Holders
from identity.memberships import Held
from identity.tables import MERGE_HISTORY

_NOT_YET = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Changes:
    """Pairs of customers (id numbers): `before` merged into `after` where `merged`, else it lost identifiers to it.
    `event`: the evidence row that brought them together, `link`: the link that did (its place among the links); ABSENT for
    a split and where no single one did."""

    before: Codes
    after: Codes
    merged: Flags
    event: Ints
    link: Ints


def compare(before: Held, now: Held, evidence: Evidence, groups: Groups, holders: Holders) -> Changes:
    """Compare what customers held (`before`) with what `groups` and `holders` give them (`now`).

    An id whose best anchor now lies in another customer's group has merged into that customer. Identifiers that left
    for any other customer are a split, and so is an identifier that became shared, towards each other customer who has
    a run of visits on it. Cost: linear in identifiers, and in the evidence of merged groups that joins what was apart.
    """
    was, now_customer = before.customer, now.customer
    moved = (was != ABSENT) & (now_customer != ABSENT) & (now_customer != was)
    became_shared = (was[now.shared] != ABSENT) & (was[now.shared] != now.shared_customer)
    known = np.unique(np.concatenate((was[was != ABSENT], before.shared_customer)))
    gone = known[(holders.living[known] != ABSENT) & (holders.living[known] != known)]
    lost = np.concatenate((was[moved], was[now.shared[became_shared]], gone)).astype(np.int64)
    got = np.concatenate((now_customer[moved], now.shared_customer[became_shared], holders.living[gone]))
    from_to = np.unique(lost * len(holders.living) + got)
    left, right = (side.astype(np.int32) for side in np.divmod(from_to, max(len(holders.living), 1)))
    merged = holders.living[left] == right
    event, link = np.full(len(left), ABSENT, dtype=np.int64), np.full(len(left), ABSENT, dtype=np.int64)
    event[merged], link[merged] = _causes(was, evidence, groups, (left[merged], right[merged]), holders.anchor)
    return Changes(left, right, merged, event, link)


def _causes(
    before: Codes, evidence: Evidence, groups: Groups, customers: tuple[Codes, Codes], anchor: Codes
) -> tuple[Ints, Ints]:
    """Walk the links, then the evidence by key, what one customer held and still holds together being one piece, until both
    customers of a pair are one piece; give the evidence row or the link that did it, ABSENT for the other. A customer
    that held nothing there before (its id came back) is where its anchor is."""
    if not len(customers[0]):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    held = (before != ABSENT) & (groups.group != ABSENT)
    keys, number = np.unique(before[held].astype(np.int64) * groups.count + groups.group[held], return_inverse=True)
    piece = np.arange(evidence.identifier_count)
    piece[held] = evidence.identifier_count + number

    home = groups.group[anchor[customers[0]]]
    concerned = np.zeros(groups.count, dtype=bool)
    concerned[home] = True
    joining = groups.pairs[groups.joins]
    joining = joining[concerned[groups.group[evidence.pair_identifier[joining]]]]
    # of one set, those of one group side by side: what a rule kept apart from them joined nothing
    at = groups.group[evidence.pair_identifier[joining]]
    newly = np.cumsum(np.diff(evidence.pair_row[joining], prepend=ABSENT) != 0)
    order = np.lexsort((at, newly))
    pairs, at = joining[order], at[order]
    row, pieces = evidence.pair_row[pairs], piece[evidence.pair_identifier[pairs]]
    joins = np.flatnonzero((row[1:] == row[:-1]) & (at[1:] == at[:-1]) & (pieces[1:] != pieces[:-1]))
    links = groups.links
    left = np.concatenate((piece[links.one], pieces[joins]))
    right = np.concatenate((piece[links.other], pieces[joins + 1]))
    forest = _Forest()
    for time, (one, other) in enumerate(zip(left.tolist(), right.tolist(), strict=True)):
        forest.join(one, other, time)

    sides = []
    for side in customers:
        spot = np.searchsorted(keys, side * np.int64(groups.count) + home)
        stays = keys[np.minimum(spot, len(keys) - 1)] == side * np.int64(groups.count) + home
        sides.append(np.where(stays, evidence.identifier_count + spot, piece[anchor[side]]).tolist())
    times = np.array([forest.joined_at(one, other) for one, other in zip(*sides, strict=True)], dtype=np.int64)
    by_link, by_event = (times != ABSENT) & (times < len(links.link)), times >= len(links.link)
    event, link = np.full(len(times), ABSENT, dtype=np.int64), np.full(len(times), ABSENT, dtype=np.int64)
    link[by_link] = links.link[times[by_link]]
    event[by_event] = row[joins[times[by_event] - len(links.link)]]
    return event, link


class _Forest:
    """Pieces that join over time. Union by size without path compression: times grow towards the root, so the moment
    two pieces became one is the latest step on the way between them, which is log n long."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}
        self._time: dict[int, int] = {}
        self._size: dict[int, int] = {}

    def join(self, one: int, other: int, time: int) -> None:
        """Join the pieces of `one` and `other` at `time` (never smaller than the last one)."""
        one, other = self._root(one), self._root(other)
        if one == other:
            return
        if self._size.get(one, 1) > self._size.get(other, 1):
            one, other = other, one
        self._parent[one], self._time[one] = other, time
        self._size[other] = self._size.get(other, 1) + self._size.get(one, 1)

    def joined_at(self, one: int, other: int) -> int:
        """The time at which the two became one piece: ABSENT where they were one from the start or never are."""
        latest = ABSENT
        while one != other:
            if self._time.get(one, _NOT_YET) > self._time.get(other, _NOT_YET):
                one, other = other, one
            if one not in self._parent:
                return ABSENT
            latest, one = self._time[one], self._parent[one]
        return latest

    def _root(self, piece: int) -> int:
        while piece in self._parent:
            piece = self._parent[piece]
        return piece


def history_rows(
    changes: Changes, evidence: Evidence, ids: pa.Array, link_seq: list[int], recorded_at: datetime
) -> pa.Table:
    """The rows (MERGE_HISTORY) of `changes`; a merge_id is the same whenever the same change is found again."""
    taken = evidence.table.take(pa.array(changes.event, mask=changes.event == ABSENT))
    before = ids.take(pa.array(changes.before)).to_pylist()
    after = ids.take(pa.array(changes.after)).to_pylist()
    events = taken["evidence_id"].to_pylist()
    names = [
        hashlib.sha256("\x1f".join((a, b, e or "", recorded_at.isoformat())).encode()).hexdigest()
        for a, b, e in zip(before, after, events, strict=True)
    ]
    kinds = np.where(changes.merged, "merged", "split").tolist()
    when = [recorded_at] * len(names)
    told = (taken[name].combine_chunks() for name in ("first_source", "first_message_id"))
    decisions = pa.array(link_seq, pa.int64()).take(pa.array(changes.link, mask=changes.link == ABSENT))
    columns = [names, kinds, before, after, *told, events, when, decisions]
    arrays = [
        column if isinstance(column, pa.Array) else pa.array(column, field.type)
        for column, field in zip(columns, MERGE_HISTORY, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=MERGE_HISTORY)
