"""The sync ledger in the warehouse, for analysts: control.sync_records and control.sync_runs as of the last build, without personal data.

What a destination calls a record may be a hash of somebody's address: here stands a keyed hash of it instead.
"""

from typing import Any

import pyarrow as pa

from activation.syncs.fingerprints import Fingerprints
from orchestration.resources import Platform
from orchestration.warehouse import Connection, create_table, row_count, scalar, write_table

RECORDS = {
    "sync": "varchar", "record": "varchar", "customer_id": "varchar", "operation": "varchar", "status": "varchar",
    "is_held": "boolean", "is_unsure": "boolean", "sequence": "bigint", "attempts": "bigint", "words": "varchar",
    "remote_id": "varchar", "run_id": "varchar", "next_try_at": "timestamp", "changed_at": "timestamp", "sent_at": "timestamp",
    "accepted_at": "timestamp",
}  # fmt: skip
RUNS = {
    "run_id": "varchar", "sync": "varchar", "kind": "varchar", "build_id": "varchar", "status": "varchar", "words": "varchar",
    "members": "bigint", "planned": "bigint", "accepted": "bigint", "refused": "bigint", "retried": "bigint",
    "quarantined": "bigint", "pending": "bigint", "started_at": "timestamp", "ended_at": "timestamp",
}  # fmt: skip
_TYPES = {"varchar": pa.string(), "bigint": pa.int64(), "boolean": pa.bool_(), "timestamp": pa.timestamp("us")}
_RECORDS, _RUNS = "control.sync_records", "control.sync_runs"
_CHANGED = "weft_changed_sync_records"


def copy_syncs(connection: Connection, platform: Platform) -> int:
    """Bring both tables up to date in one transaction; how many records were written. Cost: what changed, where nothing vanished."""
    books = platform.state.syncs
    if not books.names():
        return 0
    create_table(connection, _RECORDS, RECORDS)
    create_table(connection, _RUNS, RUNS)
    with connection.transaction():
        newest = scalar(connection, f"select max(changed_at) from {_RECORDS}")
        changed = _table(books.records_since(newest), RECORDS, platform.salt)
        _replace(connection, changed)
        if row_count(connection, _RECORDS) != books.record_count():
            # rows were forgotten, or the tables are another installation's
            changed = _table(books.records_since(None), RECORDS, platform.salt)
            write_table(connection, _RECORDS, changed, RECORDS)
        write_table(connection, _RUNS, _table(books.all_runs(), RUNS, platform.salt), RUNS)
    return len(changed)


def _replace(connection: Connection, changed: pa.Table) -> None:
    if not len(changed):
        return
    connection.execute(f"drop table if exists {_CHANGED}")
    connection.execute(f"create temporary table {_CHANGED} (sync varchar, record varchar)")
    connection.append(_CHANGED, changed.select(["sync", "record"]))
    connection.execute(
        f"delete from {_RECORDS} where exists (select 1 from {_CHANGED} as changed "
        "where changed.sync = sync_records.sync and changed.record = sync_records.record)"
    )
    connection.execute(f"drop table {_CHANGED}")
    connection.append(_RECORDS, changed)


def _table(rows: list[dict[str, Any]], columns: dict[str, str], salt: str) -> pa.Table:
    names: dict[str, Fingerprints] = {}
    for row in rows:
        if "record_key" in row:
            hashes = names.setdefault(row["sync"], Fingerprints(salt, row["sync"]))
            row["record"] = hashes.record(row["record_key"])
            row["operation"] = "remove" if row["fingerprint"] is None else "upsert"
            row["is_held"] = row["accepted_fingerprint"] is not None
    schema = pa.schema([(name, _TYPES[type_]) for name, type_ in columns.items()])
    return pa.Table.from_pylist(rows, schema=schema)
