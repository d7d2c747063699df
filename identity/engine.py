"""The identity engine: evidence -> rules 1 and 2 -> groups -> ids -> memberships -> history (SPEC 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.components import ABSENT, Groups, find_groups
from identity.evidence import Codes, Evidence, encode
from identity.history import compare, history_rows
from identity.hot import find_hot
from identity.ledger import Holders, Ledger, assign_ids, new_rows, read_ledger
from identity.memberships import Intervals
from identity.rules import Rules
from identity.tables import (
    EVIDENCE,
    EVIDENCE_IDENTIFIERS,
    IDENTIFIERS,
    LEDGER,
    MEMBERSHIPS,
    MERGE_HISTORY,
    IdentityError,
    conform,
    positions,
)


@dataclass(frozen=True)
class Statistics:
    """Counts of one run at its last date."""

    evidence: int
    identifiers: int
    blocked: int
    hot: int
    customers: int
    largest_customer: int
    new_customers: int


@dataclass(frozen=True)
class Resolution:
    """What a run gives back: tables with the schemas of identity.tables.

    memberships replaces the old table; new_ledger_rows and merges are appended; hot and blocked replace.
    """

    memberships: pa.Table
    new_ledger_rows: pa.Table
    merges: pa.Table
    hot: pa.Table
    blocked: pa.Table
    statistics: Statistics


def resolve(
    *,
    identifiers: pa.Table,
    evidence: pa.Table,
    evidence_identifiers: pa.Table,
    ledger: pa.Table,
    previous: pa.Table,
    rules: Rules,
    dates: Sequence[datetime],
    salt: str,
) -> Resolution:
    """Work out which customer every identifier belongs to at each date, and what changed since `previous`.

    `dates` ascend, naive UTC; the last is the run's as_of; evidence counts for date D if first_known_at < D.
    `ledger` and `previous` (the memberships) are those of the last run, empty at first. With an empty `previous` the
    history holds the changes from each date to the next, as if Weft had run at each.
    Raises IdentityError for tables or dates that do not fit.

    Cost: strings are encoded and evidence sorted once, n log n; then per date linear in the pairs known by it.
    """
    _check(dates, salt)
    encoded = encode(
        conform(identifiers, IDENTIFIERS, "identifiers"),
        conform(evidence, EVIDENCE, "evidence"),
        conform(evidence_identifiers, EVIDENCE_IDENTIFIERS, "evidence_identifiers"),
        rules=rules,
        dates=dates,
    )
    hot = find_hot(encoded, rules, date_count=len(dates))
    state = read_ledger(conform(ledger, LEDGER, "ledger"), encoded, dates)
    before = _customers_before(conform(previous, MEMBERSHIPS, "previous"), encoded, state)
    rebuilt = not (before != ABSENT).any()

    intervals, merges, ids_given = Intervals(encoded.identifier_count), [MERGE_HISTORY.empty_table()], len(state.ids)
    for date, instant in enumerate(dates):
        groups = find_groups(encoded, hot.hot_from, date=date)
        state, holders = assign_ids(state, encoded, groups, date=date, salt=salt)
        is_last = date == len(dates) - 1
        if rebuilt or is_last:
            changes = compare(intervals.current if rebuilt else before, encoded, groups, holders)
            merges.append(history_rows(changes, encoded, state.ids, instant))
        intervals.add(_customers_now(groups, holders), date=date)

    history = pa.concat_tables(merges)
    return Resolution(
        memberships=intervals.table(encoded, state.ids, dates),
        new_ledger_rows=new_rows(state, encoded, dates),
        merges=history,
        hot=hot.table,
        blocked=encoded.blocked,
        statistics=_statistics(encoded, hot.table, intervals.current, minted=len(state.ids) - ids_given),
    )


def _check(dates: Sequence[datetime], salt: str) -> None:
    if not salt:
        raise IdentityError("salt is empty; customer ids need the installation's salt.")
    if not dates:
        raise IdentityError("dates is empty; it must end with the run's as_of.")
    for date in dates:
        if not isinstance(date, datetime) or date.tzinfo is not None:
            raise IdentityError(f"dates must be naive UTC datetimes; {date!r} is not.")
    for earlier, later in pairwise(dates):
        if earlier >= later:
            raise IdentityError(f"dates must ascend; {later} stands after {earlier}.")


def _customers_before(previous: pa.Table, evidence: Evidence, ledger: Ledger) -> Codes:
    current = previous.filter(pc.is_null(previous["known_to"]))
    customer = positions(current["customer_id"], ledger.ids)
    if customer.null_count:
        raise IdentityError(f"previous names {customer.null_count} customers that the ledger does not know.")
    identifier = positions(current["identifier_id"], evidence.identifiers["identifier_id"])
    known = pc.is_valid(identifier).to_numpy(zero_copy_only=False)
    before = np.full(evidence.identifier_count, ABSENT, dtype=np.int32)
    before[identifier.drop_null().to_numpy()] = customer.to_numpy()[known]
    return before


def _customers_now(groups: Groups, holders: Holders) -> Codes:
    if not groups.count:
        return np.full(len(groups.group), ABSENT, dtype=np.int32)
    return np.where(groups.group != ABSENT, holders.customer[groups.group], ABSENT).astype(np.int32)


def _statistics(evidence: Evidence, hot: pa.Table, current: Codes, *, minted: int) -> Statistics:
    _, sizes = np.unique(current[current != ABSENT], return_counts=True)
    return Statistics(
        evidence=evidence.rows_known,
        identifiers=int(sizes.sum()),
        blocked=len(evidence.blocked),
        hot=len(pc.unique(hot["identifier_id"])),
        customers=len(sizes),
        largest_customer=int(sizes.max(initial=0)),
        new_customers=minted,
    )
