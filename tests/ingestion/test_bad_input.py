"""Every bad input ends in one sentence or in raw.rejected_events with its bytes; what is good around it lands."""

import gzip
import json
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.envelope import RejectReason
from ingestion.file_errors import FileError
from ingestion.mappings import load_mapping
from orchestration.landing import land_file
from tests.ingestion.landings import (
    LANDED_AT,
    SHOP,
    csv,
    events,
    land,
    ndjson,
    order,
    rejects,
)

SEGMENT = load_mapping("segment")


@pytest.fixture
def warehouse() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def segment(message_id: str, **changes: Any) -> dict[str, Any]:
    call = {"messageId": message_id, "type": "track", "event": "Product Viewed", "timestamp": "2026-02-01T10:00:00Z"}
    return call | changes


def test_a_missing_file_is_one_sentence(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"The file .*nowhere\.csv does not exist\."):
        land_file(warehouse, path=tmp_path / "nowhere.csv", mapping=SHOP, landed_at=LANDED_AT)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("orders.csv", b"id,at,email\n1,2026-02-01,a@b.c\n"),
        ("orders.ndjson", b'{"id":"1","at":"2026-02-01","email":"a@b.c"}\n'),
    ],
)
def test_a_missing_column_names_what_lacks_and_what_is_there(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, name: str, content: bytes
) -> None:
    expected = rf"{name} lacks the columns price, currency that the mapping shop reads; it has id, at, email\."
    with pytest.raises(FileError, match=expected):
        land(warehouse, tmp_path, name, content)
    assert warehouse.execute("select count(*) from raw.landings").fetchone() == (0,)


