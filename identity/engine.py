"""The identity engine: evidence -> rules 1 to 5 -> groups -> visits -> ids -> memberships -> history (SPEC 3).

It decides everything it is given at every date, or, in an increment, the whole components that changed evidence touches and
nothing else. Hot is decided per identifier on all of its evidence, ids per ledger; so what is decided together is what
evidence or the anchors of one id connect, and components that nothing touches keep what they had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.components import ABSENT, find_components
from identity.decision_codes import encode_decisions, links_at
from identity.evidence import Evidence, encode
from identity.groups import Groups, find_groups
from identity.history import compare, history_rows
from identity.hot import HotIdentifiers, find_hot
from identity.ledger import Holders, assign_ids, new_rows, read_ledger
from identity.memberships import Held, Intervals, find_changes, memberships_table, read_answer
from identity.reports import Reviews, refused_joins_table, set_aside_table, waiting_table
from identity.rules import Rules
from identity.tables import (
    DECISIONS,
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
from identity.visits import EventLog, EventsOf, Runs, find_runs, idle_groups


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

    memberships, hot, set_aside, refused_joins and review_queue replace the rows of what was decided, waiting those of the
    decisions given; new_ledger_rows, merges and changes are appended. blocked says which identifiers were refused.
    """

    memberships: pa.Table
    new_ledger_rows: pa.Table
    merges: pa.Table
    hot: pa.Table
    set_aside: pa.Table
    refused_joins: pa.Table
    review_queue: pa.Table
    waiting: pa.Table
    changes: pa.Table
    blocked: pa.Table
    new_customers: int


def resolve(
    *,
    identifiers: pa.Table,
    evidence: pa.Table,
    evidence_identifiers: pa.Table,
    decisions: pa.Table,
    events_of: EventsOf,
    ledger: pa.Table,
    previous: pa.Table,
    rules: Rules,
    dates: Sequence[datetime],
    salt: str,
    increment: Increment | None = None,
) -> Resolution:
    """Work out which customer every identifier belongs to at each date, and what changed since `previous`.

    `dates` ascend, naive UTC; the last is the run's as_of; evidence counts for date D if first_known_at < D. `decisions`
    are those in force, and count at every date. `events_of` is asked for the events of sets with shared identifiers.
    `ledger` and `previous` (the memberships) are those of the last run, empty at first; in an increment, those of what is
    decided. Without an increment and with an empty `previous`, the history holds the changes from each date to the next,
    as if Weft had run at each, and nothing has changed. Raises IdentityError for tables or dates that do not fit.

    Cost: strings are encoded and evidence sorted once, n log n; then per date linear in the pairs known by it, and
    n log n in the events on shared identifiers.
    """
    _check(dates, salt)
    encoded = encode(
        conform(identifiers, IDENTIFIERS, "identifiers"),
        conform(evidence, EVIDENCE, "evidence"),
        conform(evidence_identifiers, EVIDENCE_IDENTIFIERS, "evidence_identifiers"),
        decisions := conform(decisions, DECISIONS, "decisions"),
        rules=rules,
        dates=dates,
    )
    decided = encode_decisions(decisions, encoded)
    hot = find_hot(encoded, rules, date_count=len(dates))
    if increment is not None:
        hot = _only_decided(hot, encoded, increment.decided)
    next_seq = increment.next_ledger_seq if increment is not None else None
    state = read_ledger(conform(ledger, LEDGER, "ledger"), encoded, dates, next_seq=next_seq)
    earlier = read_answer(conform(previous, MEMBERSHIPS, "previous"), encoded, state.ids, dates)
    before, rebuilt = earlier.at_last(encoded, len(dates)), increment is None and not len(previous)

    events, reviews = EventLog(encoded, events_of, list(dates)), Reviews(encoded)
    intervals, merges, ids_given = Intervals(encoded), [MERGE_HISTORY.empty_table()], len(state.ids)
    for date, instant in enumerate(dates):
        groups = find_groups(encoded, hot.hot_from, decided, rules, date=date)
        runs = find_runs(encoded, groups, events, date=date, gap_minutes=rules.visits.gap_minutes)
        groups = replace(groups, idle=idle_groups(groups, runs))
        state, holders = assign_ids(state, encoded, groups, date=date, salt=salt)
        held = _held(groups, runs, holders)
        if rebuilt or date == len(dates) - 1:
            changes = compare(intervals.current if rebuilt else before, held, encoded, groups, holders)
            merges.append(history_rows(changes, encoded, state.ids, instant))
        intervals.add(held, date=date)
        reviews.add(groups, date=date)

    answer, nothing = intervals.answer(len(dates)), MEMBERSHIP_CHANGES.empty_table()
    component = find_components(
        encoded,
        hot.hot_from,
        (groups.component, groups.component_count),
        links=links_at(decided, encoded, hot.hot_from, ABSENT),
        ledger=(state.row_id, state.row_identifier),
    ) + np.int64(increment.next_component if increment is not None else 0)
    return Resolution(
        memberships=memberships_table(answer, encoded, state.ids, dates, component),
        new_ledger_rows=new_rows(state, encoded, dates),
        merges=pa.concat_tables(merges),
        hot=hot.table,
        set_aside=set_aside_table(encoded, groups, decided),
        refused_joins=refused_joins_table(encoded, groups, decided),
        review_queue=reviews.table(dates),
        waiting=waiting_table(decisions, encoded, hot.hot_from, date=len(dates) - 1),
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
    identifiers = evidence.given["identifier_id"]
    # an identifier that only decisions name has no id, and joins those that they link to it
    known = pc.or_(pc.is_in(identifiers, value_set=decided), pc.equal(identifiers, "")).to_numpy()[evidence.row_of]
    table = hot.table.filter(pc.is_in(hot.table["identifier_id"], value_set=decided))
    return HotIdentifiers(hot_from=np.where(known, hot.hot_from, 0).astype(np.int32), table=table)


def _held(groups: Groups, runs: Runs, holders: Holders) -> Held:
    """Customers instead of groups."""
    plain = (groups.group != ABSENT) & ~groups.shared
    customer = np.full(len(groups.group), ABSENT, dtype=np.int32)
    customer[plain] = holders.customer[groups.group[plain]]
    return Held(customer, runs.identifier, holders.customer[runs.group], runs.valid_from, runs.valid_to)
