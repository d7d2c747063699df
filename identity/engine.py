"""The identity engine: evidence -> rules 1 and 2 -> groups -> ids -> memberships -> history (SPEC 3).

It decides everything it is given at every date, or, in an increment, the whole components that changed evidence touches and
nothing else. Hot is decided per identifier on all of its evidence, ids per ledger; so what is decided together is what
evidence or the anchors of one id connect, and components that nothing touches keep what they had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.components import ABSENT, Groups, find_components, find_groups
from identity.evidence import Codes, Evidence, encode
from identity.history import compare, history_rows
from identity.hot import HotIdentifiers, find_hot
from identity.ledger import Holders, assign_ids, new_rows, read_ledger
from identity.memberships import Intervals, find_changes, memberships_table, read_answer
from identity.rules import Rules
from identity.tables import (
    EVIDENCE,
    EVIDENCE_IDENTIFIERS,
    IDENTIFIERS,
    LEDGER,
    MEMBERSHIP_CHANGES,
    MEMBERSHIPS,
    MERGE_HISTORY,
    IdentityError,
    conform,
)


@dataclass(frozen=True)
class Increment:
    """Which part of the store a run is given: all evidence of the identifiers `decided` (ids) and nothing is decided of
    others, which may stand beside them; whole components of the last run and what changed evidence holds.

    `next_ledger_seq` and `next_component`: numbers that the store does not hold yet.
    """

    decided: pa.Array
    next_ledger_seq: int
    next_component: int


@dataclass(frozen=True)
class Resolution:
    """What a run gives back: tables with the schemas of identity.tables.

    memberships and hot replace the rows of what was decided; new_ledger_rows, merges and changes are appended.
    blocked says which identifiers were refused.
    """

    memberships: pa.Table
    new_ledger_rows: pa.Table
    merges: pa.Table
    hot: pa.Table
    changes: pa.Table
    blocked: pa.Table
    new_customers: int


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
    increment: Increment | None = None,
) -> Resolution:
    """Work out which customer every identifier belongs to at each date, and what changed since `previous`.

    `dates` ascend, naive UTC; the last is the run's as_of; evidence counts for date D if first_known_at < D.
    `ledger` and `previous` (the memberships) are those of the last run, empty at first; in an increment, those of what is
    decided. Without an increment and with an empty `previous`, the history holds the changes from each date to the next,
    as if Weft had run at each, and nothing has changed. Raises IdentityError for tables or dates that do not fit.

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
    if increment is not None:
        hot = _only_decided(hot, encoded, increment.decided)
    next_seq = increment.next_ledger_seq if increment is not None else None
    state = read_ledger(conform(ledger, LEDGER, "ledger"), encoded, dates, next_seq=next_seq)
    earlier = read_answer(conform(previous, MEMBERSHIPS, "previous"), encoded, state.ids, dates)
    before, rebuilt = earlier.at_last(encoded, len(dates)), increment is None and not len(previous)

    intervals, merges, ids_given = Intervals(encoded.identifier_count), [MERGE_HISTORY.empty_table()], len(state.ids)
    for date, instant in enumerate(dates):
        groups = find_groups(encoded, hot.hot_from, date=date)
        state, holders = assign_ids(state, encoded, groups, date=date, salt=salt)
        is_last = date == len(dates) - 1
        if rebuilt or is_last:
            changes = compare(intervals.current if rebuilt else before, encoded, groups, holders)
            merges.append(history_rows(changes, encoded, state.ids, instant))
        intervals.add(_customers_now(groups, holders), date=date)

    answer, nothing = intervals.answer(len(dates)), MEMBERSHIP_CHANGES.empty_table()
    component = find_components(
        encoded, hot.hot_from, groups, row_id=state.row_id, row_identifier=state.row_identifier
    ) + np.int64(increment.next_component if increment is not None else 0)
    return Resolution(
        memberships=memberships_table(answer, encoded, state.ids, dates, component),
        new_ledger_rows=new_rows(state, encoded, dates),
        merges=pa.concat_tables(merges),
        hot=hot.table,
        changes=nothing if rebuilt else find_changes(earlier, answer, encoded, state.ids, len(dates)),
        blocked=encoded.blocked,
        new_customers=len(state.ids) - ids_given,
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


def _only_decided(hot: HotIdentifiers, evidence: Evidence, decided: pa.Array) -> HotIdentifiers:
    """What is not decided joins nothing, as if it were hot: it is, or only kiosks stand between it and what is decided."""
    known = pc.is_in(evidence.identifiers["identifier_id"], value_set=decided).to_numpy()
    table = hot.table.filter(pc.is_in(hot.table["identifier_id"], value_set=decided))
    return HotIdentifiers(hot_from=np.where(known, hot.hot_from, 0).astype(np.int32), table=table)


def _customers_now(groups: Groups, holders: Holders) -> Codes:
    if not groups.count:
        return np.full(len(groups.group), ABSENT, dtype=np.int32)
    return np.where(groups.group != ABSENT, holders.customer[groups.group], ABSENT).astype(np.int32)
