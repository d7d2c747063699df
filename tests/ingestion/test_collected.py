"""What the normaliser writes lands as any file does: the list of identifiers, the payload and the source as they stand in the line."""

import json
from pathlib import Path

import duckdb
import pytest

from ingestion.mappings import MappingError, load_mapping
from orchestration.landing import land_file
from tests.ingestion.landings import LANDED_AT

LINE = {
    "part": 0,
    "entry": "1-1",
    "source": "web",
    "message_id": "m1",
    "type": "track",
    "event": "Product Viewed",
    "user_id": None,
    "anonymous_id": "a1",
    "identifiers": [{"type": "email", "value": "ann\u0000@example.com"}],
    "properties": {"product_id": "p1"},
    "traits": {},
    "context": {},
    "consent": None,
    "payload": {"as": "given"},
    "original_timestamp": "2026-02-01T10:00:00Z",
    "sent_at": "2026-02-01T10:00:05Z",
    "received_at": "2026-02-01T09:59:05Z",
}


@pytest.fixture
def landed(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    lines = [
        LINE,
        LINE | {"message_id": "m2", "identifiers": {"type": "email"}},
        LINE | {"message_id": "m3", "payload": None},
    ]
    (tmp_path / "lines.ndjson").write_text("".join(json.dumps(line) + "\n" for line in lines))
    connection = duckdb.connect()
    land_file(connection, path=tmp_path / "lines.ndjson", mapping="collected", landed_at=LANDED_AT)
    return connection


def test_a_line_lands_as_it_stands_with_the_senders_clock_corrected(landed: duckdb.DuckDBPyConnection) -> None:
    rows = landed.execute(
        "select source, message_id, identifiers, payload, occurred_at::varchar from raw.events order by 2"
    )
    assert [(*row[:2], json.loads(row[2]), row[3], row[4]) for row in rows.fetchall()] == [
        ("web", "m1", [{"type": "email", "value": "ann@example.com"}], '{"as":"given"}', "2026-02-01 09:59:00"),
        ("web", "m3", [{"type": "email", "value": "ann@example.com"}], None, "2026-02-01 09:59:00"),
    ]


def test_identifiers_that_are_no_list_refuse_the_line(landed: duckdb.DuckDBPyConnection) -> None:
    assert landed.execute("select reason, detail from raw.rejected_events").fetchall() == [
        ("bad_value", "identifiers is not a JSON list.")
    ]


def test_the_payload_is_the_row_or_an_expression_and_not_both(tmp_path: Path) -> None:
    text = "name: x\nsource: x\ncolumns: {a: text}\nevent: {type: a}\nkeep_payload: true\npayload: a\n"
    (tmp_path / "x.yml").write_text(text)
    with pytest.raises(MappingError, match="keep_payload and payload"):
        load_mapping(tmp_path / "x.yml")
