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


@dataclass(frozen=True)
class Answer:
    """Who belongs to whom: one place per row. `identifier` (code), `customer` (id number), and [`since`, `until`) as places
    in the run's dates (`until` = their number: still). `forgotten`: rows of identifiers that the run does not know."""

    identifier: Codes
    customer: Codes
    since: Codes
    until: Codes
    forgotten: pa.Table

    def at_last(self, evidence: Evidence, date_count: int) -> Codes:
        """By identifier code the customer (id number) that still holds it, ABSENT for none."""
        customer = np.full(evidence.identifier_count, ABSENT, dtype=np.int32)
        still = self.until == date_count
        customer[self.identifier[still]] = self.customer[still]
        return customer


def read_answer(table: pa.Table, evidence: Evidence, ids: pa.Array, dates: Sequence[datetime]) -> Answer:
    """Encode the memberships of an earlier run (already conformed). Its intervals become those at `dates`."""
    customer = positions(table["customer_id"], ids)
    if customer.null_count:
        raise IdentityError(f"previous names {customer.null_count} customers that the ledger does not know.")
    identifier = positions(table["identifier_id"], evidence.identifiers["identifier_id"])
    known = pc.is_valid(identifier)
    rows = np.flatnonzero(known.to_numpy(zero_copy_only=False))
    return Answer(
        identifier=np.asarray(identifier.drop_null().to_numpy(), dtype=np.int32),
        customer=np.asarray(customer.to_numpy()[rows], dtype=np.int32),
        since=_dates_from(table["known_from"], dates)[rows],
        until=_dates_from(table["known_to"], dates)[rows],
        forgotten=table.filter(pc.invert(known)).select(MEMBERSHIP_CHANGES.names),
    )


def _dates_from(column: pa.ChunkedArray, dates: Sequence[datetime]) -> Codes:
    instant = pc.fill_null(column.cast(pa.int64()), np.iinfo(np.int64).max).to_numpy()
    return np.asarray(np.searchsorted(instants(dates), instant, side="left"), dtype=np.int32)


class Intervals:
    """Collects who belongs to whom date by date; memory grows with the changes, not with the dates."""

    def __init__(self, identifier_count: int) -> None:
        self._customer = np.full(identifier_count, ABSENT, dtype=np.int32)
        self._since = np.zeros(identifier_count, dtype=np.int32)
        self._closed: list[tuple[Codes, Codes, Codes, Codes]] = []

    @property
    def current(self) -> Codes:
        """By identifier code the customer (id number) at the last date added, ABSENT for none."""
        return self._customer

    def add(self, customer: Codes, *, date: int) -> None:
        """Take the answer at the next date: by identifier code the customer's id number or ABSENT."""
        changed = np.flatnonzero(customer != self._customer)
        ended = changed[self._customer[changed] != ABSENT].astype(np.int32)
        until = np.full(len(ended), date, dtype=np.int32)
        self._closed.append((ended, self._customer[ended], self._since[ended], until))
        self._since[changed] = date
        self._customer = customer

    def answer(self, date_count: int) -> Answer:
        """All intervals, by identifier (priority and value), then by date."""
        held = np.flatnonzero(self._customer != ABSENT).astype(np.int32)
        still = np.full(len(held), date_count, dtype=np.int32)
        parts = [*self._closed, (held, self._customer[held], self._since[held], still)]
        identifier, customer, since, until = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((since, identifier)) if len(held) < len(identifier) else np.arange(len(held))
        nothing = MEMBERSHIP_CHANGES.empty_table()
        return Answer(identifier[order], customer[order], since[order], until[order], nothing)


def memberships_table(
    answer: Answer, evidence: Evidence, ids: pa.Array, dates: Sequence[datetime], component: Ints
) -> pa.Table:
    """The rows (MEMBERSHIPS) of an answer; `component` by identifier code."""
    named = evidence.identifiers.take(pa.array(answer.identifier))
    moments = pa.array(np.array([*dates, "NaT"], dtype="datetime64[us]"))
    nothing = pa.nulls(len(answer.identifier), moments.type)
    known = [moments.take(pa.array(answer.since)), moments.take(pa.array(answer.until))]
    customers = ids.take(pa.array(answer.customer))
    columns = [*named.columns, customers, nothing, nothing, *known, pa.array(component[answer.identifier])]
    return pa.Table.from_arrays(columns, schema=MEMBERSHIPS)


def find_changes(before: Answer, after: Answer, evidence: Evidence, ids: pa.Array, date_count: int) -> pa.Table:
    """Compare two answers at every date in use: rows of MEMBERSHIP_CHANGES. Cost: n log n in rows."""
    old, new = (_packed(answer, len(ids), date_count) for answer in (before, after))
    holdings = np.int64((date_count + 1) ** 2)
    changed = np.zeros(evidence.identifier_count, dtype=bool)
    changed[np.setxor1d(old, new) // holdings // max(len(ids), 1)] = True
    holders = np.unique(np.concatenate((old, new)) // holdings)
    identifier, customer = np.divmod(holders, max(len(ids), 1))
    kept = changed[identifier]
    named = evidence.identifiers["identifier_id"].take(pa.array(identifier[kept])), ids.take(pa.array(customer[kept]))
    return pa.concat_tables([pa.Table.from_arrays([*named], schema=MEMBERSHIP_CHANGES), before.forgotten])


def _packed(answer: Answer, id_count: int, date_count: int) -> Ints:
    """Rows that hold at any date in use, each as one integer: numpy sorts integers ten times faster than columns."""
    holds = answer.since < answer.until
    row = answer.identifier[holds].astype(np.int64) * id_count + answer.customer[holds]
    return (row * (date_count + 1) + answer.since[holds]) * (date_count + 1) + answer.until[holds]
