"""What the landing tests share: a mapping of a small shop, its rows, and what stands in `raw` afterwards."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from ingestion.landing_report import LandingReport
from ingestion.mappings import Mapping
from orchestration.landing import land_file

LANDED_AT = datetime(2026, 3, 1, 12)

SHOP = Mapping.model_validate(
    {
        "name": "shop",
        "source": "shop",
        "columns": {"id": "text", "at": "timestamp", "price": "decimal", "currency": "text", "email": "text"},
        "event": {"type": "'track'", "event": "'Order Completed'", "message_id": "id", "occurred_at": "at"},
        "identifiers": {"email": "email"},
        "properties": {"order_id": "id", "currency": "currency", "products": [{"price": "price", "quantity": 1}]},
    }
)
# the same rows without an id of their own
KEYLESS_SHOP = SHOP.model_copy(update={"event": SHOP.event and SHOP.event.model_copy(update={"message_id": None})})

CSV_HEADER = "id,at,price,currency,email"


def order(id_: str, **changes: Any) -> dict[str, Any]:
    """One good row of the shop."""
    row = {"id": id_, "at": "2026-02-01 10:00:00", "price": 2.5, "currency": "EUR", "email": "ann@example.com"}
    return row | changes


def ndjson(*rows: dict[str, Any] | bytes) -> bytes:
    """Rows as NDJSON; bytes stand for themselves."""
    return b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)


def csv(*rows: dict[str, Any] | bytes) -> bytes:
    """Rows as CSV with the shop's header; bytes stand for themselves."""
    lines = [row if isinstance(row, bytes) else ",".join(str(value) for value in row.values()).encode() for row in rows]
    return b"\n".join([CSV_HEADER.encode(), *lines]) + b"\n"


def land(
    connection: duckdb.DuckDBPyConnection, folder: Path, name: str, content: bytes, mapping: Mapping = SHOP
) -> LandingReport:
    """Write a file and land it."""
    path = folder / name
    path.write_bytes(content)
    return land_file(connection, path=path, mapping=mapping, landed_at=LANDED_AT)


def rejects(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int, bytes]]:
    """Reason, row number and bytes of what was refused, in the order of the file."""
    query = "select reason, row_number, payload from raw.rejected_events order by row_number, reason"
    return connection.execute(query).fetchall()


def events(connection: duckdb.DuckDBPyConnection, columns: str = "message_id") -> list[Any]:
    """What landed, in the order of landing; a single column comes as plain values."""
    rows = connection.execute(f"select {columns} from raw.events order by landed_seq").fetchall()
    return [row[0] for row in rows] if "," not in columns else rows
