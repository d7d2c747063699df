"""The mapping files fit the simulator's files: all rows land but the bad ones, and those for the reason booked."""

import csv
from datetime import datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ingestion.compile import compile_events
from ingestion.mappings import load_mapping
from ingestion.readers import FileColumn, FileShape

CURRENCIES = ["EUR", "GBP", "USD", "SEK", "PLN", "CHF"]


def shape_of(path: Path) -> FileShape:
    if path.suffix == ".parquet":
        return FileShape(path, "parquet", tuple(FileColumn(name) for name in pq.read_schema(path).names))
    if path.suffix == ".csv":
        with path.open() as lines:
            return FileShape(path, "csv", tuple(FileColumn(name) for name in next(csv.reader(lines))))
    return FileShape(path, "ndjson")


@pytest.mark.parametrize("source", ["simulator_web", "simulator_pos", "simulator_whatsapp"])
def test_exactly_the_booked_bad_rows_are_rejected_for_their_reason(shop, source):
    booked = dict(shop.rows(f"select message_id, reason from truth_bad_rows where source = '{source}'"))
    rejected: dict[str, str] = {}
    for path in sorted((shop.summary.out / source).iterdir()):
        landed = datetime(2026, 7, 1)
        compiled = compile_events(load_mapping(source), shape_of(path), currencies=CURRENCIES, landed_at=landed)
        found = shop.rows(f"select message_id, weft__rule from ({compiled.select}) where weft__rule is not null")
        rejected |= {message_id: compiled.rules[rule - 1].reason for message_id, rule in found}
    assert rejected == booked


def test_the_lines_of_a_receipt_add_up_to_their_order(shop):
    path = next(iter(sorted((shop.summary.out / "simulator_pos").iterdir())))
    compiled = compile_events(
        load_mapping("simulator_pos"), shape_of(path), currencies=CURRENCIES, landed_at=datetime(2026, 7, 1)
    )
    lines, wrong = shop.one(
        "select count(*), count(*) filter (total <> revenue + tax or not partial) from (select (properties ->> '$.total')::decimal(18, 2) "
        "as total, (properties ->> '$.revenue')::decimal(18, 2) as revenue, (properties ->> '$.tax')::decimal(18, 2) as tax, "
        f"(properties ->> '$.partial')::boolean as partial from ({compiled.select}) where weft__rule is null and event = 'Order Completed')"
    )
    assert lines > 50
    assert wrong == 0


def test_the_catalogue_file_has_the_columns_of_its_mapping():
    mapping = load_mapping("products")
    assert mapping.target == "products"
    assert list(mapping.columns) == [
        "id",
        "name",
        "category_path",
        "price",
        "currency",
        "stock",
        "repeatable",
        "updated_at",
    ]
