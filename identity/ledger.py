"""Customer ids: an append-only ledger of (id, anchor), and which group holds which id at a date.

An id belongs to the group that holds its best anchor: strong over weak, then the oldest row. A group takes the oldest
id that belongs to it; the others redirect to it, which needs no row. A group without an id gets a new one.

Past dates are worked out again in later runs, so that a row counts before the date it was recorded for only where the
id has no other anchor alive and the group has no id of its time; such rows go by age alone. Hence rows that a run adds
change no answer it gave: history keeps the ids it had, a run that is repeated changes nothing, and an increment need not
look at components whose evidence is as it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.components import ABSENT
from identity.evidence import Codes, Evidence, Flags, Ints, instants
from identity.groups import Groups
from identity.tables import LEDGER

_LATE, _WEAK = np.int64(1) << 62, np.int64(1) << 61
_ANONYMOUS = np.int64(1) << 62
_NONE, _ID = np.iinfo(np.int64).max, (np.int64(1) << 31) - 1


@dataclass(frozen=True)
class Ledger:
    """`ids`: customer ids by age; an id's number is its place. Rows, oldest first: id number, identifier code (ABSENT
    where the run does not know it), strength, and the date (place in `dates`) from which the row counts."""

    ids: pa.Array
    row_id: Codes
    row_identifier: Codes
    row_strong: Flags
    row_date: Codes
    given_rows: int
    next_seq: int


@dataclass(frozen=True)
class Holders:
    """At one date: `customer` (id number by group, ABSENT for unused group numbers) and, by id number, `anchor` (the
    identifier code of the best living anchor) and `living` (the id of the group that holds it); ABSENT for dead ids."""

    customer: Codes
    anchor: Codes
    living: Codes


def read_ledger(
    table: pa.Table, evidence: Evidence, dates: Sequence[datetime], *, next_seq: int | None = None
) -> Ledger:
    """Encode the ledger of earlier runs (already conformed), any row order.

    It may be a part of it, if that holds every row of every id that any of the identifiers decided on ever anchored;
    `next_seq`, where the next row goes, must then be given.
    """
    table = table.take(pc.sort_indices(table, sort_keys=[("ledger_seq", "ascending")]))
    encoded = table["customer_id"].combine_chunks().dictionary_encode()  # numbers follow first appearance, so age
    recorded = table["recorded_at"].cast(pa.int64()).to_numpy()
    return Ledger(
        ids=encoded.dictionary,
        row_id=np.asarray(encoded.indices.to_numpy(), dtype=np.int32),
        row_identifier=evidence.codes(table["identifier_id"]),
        row_strong=np.asarray(table["is_strong"].combine_chunks().to_numpy(zero_copy_only=False), dtype=bool),
        row_date=np.searchsorted(instants(dates), recorded, side="left").astype(np.int32),
        given_rows=len(table),
        next_seq=next_seq if next_seq is not None else _after_last(table),
    )


def _after_last(table: pa.Table) -> int:
    return int(table["ledger_seq"][-1].as_py()) + 1 if len(table) else 0


def assign_ids(ledger: Ledger, evidence: Evidence, groups: Groups, *, date: int, salt: str) -> tuple[Ledger, Holders]:
    """Give every group its customer id at `date`; the ledger comes back with the rows that this added.

    An idle group (a shared identifier whose events are all somebody's) keeps an id but is given none."""
    best = _best_rows(ledger, groups, date)
    alive = np.flatnonzero(best != ABSENT)
    customer = _oldest_ids(ledger, groups, best, alive, date)
    used = np.zeros(groups.count, dtype=bool)
    used[groups.group[groups.group != ABSENT]] = True

    idless = used & (customer == ABSENT) & ~groups.idle
    gaining = _anonymous_ids(ledger, groups, customer) & _with_strong(evidence, groups) & ~idless
    anchors = find_anchors(evidence, groups, idless | gaining)
    minted = _by_key(groups, anchors, np.flatnonzero(idless))
    customer[minted] = len(ledger.ids) + np.arange(len(minted), dtype=np.int32)
    gained = _by_key(groups, anchors, np.flatnonzero(gaining))
    touched = np.concatenate((minted, gained))
    after = _append(ledger, evidence, customer[touched], anchors[touched], date)
    after = replace(after, ids=_with_new_ids(ledger.ids, evidence, anchors[minted], salt))

    anchor = np.full(len(after.ids), ABSENT, dtype=np.int32)
    anchor[alive] = ledger.row_identifier[best[alive]]
    anchor[customer[touched]] = anchors[touched]
    living = np.where(anchor == ABSENT, ABSENT, customer[groups.group[anchor]]).astype(np.int32)
    return after, Holders(customer, anchor, living)


def _best_rows(ledger: Ledger, groups: Groups, date: int) -> Codes:
    """By id number the row of its best living anchor, ABSENT for none."""
    rows = np.flatnonzero(ledger.row_identifier != ABSENT)
    rows = rows[groups.group[ledger.row_identifier[rows]] != ABSENT]
    late = ledger.row_date[rows] > date
    rank = rows + np.where(late, _LATE, np.where(ledger.row_strong[rows], 0, _WEAK))
    best = np.full(len(ledger.ids), _NONE)
    np.minimum.at(best, ledger.row_id[rows], rank)
    return np.where(best == _NONE, ABSENT, best & (_WEAK - 1)).astype(np.int32)


def _oldest_ids(ledger: Ledger, groups: Groups, best: Codes, alive: Ints, date: int) -> Codes:
    """By group number the id it takes: the oldest, or, where all were recorded later, that of the oldest row."""
    late = ledger.row_date[best[alive]] > date
    rank = np.where(late, _LATE + (best[alive].astype(np.int64) << 31), 0) + alive
    taken = np.full(groups.count, _NONE)
    np.minimum.at(taken, groups.group[ledger.row_identifier[best[alive]]], rank)
    return np.where(taken == _NONE, ABSENT, taken & _ID).astype(np.int32)


def _anonymous_ids(ledger: Ledger, groups: Groups, customer: Codes) -> Flags:
    """Groups that hold no strong anchor of the id they took."""
    rows = np.flatnonzero(ledger.row_strong & (ledger.row_identifier != ABSENT))
    home = groups.group[ledger.row_identifier[rows]]
    held = (home != ABSENT) & (customer[home] == ledger.row_id[rows])
    anonymous = np.ones(groups.count, dtype=bool)
    anonymous[home[held]] = False
    return anonymous


def _with_strong(evidence: Evidence, groups: Groups) -> Flags:
    strong = np.zeros(groups.count, dtype=bool)
    strong[groups.group[(groups.group != ABSENT) & evidence.is_strong]] = True
    return strong


def find_anchors(evidence: Evidence, groups: Groups, wanted: Flags) -> Codes:
    """Give for each wanted group its first strong identifier by (key, priority, value), else its first weak one.

    By group number; ABSENT for groups that are not wanted.
    """
    members = np.flatnonzero(groups.group != ABSENT)
    members = members[wanted[groups.group[members]]]
    order = groups.first_place[members].astype(np.int64) * evidence.identifier_count + members
    order += np.where(evidence.is_strong[members], 0, _ANONYMOUS)
    best = np.full(groups.count, _NONE)
    np.minimum.at(best, groups.group[members], order)
    anchor = np.full(groups.count, ABSENT, dtype=np.int32)
    found = best != _NONE
    anchor[found] = (best[found] & ~_ANONYMOUS) % evidence.identifier_count
    return anchor


def _by_key(groups: Groups, anchors: Codes, numbers: Ints) -> Ints:
    return numbers[np.lexsort((anchors[numbers], groups.first_place[anchors[numbers]]))]


def _append(ledger: Ledger, evidence: Evidence, ids: Codes, identifiers: Codes, date: int) -> Ledger:
    return replace(
        ledger,
        row_id=np.concatenate((ledger.row_id, ids)),
        row_identifier=np.concatenate((ledger.row_identifier, identifiers)),
        row_strong=np.concatenate((ledger.row_strong, evidence.is_strong[identifiers])),
        row_date=np.concatenate((ledger.row_date, np.full(len(ids), date, dtype=np.int32))),
    )


def _with_new_ids(ids: pa.Array, evidence: Evidence, anchors: Codes, salt: str) -> pa.Array:
    """Append one id per anchor. An anchor that made an id before, which has since left it (a split), makes its next."""
    if not len(anchors):
        return ids
    taken = evidence.named(anchors)
    names = list(zip(taken["identifier_type"].to_pylist(), taken["identifier_value"].to_pylist(), strict=True))
    new = [customer_id(salt, kind, value) for kind, value in names]
    generation, clashing = 0, pc.is_in(pa.array(new), value_set=ids).to_numpy(zero_copy_only=False).nonzero()[0]
    while len(clashing):
        generation += 1
        again = [customer_id(salt, *names[place], generation=generation) for place in clashing]
        for place, text in zip(clashing, again, strict=True):
            new[place] = text
        clashing = clashing[pc.is_in(pa.array(again), value_set=ids).to_numpy(zero_copy_only=False)]
    return pa.concat_arrays([ids, pa.array(new, pa.string())])


def customer_id(salt: str, anchor_type: str, anchor_value: str, *, generation: int = 0) -> str:
    """The id that an anchor makes: sha256 of salt and anchor, cut to 128 bits, in hex (SPEC 3, Ids)."""
    text = "\x1f".join((salt, anchor_type, str(generation), anchor_value))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def new_rows(ledger: Ledger, evidence: Evidence, dates: Sequence[datetime]) -> pa.Table:
    """The rows (LEDGER) that this run added; recorded_at is the date they were recorded for."""
    added = slice(ledger.given_rows, None)
    named = evidence.named(ledger.row_identifier[added])
    recorded = np.array(list(dates), dtype="datetime64[us]")[ledger.row_date[added]]
    sequence = np.arange(len(named), dtype=np.int64) + ledger.next_seq
    customers = ledger.ids.take(pa.array(ledger.row_id[added]))
    columns = [pa.array(sequence), customers, *named.columns, pa.array(ledger.row_strong[added]), pa.array(recorded)]
    return pa.Table.from_arrays(columns, schema=LEDGER)
