"""Between evidence and customers: hand the warehouse's evidence to the identity engine and write its answer in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from identity import tables
from identity.engine import Increment, Resolution, resolve
from identity.rules import Rules
from orchestration.failpoints import failpoints
from orchestration.stitch_scope import DECISIONS_OF_LAST_RUN, Scope, find_scope, next_number, number_all, remember
from orchestration.warehouse import SQL_TYPES, Connection, create_table, first_row, row_count, scalar, write_table

MEMBERSHIP_CHANGES = pa.schema([("run_seq", pa.int64()), *tables.MEMBERSHIP_CHANGES])
"""identity.membership_changes: what consumers of earlier answers have to look at again."""
REVIEW_CHANGES = pa.schema([("run_seq", pa.int64()), ("evidence_id", pa.string())])
"""identity.review_changes: sets of evidence whose strong identifiers count, or no longer count, for whose events they are."""
ENGINE_TABLES = {
    "identity.review_queue": tables.REVIEW_QUEUE,
    "identity.memberships": tables.MEMBERSHIPS,
    "identity.hot_identifiers": tables.HOT_IDENTIFIERS,
    "identity.set_aside": tables.SET_ASIDE,
    "identity.refused_joins": tables.REFUSED_JOINS,
    "identity.waiting_decisions": tables.WAITING_DECISIONS,
    "identity.customer_ids": tables.LEDGER,
    "identity.merge_history": tables.MERGE_HISTORY,
    "identity.membership_changes": MEMBERSHIP_CHANGES,
    "identity.review_changes": REVIEW_CHANGES,
    DECISIONS_OF_LAST_RUN: tables.DECISIONS,
}
"""In the order in which they are written."""
OF_DECIDED = "where identifier_id in (select identifier_id from decided_identifiers)"
OF_DECIDED_DECISIONS = f"where decision_seq in (select decision_seq from given_decisions {OF_DECIDED})"
REPLACED = {
    # The queue goes first: whose a waiting set was is in the memberships before they are replaced. A set may also hold a hot
    # identifier, which is decided without the others of the set; it has no membership.
    "identity.review_queue": "where evidence_id in (select evidence_id from identity.evidence_identifiers where identifier_id in "
    f"(select identifier_id from identity.memberships {OF_DECIDED}))",
    "identity.memberships": OF_DECIDED,
    "identity.hot_identifiers": OF_DECIDED,
    "identity.set_aside": OF_DECIDED,
    "identity.refused_joins": OF_DECIDED,
    "identity.waiting_decisions": f"{OF_DECIDED_DECISIONS} or decision_seq not in (select decision_seq from given_decisions)",
    DECISIONS_OF_LAST_RUN: "",
}
"""Which rows an increment replaces, by table; to all others it only adds."""


@dataclass(frozen=True)
class Statistics:
    """Counts at the run's last date, and what this run did: ids it made, identifiers it decided, why it decided all of them."""

    evidence: int
    identifiers: int
    blocked: int
    hot: int
    shared: int
    customers: int
    largest_customer: int
    set_aside: int
    in_review: int
    waiting_decisions: int
    new_customers: int
    decided_identifiers: int
    decided_in_full: str


def stitch(
    connection: Connection,
    *,
    rules: Rules,
    decisions: pa.Table,
    dates: Sequence[datetime],
    salt: str,
    on_step: Callable[[str], None] = failpoints("stitching"),
) -> Statistics:
    """Decide who is who at every date in use, and write the engine's tables (ENGINE_TABLES): all or nothing.

    Reads identity.identifiers, evidence, evidence_identifiers, event_evidence, and the run in progress from control.current_run;
    `decisions` are those of people that are in force (rows of DECISIONS). Cost grows with the components that new evidence, decisions and
    events on shared identifiers touch, times dates; with all of them where everything is decided anew, which
    orchestration.stitch_scope has the reasons for. `on_step` is told where the run has got to.
    """
    for table, schema in ENGINE_TABLES.items():
        create_table(connection, table, _columns(schema))
    # memberships of a version that decided everything in every run
    connection.execute("alter table identity.memberships add column if not exists component_id bigint")
    connection.execute("alter table identity.merge_history add column if not exists decision_seq bigint")
    scope = find_scope(connection, rules=rules, decisions=decisions, dates=dates, salt=salt)
    resolution = _resolve(connection, scope, rules=rules, dates=dates, salt=salt)
    on_step("resolved")
    with connection.transaction():
        _write(connection, scope, resolution, decisions, since=dates[0], on_step=on_step)
        remember(connection, scope)
        on_step("before_commit")
    on_step("committed")
    return _statistics(connection, scope, resolution)


