"""Memberships over the dates in use: equal answers at consecutive dates become one interval."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.components import ABSENT
from identity.evidence import Codes, Evidence, Ints, instants
from identity.tables import MEMBERSHIP_CHANGES, MEMBERSHIPS, IdentityError, positions

ALWAYS = np.iinfo(np.int64).min
"""Both ends of the validity of an identifier that is not shared."""


@dataclass(frozen=True)
class Held:
    """Who holds what at one date. By identifier code `customer` (id number, ABSENT for none and for shared ones); for each
    run of a shared one its code, customer, and validity in microseconds since 1970."""

    customer: Codes
    shared: Codes
    shared_customer: Codes
    valid_from: Ints
    valid_to: Ints


@dataclass(frozen=True)
class Answer:
    """Who belongs to whom: one place per row. `identifier` (code), `customer` (id number), validity (ALWAYS: unbounded), and
    [`since`, `until`) as places in the run's dates (`until` = their number: still). `forgotten`: rows of identifiers
    that the run does not know."""

    identifier: Codes
    customer: Codes
    valid_from: Ints
    valid_to: Ints
    since: Codes
    until: Codes
    forgotten: pa.Table

    def at_last(self, evidence: Evidence, date_count: int) -> Held:
        """Who still holds what."""
        customer = np.full(evidence.identifier_count, ABSENT, dtype=np.int32)
        still, always = self.until == date_count, self.valid_from == ALWAYS
        plain, shared = still & always, still & ~always
        customer[self.identifier[plain]] = self.customer[plain]
        columns = (self.identifier, self.customer, self.valid_from, self.valid_to)
        return Held(customer, *(column[shared] for column in columns))


def nothing_held(evidence: Evidence) -> Held:
    """Nobody holds anything."""
    none, never = np.empty(0, dtype=np.int32), np.empty(0, dtype=np.int64)
    return Held(np.full(evidence.identifier_count, ABSENT, dtype=np.int32), none, none, never, never)


def read_answer(table: pa.Table, evidence: Evidence, ids: pa.Array, dates: Sequence[datetime]) -> Answer:
    """Encode the memberships of an earlier run (already conformed). Its intervals become those at `dates`."""
    customer = positions(table["customer_id"], ids)
    if customer.null_count:
        raise IdentityError(f"previous names {customer.null_count} customers that the ledger does not know.")
    identifier = evidence.codes(table["identifier_id"])
    rows = np.flatnonzero(identifier != ABSENT)
    return Answer(
        identifier=identifier[rows],
        customer=np.asarray(customer.to_numpy()[rows], dtype=np.int32),
        valid_from=_instants(table["valid_from"], ALWAYS)[rows],
        valid_to=_instants(table["valid_to"], ALWAYS)[rows],
        since=_dates_from(table["known_from"], dates)[rows],
        until=_dates_from(table["known_to"], dates)[rows],
        forgotten=table.filter(pa.array(identifier == ABSENT)).select(MEMBERSHIP_CHANGES.names),
    )


def _instants(column: pa.ChunkedArray, missing: int) -> Ints:
    found: Ints = pc.fill_null(column.cast(pa.int64()), missing).to_numpy()
    return found


def _dates_from(column: pa.ChunkedArray, dates: Sequence[datetime]) -> Codes:
    instant = _instants(column, np.iinfo(np.int64).max)
    return np.asarray(np.searchsorted(instants(dates), instant, side="left"), dtype=np.int32)


class Intervals:
    """Collects who belongs to whom date by date; memory grows with the changes and with the runs of shared identifiers."""

    def __init__(self, evidence: Evidence) -> None:
        self._held = nothing_held(evidence)
        self._since = np.zeros(evidence.identifier_count, dtype=np.int32)
        self._closed: list[tuple[Codes, Codes, Codes, Codes]] = []
        self._shared: list[tuple[Codes, Codes, Ints, Ints, Codes]] = []

    @property
    def current(self) -> Held:
        """The answer at the last date added."""
        return self._held

    def add(self, held: Held, *, date: int) -> None:
        """Take the answer at the next date."""
        earlier = self._held.customer
        changed = np.flatnonzero(held.customer != earlier)
        ended = changed[earlier[changed] != ABSENT].astype(np.int32)
        until = np.full(len(ended), date, dtype=np.int32)
        self._closed.append((ended, earlier[ended], self._since[ended], until))
        self._since[changed] = date
        when = np.full(len(held.shared), date, dtype=np.int32)
        self._shared.append((held.shared, held.shared_customer, held.valid_from, held.valid_to, when))
        self._held = held

    def answer(self, date_count: int) -> Answer:
        """All intervals, by identifier, then by date and validity."""
        held = np.flatnonzero(self._held.customer != ABSENT).astype(np.int32)
        still = np.full(len(held), date_count, dtype=np.int32)
        parts = [*self._closed, (held, self._held.customer[held], self._since[held], still)]
        identifier, customer, since, until = (np.concatenate(column) for column in zip(*parts, strict=True))
        always: Ints = np.full(len(identifier), ALWAYS)
        nothing = MEMBERSHIP_CHANGES.empty_table()
        plain = Answer(identifier, customer, always, always, since, until, nothing)
        if len(held) == len(identifier) and not sum(map(len, (run[0] for run in self._shared))):
            return plain
        return _ordered(plain, self._shared_rows())

    def _shared_rows(self) -> Answer:
        """Equal runs at consecutive dates are one row."""
        identifier, customer, valid_from, valid_to, date = (
            np.concatenate(column) for column in zip(*self._shared, strict=True)
        )
        since, until, chosen = consecutive((identifier, customer, valid_from, valid_to), date)
        return Answer(
            identifier[chosen],
            customer[chosen],
            valid_from[chosen],
            valid_to[chosen],
            since,
            until,
            MEMBERSHIP_CHANGES.empty_table(),
        )


def _ordered(one: Answer, other: Answer) -> Answer:
    """The rows of both, by identifier, then by date and validity."""
    columns = {
        name: np.concatenate((getattr(one, name), getattr(other, name)))
        for name in ("identifier", "customer", "valid_from", "valid_to", "since", "until")
    }
    order = np.lexsort((columns["valid_from"], columns["since"], columns["identifier"]))
    return Answer(**{name: column[order] for name, column in columns.items()}, forgotten=one.forgotten)


def consecutive(columns: Sequence[Codes | Ints], date: Codes) -> tuple[Codes, Codes, Ints]:
    """Rows that hold at consecutive dates (each given once per date) as intervals: [since, until), and a place in
    `columns` that shows each."""
    order = np.lexsort((date, *reversed(columns)))
    at = date[order]
    opens = np.ones(len(order), dtype=bool)
    opens[1:] = at[1:] != at[:-1] + 1
    for column in columns:
        opens[1:] |= column[order][1:] != column[order][:-1]
    first = np.flatnonzero(opens)
    last = np.append(first[1:], len(order))[: len(first)] - 1
    return at[first], at[last] + 1, order[first]


def memberships_table(
    answer: Answer, evidence: Evidence, ids: pa.Array, dates: Sequence[datetime], component: Ints
) -> pa.Table:
    """The rows (MEMBERSHIPS) of an answer; `component` by identifier code."""
    named = evidence.named(answer.identifier)
    moments = pa.array(np.array([*dates, "NaT"], dtype="datetime64[us]"))
    always = answer.valid_from == ALWAYS
    valid = [
        pa.array(instant, mask=always, type=pa.int64()).cast(moments.type)
        for instant in (answer.valid_from, answer.valid_to)
    ]
    known = [moments.take(pa.array(answer.since)), moments.take(pa.array(answer.until))]
    customers = ids.take(pa.array(answer.customer))
    columns = [*named.columns, customers, *valid, *known, pa.array(component[answer.identifier])]
    return pa.Table.from_arrays(columns, schema=MEMBERSHIPS)


def find_changes(before: Answer, after: Answer, evidence: Evidence, ids: pa.Array, date_count: int) -> pa.Table:
    """Compare two answers at every date in use: rows of MEMBERSHIP_CHANGES. Cost: n log n in rows."""
    changed = np.zeros(evidence.identifier_count, dtype=bool)
    old, new = (_packed(answer, len(ids), date_count) for answer in (before, after))
    holdings = np.int64((date_count + 1) ** 2)
    changed[np.setxor1d(old, new) // holdings // max(len(ids), 1)] = True
    changed[_moved_periods(before, after)] = True
    holders = np.unique(np.concatenate((old, new)) // holdings)
    shared = [
        answer.identifier.astype(np.int64)[rows] * max(len(ids), 1) + answer.customer[rows]
        for answer in (before, after)
        for rows in [np.flatnonzero((answer.valid_from != ALWAYS) & (answer.since < answer.until))]
    ]
    identifier, customer = np.divmod(np.unique(np.concatenate((holders, *shared))), max(len(ids), 1))
    kept = changed[identifier]
    named = evidence.ids(identifier[kept]), ids.take(pa.array(customer[kept]))
    return pa.concat_tables([pa.Table.from_arrays([*named], schema=MEMBERSHIP_CHANGES), before.forgotten])


def _packed(answer: Answer, id_count: int, date_count: int) -> Ints:
    """Rows of unshared identifiers that hold at any date in use, each as one integer: numpy sorts integers ten times
    faster than columns."""
    holds = (answer.since < answer.until) & (answer.valid_from == ALWAYS)
    row = answer.identifier[holds].astype(np.int64) * id_count + answer.customer[holds]
    packed: Ints = (row * (date_count + 1) + answer.since[holds]) * (date_count + 1) + answer.until[holds]
    return packed


def _moved_periods(before: Answer, after: Answer) -> Codes:
    """Identifiers of which a run is in one answer only."""
    columns = []
    for name in ("identifier", "customer", "valid_from", "valid_to", "since", "until"):
        sides = [
            getattr(answer, name)[(answer.valid_from != ALWAYS) & (answer.since < answer.until)]
            for answer in (before, after)
        ]
        columns.append(np.concatenate(sides))
    order = np.lexsort(columns)
    differs = np.zeros(len(order) + 1, dtype=bool)
    differs[[0, -1]] = True
    for column in columns:
        differs[1:-1] |= np.diff(column[order]) != 0
    alone: Codes = columns[0][order[differs[1:] & differs[:-1]]]
    return alone
