"""Between evidence and customers: hand the warehouse's evidence to the identity engine and write its answer in one transaction."""

from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from identity import tables
from identity.engine import Statistics, resolve
from identity.rules import Rules
from orchestration.warehouse import SQL_TYPES, Connection, create_table, write_table


def stitch(connection: Connection, *, rules: Rules, dates: Sequence[datetime], salt: str) -> Statistics:
    """Decide who is who at every date in use, and write memberships, ledger, history and hot identifiers: all or nothing.

    Reads identity.identifiers, evidence and evidence_identifiers. Cost grows with evidence times dates.
    """
    ensure_engine_tables(connection)
    resolution = resolve(
        identifiers=_read(connection, "identity.identifiers", tables.IDENTIFIERS),
        evidence=_read(connection, "identity.evidence", tables.EVIDENCE),
        evidence_identifiers=_read(connection, "identity.evidence_identifiers", tables.EVIDENCE_IDENTIFIERS),
        ledger=_read(connection, "identity.customer_ids", tables.LEDGER),
        previous=_read(connection, "identity.memberships", tables.MEMBERSHIPS),
        rules=rules,
        dates=dates,
        salt=salt,
    )
    with connection.transaction():
        _write(connection, "identity.memberships", resolution.memberships, tables.MEMBERSHIPS)
        _write(connection, "identity.customer_ids", resolution.new_ledger_rows, tables.LEDGER, append=True)
        _write(
            connection,
            "identity.merge_history",
            _new_merges(connection, resolution.merges),
            tables.MERGE_HISTORY,
            append=True,
        )
        _write(connection, "identity.hot_identifiers", resolution.hot, tables.HOT_IDENTIFIERS)
    return resolution.statistics


def _new_merges(connection: Connection, merges: pa.Table) -> pa.Table:
    """Rows of the history that it does not hold yet: a rebuild from nothing finds the same merges again."""
    known = connection.arrow("select merge_id from identity.merge_history")["merge_id"]
    return merges.filter(pc.invert(pc.is_in(merges["merge_id"], value_set=known.combine_chunks())))


def ensure_engine_tables(connection: Connection) -> None:
    """Create the engine's tables where they are missing."""
    for table, schema in (
        ("memberships", tables.MEMBERSHIPS),
        ("customer_ids", tables.LEDGER),
        ("merge_history", tables.MERGE_HISTORY),
        ("hot_identifiers", tables.HOT_IDENTIFIERS),
    ):
        create_table(connection, f"identity.{table}", _columns(schema))


def _columns(schema: pa.Schema) -> dict[str, str]:
    return {field.name: SQL_TYPES[field.type] for field in schema}


def _read(connection: Connection, table: str, schema: pa.Schema) -> pa.Table:
    return connection.arrow(f"select {', '.join(schema.names)} from {table}")


def _write(connection: Connection, table: str, rows: pa.Table, schema: pa.Schema, *, append: bool = False) -> None:
    write_table(connection, table, rows, _columns(schema), append=append)