def _resolve(connection: Connection, scope: Scope, *, rules: Rules, dates: Sequence[datetime], salt: str) -> Resolution:
    ledger, previous, handed, increment = "", "", "", None
    if scope.why_in_full is None:
        ledger, previous, handed = (
            f"where customer_id in (select customer_id from identity.customer_ids {OF_DECIDED})",
            OF_DECIDED,
            # what links a decided identifier is decided whole; others would seem not to be seen
            OF_DECIDED_DECISIONS,
        )
        increment = Increment(
            decided=connection.arrow("select identifier_id from decided_identifiers")["identifier_id"].combine_chunks(),
            next_ledger_seq=next_number(connection, "identity.customer_ids", "ledger_seq"),
            next_component=next_number(connection, "identity.memberships", "component_id"),
        )
    return resolve(
        **_evidence(connection),
        decisions=_read(connection, "given_decisions", tables.DECISIONS, handed),
        events_of=lambda rows: _events_of(connection, rows, known_before=dates[-1]),
        ledger=_read(connection, "identity.customer_ids", tables.LEDGER, ledger),
        previous=_read(connection, "identity.memberships", tables.MEMBERSHIPS, previous),
        rules=rules,
        dates=dates,
        salt=salt,
        increment=increment,
    )


def decide_anew(connection: Connection, *, rules: Rules, decisions: pa.Table, as_of: datetime, salt: str) -> Resolution:
    """What the engine would decide of all evidence at one instant, for those who only want to know. Writes temporary tables, no others."""
    number_all(connection, [as_of])
    return resolve(
        **_evidence(connection),
        decisions=decisions,
        events_of=lambda rows: _events_of(connection, rows, known_before=as_of),
        ledger=_read(connection, "identity.customer_ids", tables.LEDGER, ""),
        previous=tables.MEMBERSHIPS.empty_table(),
        rules=rules,
        dates=[as_of],
        salt=salt,
    )


def _evidence(connection: Connection) -> dict[str, pa.Table]:
    return {
        "identifiers": _read(connection, "engine_identifiers", tables.IDENTIFIERS, "order by place"),
        "evidence": _read(connection, "engine_evidence", tables.EVIDENCE, "order by place"),
        "evidence_identifiers": connection.arrow(
            "select engine_evidence.place as evidence_row, engine_identifiers.place as identifier_row "
            "from identity.evidence_identifiers as members "
            "inner join engine_evidence on members.evidence_id = engine_evidence.evidence_id "
            "left join engine_identifiers on members.identifier_id = engine_identifiers.identifier_id"
        ),
    }


def _events_of(connection: Connection, rows: pa.Array, *, known_before: datetime) -> pa.Table:
    """The events (EVENTS) of sets of evidence, which are given by their places in engine_evidence."""
    if not len(rows):
        return tables.EVENTS.empty_table()
    connection.execute("drop table if exists asked_evidence")
    connection.execute("create temporary table asked_evidence (place integer)")
    connection.append("asked_evidence", pa.table({"place": rows}))
    return connection.arrow(
        "select engine_evidence.place as evidence_row, events.ordered_at, events.source, events.message_id, events.known_at "
        "from engine_evidence inner join identity.event_evidence as events on engine_evidence.evidence_id = events.evidence_id "
        "where engine_evidence.place in (select place from asked_evidence) "
        f"and events.known_at < timestamp '{known_before.isoformat(' ')}'"
    )


