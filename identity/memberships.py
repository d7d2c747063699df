"""Memberships over the dates in use: equal answers at consecutive dates become one interval."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa

from identity.components import ABSENT
from identity.evidence import Codes, Evidence
from identity.tables import MEMBERSHIPS


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

    def table(self, evidence: Evidence, ids: pa.Array, dates: Sequence[datetime]) -> pa.Table:
        """All intervals (MEMBERSHIPS), by identifier's priority and value, then by known_from."""
        held = np.flatnonzero(self._customer != ABSENT).astype(np.int32)
        still = np.full(len(held), len(dates), dtype=np.int32)
        parts = [*self._closed, (held, self._customer[held], self._since[held], still)]
        identifier, customer, since, until = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.lexsort((since, identifier))
        named = evidence.identifiers.take(pa.array(identifier[order]))
        instants = pa.array(np.array([*dates, "NaT"], dtype="datetime64[us]"))
        nothing = pa.nulls(len(order), instants.type)
        known = [instants.take(pa.array(since[order])), instants.take(pa.array(until[order]))]
        columns = [*named.columns, ids.take(pa.array(customer[order])), nothing, nothing, *known]
        return pa.Table.from_arrays(columns, schema=MEMBERSHIPS)