def test_a_column_that_only_a_later_line_has_is_not_missing(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    without = {key: value for key, value in order("1").items() if key != "email"}
    rows = [without | {"id": str(number)} for number in range(1500)]
    assert land(warehouse, tmp_path, "orders.ndjson", ndjson(*rows, order("last"))).accepted == 1501


@pytest.mark.parametrize("name", ["orders.csv", "orders.ndjson", "orders.csv.gz"])
def test_an_empty_file_lands_as_zeros_with_a_sentence(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, name: str
) -> None:
    report = land(warehouse, tmp_path, name, gzip.compress(b"") if name.endswith("gz") else b"")
    assert report.sentence() == f"{name}: no rows in this file, nothing landed."
    assert warehouse.execute("select rows_read, accepted from raw.landings").fetchall() == [(0, 0)]


def test_a_header_alone_is_an_empty_file(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert land(warehouse, tmp_path, "orders.csv", csv()).rows_read == 0
    assert land(warehouse, tmp_path, "bare.csv", csv().strip()).rows_read == 0


BROKEN_LINES = [
    (b"{broken", RejectReason.BROKEN_JSON),
    (b'{"id":"2"} trailing', RejectReason.BROKEN_JSON),
    (b'{"id":"\\ud800"}', RejectReason.BROKEN_JSON),
    (b'{"id":"\xff\xfe"}', RejectReason.NOT_UTF8),
    (b"\x80\x81", RejectReason.NOT_UTF8),
    (b"[1, 2]", RejectReason.NOT_AN_OBJECT),
    (b"null", RejectReason.NOT_AN_OBJECT),
    (b"{}", RejectReason.NO_KNOWN_FIELD),
]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("is_last_line_ended", [True, False])
def test_broken_ndjson_lines_keep_their_bytes_and_the_rest_lands(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, ending: bytes, is_last_line_ended: bool
) -> None:
    lines = [json.dumps(order("1")).encode(), *(line for line, _ in BROKEN_LINES), b"", json.dumps(order("9")).encode()]
    content = ending.join(lines) + (ending if is_last_line_ended else b"")
    report = land(warehouse, tmp_path, "orders.ndjson", content)
    assert events(warehouse) == ["1", "9"]
    assert rejects(warehouse) == [(reason, row, line) for row, (line, reason) in enumerate(BROKEN_LINES, start=2)]
    assert report.is_balanced


def test_broken_csv_rows_keep_their_bytes_and_the_rest_lands(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    at = b"2026-02-01 10:00:00"
    good = [order("1"), order("2", email='"two\r\nlines, ""quoted"""'), order("3", email='5" nail'), order("4")]
    bad = [
        (b"5," + at + b",1,EUR", RejectReason.BROKEN_CSV),
        (b"6," + at + b",1,EUR,a,b", RejectReason.BROKEN_CSV),
        (b"7," + at + b',1,EUR,"never closed', RejectReason.BROKEN_CSV),
        (b"8," + at + b",1,EUR,caf\xe9", RejectReason.NOT_UTF8),
    ]
    land(warehouse, tmp_path, "orders.csv", csv(*good, *(row for row, _ in bad), b"", order("9")))
    assert events(warehouse) == ["1", "2", "3", "4", "9"]
    assert rejects(warehouse) == [(reason, number, row) for number, (row, reason) in enumerate(bad, start=5)]
    emails = events(warehouse, "identifiers->>'$[0].value'")
    assert emails[1:3] == ['two\r\nlines, "quoted"', '5" nail']


def test_an_oversized_row_is_refused_with_its_bytes(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    huge = order("huge", email="x" * (2 << 20))
    land(warehouse, tmp_path, "orders.ndjson", ndjson(order("1"), huge, order("2")))
    land(warehouse, tmp_path, "orders.csv", csv(order("3"), huge, order("4")))
    assert events(warehouse) == ["1", "2", "3", "4"]
    assert [(reason, len(payload) > 2 << 20) for reason, _, payload in rejects(warehouse)] == [("oversize", True)] * 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"at": "9999-12-31T23:59:59Z"}, "occurred_too_far_ahead"),
        ({"at": "2026-03-02 12:00:01"}, "occurred_too_far_ahead"),
        ({"at": "1989-12-31 23:59:59"}, "occurred_before_1990"),
        ({"at": "0000-00-00"}, "bad_timestamp"),
        ({"at": "infinity"}, "bad_timestamp"),
        ({"at": ""}, "bad_timestamp"),
        ({"price": -0.01}, "negative_price"),
        ({"price": "12,50"}, "bad_number"),
        ({"price": "NaN"}, "bad_number"),
        ({"price": 10**15}, "bad_number"),
        ({"currency": "XXX"}, "unknown_currency"),
    ],
)
@pytest.mark.parametrize("write", [ndjson, csv])
def test_a_row_that_cannot_be_true_is_refused(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, changes: dict[str, Any], reason: str, write: Any
) -> None:
    if write is csv and "," in str(changes.get("price")):
        pytest.skip("a comma parts the fields of a CSV")
    bad = order("bad", **changes)
    report = land(warehouse, tmp_path, f"orders.{write.__name__}", write(order("1"), bad, order("2")))
    assert events(warehouse) == ["1", "2"]
    [(found, row, payload)] = rejects(warehouse)
    assert (found, row, b"bad" in payload) == (reason, 2, True)
    assert report.rejected == {reason: 1}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": "purchase"}, "unknown_type"),
        ({"type": None}, "unknown_type"),
        ({"event": "  "}, "missing_event_name"),
        ({"properties": "text"}, "not_an_object"),
        ({"traits": [1]}, "not_an_object"),
        ({"properties": {"revenue": -1}}, "negative_price"),
        ({"properties": {"products": [{"price": 1}, {"quantity": -1}]}}, "negative_price"),
        ({"properties": {"total": "many"}}, "bad_number"),
        ({"properties": {"products": [{"price": "free"}]}}, "bad_number"),
        ({"properties": {"score": float("nan")}}, "bad_number"),
        ({"traits": {"age": float("-inf")}}, "bad_number"),
        ({"properties": {"currency": "BTC", "products": [{"price": 1}]}}, "unknown_currency"),
        ({"receivedAt": "2026-03-05T00:00:00Z"}, "known_too_far_ahead"),
        ({"receivedAt": "2026-01-01T00:00:00Z"}, "occurred_too_far_ahead"),
        ({"sentAt": "yesterday"}, "bad_timestamp"),
        ({"properties": {"x": json.loads("[" * 700 + "]" * 700)}}, "too_deep"),
    ],
)
def test_an_event_that_breaks_the_envelope_is_refused(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    land(warehouse, tmp_path, "calls.ndjson", ndjson(segment("1"), segment("bad", **changes)), SEGMENT)
    assert [found for found, _, _ in rejects(warehouse)] == [reason]
    assert events(warehouse) == ["1"]


@pytest.mark.parametrize(
    "changes",
    [
        {"properties": {"note": "NaN, Infinity and nan"}},
        {"properties": {"currency": "BTC"}},
        {"properties": {"price": ""}},
        {"properties": {"price": "12.50", "currency": "eur"}},
        {"userId": None, "anonymousId": " "},
        {"properties": None, "context": {}},
        {"type": "TRACK"},
        {"type": "page", "event": None},
        {"unheard_of": {"x": 1}},
    ],
)
def test_an_unusual_event_is_accepted(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, changes: dict[str, Any]
) -> None:
    land(warehouse, tmp_path, "calls.ndjson", ndjson(segment("1", **changes)), SEGMENT)
    assert events(warehouse) == ["1"]


def test_nul_characters_are_taken_out(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    call = segment("m\u00001", userId="u\u0000", properties={"a\u0000": "x\u0000y", "path": "C:\\u0000"})
    land(warehouse, tmp_path, "calls.ndjson", ndjson(call), SEGMENT)
    [(message_id, user_id, properties)] = events(warehouse, "message_id, user_id, properties")
    assert (message_id, user_id) == ("m1", "u")
    assert json.loads(properties) == {"a": "xy", "path": "C:\\u0000"}


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("orders.csv", csv(order("1")).decode().encode("utf-16"), "UTF-16"),
        ("orders.csv", b"id," + csv(order("1")), "column 'id' twice"),
        ("orders.csv", csv(order("1")).replace(b"\n", b"\r"), "carriage returns"),
        ("orders.parquet", b"PAR1 and nothing else", "not a Parquet file"),
        ("orders.ndjson.gz", gzip.compress(ndjson(order("1")), mtime=0)[:-9], "cannot be read"),
        ("orders.json", b'[{"id": "1"}', "the array is not closed"),
        ("orders.xml", b"<orders/>", "ends in none of"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_sentence(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    with pytest.raises(FileError, match=sentence) as caught:
        land(warehouse, tmp_path, name, content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("mark.csv", b"\xef\xbb\xbf" + csv(order("1"))),
        ("crlf.csv", csv(order("1")).replace(b"\n", b"\r\n")),
        ("blank.csv", b"\n\n" + csv(b"", order("1"), b"", b"")),
        ("semicolon.csv", csv(order("1")).replace(b",", b";")),
        ("tab.csv", csv(order("1")).replace(b",", b"\t")),
        ("capitals.csv", csv(order("1")).replace(b"id,at,price", b"ID, At ,PRICE")),
        ("more.csv", b"zz,zz,,id,at,price,currency,email\n1,2,3,1,2026-02-01 10:00:00,2.5,EUR,ann@example.com\n"),
        ("packed.csv.gz", gzip.compress(csv(order("1")), mtime=0)),
        ("mark.ndjson", b"\xef\xbb\xbf" + ndjson(order("1"))),
        ("packed.jsonl.gz", gzip.compress(ndjson(order("1")), mtime=0)),
        ("list.json", json.dumps([order("1")], indent=2).encode()),
        ("single.json", json.dumps(order("1"), indent=2).encode()),
        ("lines.json", ndjson(order("1"))),
    ],
)
def test_the_same_row_lands_from_every_shape_of_file(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, name: str, content: bytes
) -> None:
    land(warehouse, tmp_path, name, content)
    columns = "message_id, occurred_at::varchar, properties::varchar, identifiers::varchar"
    assert events(warehouse, columns) == [
        (
            "1",
            "2026-02-01 10:00:00",
            '{"order_id":"1","currency":"EUR","products":[{"price":2.5000,"quantity":1}]}',
            '[{"type":"email","value":"ann@example.com"}]',
        )
    ]


@pytest.mark.parametrize("name", ["orders[1].csv", "what?*.ndjson", "it's {a}.parquet", "day=1/orders.parquet"])
def test_a_file_name_is_never_a_pattern(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    (tmp_path / "orders1.csv").write_bytes(csv(order("other")))
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist([order("1"), order("2", price=-1.0)]), path)
    else:
        path.write_bytes((csv if name.endswith("csv") else ndjson)(order("1"), order("2", price=-1)))
    report = land_file(warehouse, path=path, mapping=SHOP, landed_at=LANDED_AT)
    assert events(warehouse) == ["1"]
    assert report.rejected == {"negative_price": 1}


def test_parquet_rows_are_typed_and_rejected_as_json(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Instants are read in UTC, NaN in a float column is a missing value, other types are cast or refused."""
    noon = datetime(2026, 2, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    rows = [
        {"id": 1, "at": noon, "price": 2.5, "currency": "EUR", "email": "a@b.c"},
        {"id": 2, "at": noon, "price": float("nan"), "currency": "EUR", "email": None},
        {"id": 3, "at": noon, "price": 1e20, "currency": "EUR", "email": None},
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "orders.parquet")
    report = land_file(warehouse, path=tmp_path / "orders.parquet", mapping=SHOP, landed_at=LANDED_AT)
    assert report.rejected == {"bad_number": 1}
    assert events(warehouse, "message_id, occurred_at, properties->'$.products'") == [
        ("1", datetime(2026, 2, 1, 10), '[{"price":2.5,"quantity":1}]'),
        ("2", datetime(2026, 2, 1, 10), '[{"quantity":1}]'),
    ]
    [(_, row, payload)] = rejects(warehouse)
    assert (row, json.loads(payload)["id"]) == (3, 3)


def test_the_payload_is_the_row_as_it_came(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    mapping = SHOP.model_copy(update={"keep_payload": True})
    row = order("1", more={"deep": [1, None]}, big=12345678901234567890, small=1e-7)
    land(warehouse, tmp_path, "orders.ndjson", ndjson(row, b"{broken", b"[]", order("2", price=-1)), mapping)
    land(warehouse, tmp_path, "orders.csv", b"note," + csv(b"x, y,3,2026-02-01,1,EUR,".replace(b" y,", b"")), mapping)
    payloads = [json.loads(payload) for payload in events(warehouse, "payload")]
    assert payloads[0] == row
    assert payloads[1] == {"note": "x", "id": "3", "at": "2026-02-01", "price": "1", "currency": "EUR", "email": None}
    assert [reason for reason, _, _ in rejects(warehouse)] == ["broken_json", "not_an_object", "negative_price"]


@pytest.mark.parametrize("offset", range(-8, 2))
def test_a_nul_is_found_wherever_a_block_ends(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, offset: int
) -> None:
    block = 8 << 20
    filler = ndjson(*(segment(str(number)) for number in range(block // 120)))
    front = b'{"type":"track","event":"X","timestamp":"2026-02-01","messageId":"nul","userId":"u'
    filler = filler[: filler.rfind(b"\n", 0, block + offset - len(front) - 200) + 1]
    filler += segment_of_length(block + offset - len(front) - len(filler))
    land(warehouse, tmp_path, "calls.ndjson", filler + front + b'\\u0000"}\n', SEGMENT)
    assert warehouse.execute("select user_id from raw.events where message_id = 'nul'").fetchall() == [("u",)]


def segment_of_length(length: int) -> bytes:
    bare = ndjson(segment("pad", userId=""))
    return ndjson(segment("pad", userId="x" * (length - len(bare))))