def _write(
    connection: Connection,
    scope: Scope,
    resolution: Resolution,
    decisions: pa.Table,
    *,
    since: datetime,
    on_step: Callable[[str], None],
) -> None:
    replaced = REPLACED if scope.why_in_full is None else dict.fromkeys(REPLACED, "")
    waited = _read(connection, "identity.review_queue", tables.REVIEW_QUEUE, replaced["identity.review_queue"])
    rows = {
        "identity.review_queue": resolution.review_queue,
        "identity.memberships": resolution.memberships,
        "identity.hot_identifiers": resolution.hot,
        "identity.set_aside": resolution.set_aside,
        "identity.refused_joins": resolution.refused_joins,
        "identity.waiting_decisions": resolution.waiting,
        "identity.customer_ids": resolution.new_ledger_rows,
        "identity.merge_history": _new_merges(connection, resolution.merges, since),
        "identity.membership_changes": _of_run(scope, resolution.changes),
        "identity.review_changes": _of_run(scope, _review_changes(waited, resolution.review_queue)),
        DECISIONS_OF_LAST_RUN: decisions,
    }
    for table, schema in ENGINE_TABLES.items():
        if table in replaced:
            connection.execute(f"delete from {table} {replaced[table]}")
        write_table(connection, table, rows[table], _columns(schema), append=True)
        on_step(f"wrote {table}")


def _of_run(scope: Scope, rows: pa.Table) -> pa.Table:
    return rows.add_column(0, MEMBERSHIP_CHANGES.field(0), pa.array([scope.run_seq] * len(rows), pa.int64()))


def _review_changes(before: pa.Table, after: pa.Table) -> pa.Table:
    """Sets of evidence (one row each) that wait at other dates than before."""
    intervals = pa.concat_tables([table.select(["evidence_id", "known_from", "known_to"]) for table in (before, after)])
    counted = intervals.group_by(intervals.column_names).aggregate([([], "count_all")])
    changed = counted.filter(pc.equal(counted["count_all"], 1))
    return changed.group_by("evidence_id").aggregate([])


def _new_merges(connection: Connection, merges: pa.Table, since: datetime) -> pa.Table:
    """Rows of the history that it does not hold yet: a run that is repeated finds the same merges again."""
    recorded = f"select merge_id from identity.merge_history where recorded_at >= timestamp '{since.isoformat(' ')}'"
    known = connection.arrow(recorded)["merge_id"].combine_chunks()
    return merges.filter(pc.invert(pc.is_in(merges["merge_id"], value_set=known)))


def _statistics(connection: Connection, scope: Scope, resolution: Resolution) -> Statistics:
    own, customers, largest = first_row(
        connection,
        "select coalesce(sum(own), 0), count(*), coalesce(max(own), 0) from ("
        "select count(case when valid_from is null then 1 end) as own "
        "from identity.memberships where known_to is null group by customer_id) as customers",
    ) or (0, 0, 0)
    shared = _distinct(connection, "identifier_id", "memberships where known_to is null and valid_from is not null")
    hot = _distinct(connection, "identifier_id", "hot_identifiers")
    identifiers, in_full = row_count(connection, "identity.identifiers"), scope.why_in_full
    return Statistics(
        evidence=row_count(connection, "identity.evidence"),
        identifiers=int(own) + shared,
        blocked=identifiers - int(own) - shared - hot,
        hot=hot,
        shared=shared,
        customers=int(customers),
        largest_customer=int(largest),
        set_aside=row_count(connection, "identity.set_aside"),
        in_review=_distinct(connection, "review_id", "review_queue where known_to is null and status = 'open'"),
        waiting_decisions=_distinct(connection, "decision_seq", "waiting_decisions"),
        new_customers=resolution.new_customers,
        decided_identifiers=identifiers if in_full is not None else row_count(connection, "decided_identifiers"),
        decided_in_full=in_full or "no",
    )


def _distinct(connection: Connection, column: str, rows: str) -> int:
    return int(scalar(connection, f"select count(distinct {column}) from identity.{rows}"))


def _columns(schema: pa.Schema) -> dict[str, str]:
    return {field.name: SQL_TYPES[field.type] for field in schema}


def _read(connection: Connection, table: str, schema: pa.Schema, which: str) -> pa.Table:
    return connection.arrow(f"select {', '.join(schema.names)} from {table} {which}")
