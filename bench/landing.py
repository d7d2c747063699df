"""Landing NDJSON: Weft's landing beside DuckDB's read_json with a column spec, and beside pydantic rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pydantic import BaseModel, TypeAdapter
from pydantic_core import to_json

from bench.comparison import Comparison, Ratio
from bench.harness import Contender, Facts, Run
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.landing import ensure_raw_tables, land_file
from orchestration.warehouse import row_count

LANDED_AT = datetime(2027, 1, 1)
ROWS_AT_ONCE = 50_000
FIELDS = {
    "messageId": ("VARCHAR", "message_id"),
    "type": ("VARCHAR", "type"),
    "event": ("VARCHAR", "event"),
    "userId": ("VARCHAR", "user_id"),
    "anonymousId": ("VARCHAR", "anonymous_id"),
    "timestamp": ("TIMESTAMP", "occurred_at"),
    "receivedAt": ("TIMESTAMP", "received_at"),
    "properties": ("JSON", "properties"),
    "context": ("JSON", "context"),
}
"""Fields of the file: the type they are read as, and their column of raw.events."""

FILE = """
    copy (
        select
            'track' as type,
            md5('message' || i) as "messageId",
            md5('cookie' || (h % greatest({size} // 10, 1))) as "anonymousId",
            if(h % 3 > 0, 'user_' || (h % greatest({size} // 20, 1)), null) as "userId",
            ['Product Viewed', 'Product Added', 'Checkout Started', 'Order Completed', 'Email Opened', 'Page Scrolled'][
                1 + h % 6
            ] as event,
            strftime(timestamp '2026-01-01' + interval (i * 5) second, '%Y-%m-%dT%H:%M:%S.%gZ') as timestamp,
            strftime(timestamp '2026-01-01' + interval (i * 5 + 1) second, '%Y-%m-%dT%H:%M:%S.%gZ') as "receivedAt",
            {{
                'product_id': 'sku-' || (h % 50000), 'category': 'cat_' || (h % 24),
                'price': round((h % 20000) / 100, 2), 'quantity': 1 + h % 5, 'currency': 'EUR',
                'coupon': if(h % 7 = 0, 'SPRING', null), 'experiment': {{'name': 'hero', 'variant': 'v' || (h % 3)}}
            }} as properties,
            {{
                'ip': '10.' || (h % 250) || '.' || (h % 199) || '.7',
                'userAgent': 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_1) AppleWebKit/605',
                'library': {{'name': 'analytics.js', 'version': '4.1.2'}},
                'page': {{'path': '/p/' || (h % 50000), 'referrer': 'https://www.example.com/'}}, 'locale': 'fr-FR'
            }} as context
        from (select i, cast(hash(i) >> 8 as bigint) as h from range({size}) as t (i))
    ) to '{path}' (format json)
"""


def prepare(run: Run) -> Facts:
    """Write the file: Segment track calls of the shape and size of the reference's (some 640 bytes an event)."""
    duckdb.execute(FILE.format(size=run.size, path=events_file(run)))
    return {"bytes per event": round(events_file(run).stat().st_size / run.size)}


def weft(run: Run) -> Facts:
    """land_file through the mapping `segment`: typed, checked, rejects and books kept, keys checked."""
    with warehouse(run) as connection, until_checkpoint(run, connection):
        land_file(connection, path=events_file(run), mapping="segment", landed_at=LANDED_AT)
    return found(run)


def read_json(run: Run) -> Facts:
    """DuckDB's reader with a column spec, straight into the same table: no checks, columns it cannot fill left null."""
    spec = "{" + ", ".join(f"'{name}': '{type_}'" for name, (type_, _) in FIELDS.items()) + "}"
    named = ", ".join(f'"{name}" as {column}' for name, (_, column) in FIELDS.items())
    reader = f"read_json('{events_file(run)}', format = 'newline_delimited', columns = {spec})"
    with warehouse(run) as connection, until_checkpoint(run, connection):
        connection.execute("set preserve_insertion_order = false")
        connection.execute(f"insert into raw.events by name select 'segment' as source, {named} from {reader}")
    return found(run)


class Track(BaseModel):
    """One line of the file as a service would declare it."""

    messageId: str
    type: str
    event: str
    userId: str | None = None
    anonymousId: str | None = None
    timestamp: datetime
    receivedAt: datetime
    properties: dict[str, Any] = {}
    context: dict[str, Any] = {}


def pydantic_rows(run: Run) -> Facts:
    """Each line validated into a pydantic model, appended as Arrow batches."""
    with warehouse(run) as connection, until_checkpoint(run, connection):
        validate = TypeAdapter(Track).validator.validate_json
        with events_file(run).open("rb") as lines:
            while batch := [validate(line) for line in islice(lines, ROWS_AT_ONCE)]:
                _append(connection, batch)
    return found(run)


def _append(connection: duckdb.DuckDBPyConnection, rows: list[Track]) -> None:
    columns: dict[str, pa.Array] = {}
    for name, (type_, column) in FIELDS.items():
        values = [getattr(row, name) for row in rows]
        if type_ == "JSON":
            columns[column] = pa.array([to_json(value).decode() for value in values])
        elif type_ == "TIMESTAMP":
            columns[column] = pa.array([value.replace(tzinfo=None) for value in values], pa.timestamp("us"))
        else:
            columns[column] = pa.array(values, pa.string())
    connection.register("batch", pa.table(columns))
    connection.execute("insert into raw.events by name select 'segment' as source, * from batch")


@contextmanager
def warehouse(run: Run) -> Iterator[duckdb.DuckDBPyConnection]:
    """An empty warehouse of the run."""
    with duckdb.connect(str(run.scratch / "warehouse.duckdb")) as connection:
        connection.execute("set timezone = 'UTC'")
        ensure_raw_tables(connection)
        yield connection


@contextmanager
def until_checkpoint(run: Run, connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Time the block and the checkpoint behind it."""
    with run.clock.running():
        yield
        connection.execute("checkpoint")


def events_file(run: Run) -> Path:
    """What `prepare` wrote."""
    return run.inputs / "events.ndjson"


def found(run: Run) -> Facts:
    """How many events landed."""
    with duckdb.connect(str(run.scratch / "warehouse.duckdb"), read_only=True) as connection:
        return {"events": row_count(DuckDBConnection(connection), "raw.events")}


WEFT, READ_JSON, PYDANTIC = "Weft land_file", "DuckDB read_json", "pydantic rows"

COMPARISON = Comparison(
    title="Landing NDJSON",
    unit="events",
    prepare=prepare,
    contenders=(Contender(WEFT, weft), Contender(READ_JSON, read_json), Contender(PYDANTIC, pydantic_rows)),
    ratios=(Ratio(WEFT, READ_JSON, at_most=1.6), Ratio(PYDANTIC, WEFT, at_least=5)),
)
