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
from orchestration.stitch_scope import Scope, find_scope, next_number, remember
from orchestration.warehouse import SQL_TYPES, Connection, create_table, first_row, row_count, scalar, write_table

MEMBERSHIP_CHANGES = pa.schema([("run_seq", pa.int64()), *tables.MEMBERSHIP_CHANGES])
"""identity.membership_changes: what consumers of earlier answers have to look at again."""
ENGINE_TABLES = {
    "identity.memberships": tables.MEMBERSHIPS,
    "identity.customer_ids": tables.LEDGER,
    "identity.merge_history": tables.MERGE_HISTORY,
    "identity.hot_identifiers": tables.HOT_IDENTIFIERS,
    "identity.membership_changes": MEMBERSHIP_CHANGES,
}
OF_DECIDED = "where identifier_id in (select identifier_id from decided_identifiers)"


@dataclass(frozen=True)
class Statistics:
    """Counts at the run's last date, and what this run did: ids it made, identifiers it decided, why it decided all of them."""

    evidence: int
    identifiers: int
    blocked: int
    hot: int
    customers: int
    largest_customer: int
    new_customers: int
    decided_identifiers: int
    decided_in_full: str


def stitch(
    connection: Connection,
    *,
    rules: Rules,
    dates: Sequence[datetime],
    salt: str,
    on_step: Callable[[str], None] = failpoints("stitching"),
) -> Statistics:
    """Decide who is who at every date in use, and write memberships, ledger, history and hot identifiers: all or nothing.

    Reads identity.identifiers, evidence, evidence_identifiers, and the run in progress from control.current_run. Cost grows
    with the components that changed evidence touches, times dates; with all of them where everything is decided anew, which
    orchestration.stitch_scope has the reasons for. `on_step` is told where the run has got to.
    """
    for table, schema in ENGINE_TABLES.items():
        create_table(connection, table, _columns(schema))
    # memberships of a version that decided everything in every run
    connection.execute("alter table identity.memberships add column if not exists component_id bigint")
    scope = find_scope(connection, rules=rules, dates=dates, salt=salt)
    resolution = _resolve(connection, scope, rules=rules, dates=dates, salt=salt)
    on_step("resolved")
    with connection.transaction():
        _write(connection, scope, resolution, since=dates[0], on_step=on_step)
        remember(connection, scope)
        on_step("before_commit")
    on_step("committed")
    return _statistics(connection, scope, resolution)


def _resolve(connection: Connection, scope: Scope, *, rules: Rules, dates: Sequence[datetime], salt: str) -> Resolution:
    ledger, previous, increment = "", "", None
    if scope.why_in_full is None:
        ledger, previous = (
            f"where customer_id in (select customer_id from identity.customer_ids {OF_DECIDED})",
            OF_DECIDED,
        )
        increment = Increment(
            decided=connection.arrow("select identifier_id from decided_identifiers")["identifier_id"].combine_chunks(),
            next_ledger_seq=next_number(connection, "identity.customer_ids", "ledger_seq"),
            next_component=next_number(connection, "identity.memberships", "component_id"),
        )
    return resolve(
        identifiers=_read(connection, "engine_identifiers", tables.IDENTIFIERS, "order by place"),
        evidence=_read(connection, "engine_evidence", tables.EVIDENCE, "order by place"),
        evidence_identifiers=connection.arrow(
            "select engine_evidence.place as evidence_row, engine_identifiers.place as identifier_row "
            "from identity.evidence_identifiers as members "
            "inner join engine_evidence on members.evidence_id = engine_evidence.evidence_id "
            "left join engine_identifiers on members.identifier_id = engine_identifiers.identifier_id"
        ),
        ledger=_read(connection, "identity.customer_ids", tables.LEDGER, ledger),
        previous=_read(connection, "identity.memberships", tables.MEMBERSHIPS, previous),
        rules=rules,
        dates=dates,
        salt=salt,
        increment=increment,
    )


def _write(
    connection: Connection,
    scope: Scope,
    resolution: Resolution,
    *,
    since: datetime,
    on_step: Callable[[str], None],
) -> None:
    replaced = "" if scope.why_in_full is not None else OF_DECIDED
    sequence = pa.array([scope.run_seq] * len(resolution.changes), pa.int64())
    for table, rows in (
        ("identity.memberships", resolution.memberships),
        ("identity.hot_identifiers", resolution.hot),
        ("identity.customer_ids", resolution.new_ledger_rows),
        ("identity.merge_history", _new_merges(connection, resolution.merges, since)),
        ("identity.membership_changes", resolution.changes.add_column(0, MEMBERSHIP_CHANGES.field(0), sequence)),
    ):
        if table in ("identity.memberships", "identity.hot_identifiers"):
            connection.execute(f"delete from {table} {replaced}")
        write_table(connection, table, rows, _columns(ENGINE_TABLES[table]), append=True)
        on_step(f"wrote {table}")


def _new_merges(connection: Connection, merges: pa.Table, since: datetime) -> pa.Table:
    """Rows of the history that it does not hold yet: a run that is repeated finds the same merges again."""
    recorded = f"select merge_id from identity.merge_history where recorded_at >= timestamp '{since.isoformat(' ')}'"
    known = connection.arrow(recorded)["merge_id"].combine_chunks()
    return merges.filter(pc.invert(pc.is_in(merges["merge_id"], value_set=known)))


def _statistics(connection: Connection, scope: Scope, resolution: Resolution) -> Statistics:
    members, customers, largest = first_row(
        connection,
        "select coalesce(sum(members), 0), count(*), coalesce(max(members), 0) from ("
        "select count(*) as members from identity.memberships where known_to is null group by customer_id) as customers",
    ) or (0, 0, 0)
    hot = int(scalar(connection, "select count(distinct identifier_id) from identity.hot_identifiers"))
    identifiers, in_full = row_count(connection, "identity.identifiers"), scope.why_in_full
    return Statistics(
        evidence=row_count(connection, "identity.evidence"),
        identifiers=int(members),
        blocked=identifiers - int(members) - hot,
        hot=hot,
        customers=int(customers),
        largest_customer=int(largest),
        new_customers=resolution.new_customers,
        decided_identifiers=identifiers if in_full is not None else row_count(connection, "decided_identifiers"),
        decided_in_full=in_full or "no",
    )


def _columns(schema: pa.Schema) -> dict[str, str]:
    return {field.name: SQL_TYPES[field.type] for field in schema}


def _read(connection: Connection, table: str, schema: pa.Schema, which: str) -> pa.Table:
    return connection.arrow(f"select {', '.join(schema.names)} from {table} {which}")
