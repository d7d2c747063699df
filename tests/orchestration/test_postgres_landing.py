"""The same files give the same rows in every raw table, on DuckDB and on PostgreSQL, whatever repeats or is killed."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
from psycopg2.extensions import connection as PostgresConnection

from ingestion.envelope import RAW_TABLES, Table
from ingestion.landing_report import LandingReport
from ingestion.mappings import Mapping
from orchestration.landing import land_file, land_folder
from orchestration.postgres_landing import land_file_into_postgres, land_folder_into_postgres
from tests.ingestion.landings import KEYLESS_SHOP, LANDED_AT, SHOP, csv, ndjson, order
from tests.orchestration.test_landing import PRODUCTS


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[PostgresConnection]:
    with closing(psycopg2.connect(postgres_url)) as connection:
        yield connection


def in_duckdb(connection: duckdb.DuckDBPyConnection, table: Table) -> list[tuple[Any, ...]]:
    rows = connection.execute(f"select {columns(table)} from {table.name}").fetchall()
    return sorted(rows, key=lambda row: [str(value) for value in row])


def in_postgres(connection: PostgresConnection, table: Table) -> list[tuple[Any, ...]]:
    selected = ", ".join(
        f"{column.name}::text" if column.type == "JSON" else column.name
        for column in table.columns
        if column.name != "landing_id"
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(f"select {selected} from {table.name}")
        rows = [
            tuple(bytes(value) if isinstance(value, memoryview) else value for value in row)
            for row in cursor.fetchall()
        ]
    return sorted(rows, key=lambda row: [str(value) for value in row])


def columns(table: Table) -> str:
    return ", ".join(name for name in table.column_names if name != "landing_id")  # drawn at random


class Both:
    """Lands each file on both targets and compares what was said and what stands."""

    def __init__(self, postgres: PostgresConnection, folder: Path) -> None:
        self.duckdb, self.postgres, self.folder = duckdb.connect(), postgres, folder
        self.duckdb.execute("set timezone = 'UTC'")
        self.landings = 0

    def land(self, name: str, content: bytes, mapping: Mapping | str = SHOP) -> LandingReport:
        path = self.folder / name
        path.write_bytes(content)
        self.landings += 1
        landed_at = LANDED_AT + timedelta(minutes=self.landings)
        report = land_file(self.duckdb, path=path, mapping=mapping, landed_at=landed_at)
        assert land_file_into_postgres(self.postgres, path=path, mapping=mapping, landed_at=landed_at) == report
        self.compare()
        return report

    def compare(self) -> None:
        for table in RAW_TABLES:
            assert in_postgres(self.postgres, table) == in_duckdb(self.duckdb, table), table.name


@pytest.fixture
def both(postgres: PostgresConnection, tmp_path: Path) -> Both:
    return Both(postgres, tmp_path)


def test_repeats_and_conflicts_across_files_and_formats_agree(both: Both) -> None:
    rows = [order(str(number)) for number in range(200)]
    assert both.land("a.ndjson", ndjson(*rows, b"{broken", order("7", price=-1), order("3"))).accepted == 200
    assert both.land("a.ndjson", ndjson(*rows, b"{broken", order("7", price=-1), order("3"))).duplicates == 203
    late = order("late", at="2026-01-01")
    report = both.land("b.csv", csv(order("1", price=3), order("2"), order("new"), order("new", price=9), late))
    assert (report.accepted, report.duplicates, report.conflicts) == (2, 1, 2)
    assert both.land("c.csv", csv(*[order("1")] * 3), KEYLESS_SHOP).accepted == 3
    assert both.land("d.csv", csv(*[order("1")] * 5), KEYLESS_SHOP).accepted == 2
    assert both.land("empty.csv", b"").rows_read == 0


def test_texts_that_csv_json_and_postgresql_could_trip_over_agree(both: Both) -> None:
    call = {"type": "track", "event": "X", "timestamp": "2026-02-01"}
    texts = [
        "", " ", '"', '""', ",", "\n", "\r\n", "\\", "\\.", "\n\\.\n", "\\N", "null", "NULL", "\t", "é😀", "'", "a\u0000b",
        "\\u0000", "\u0001", "\u2028", "\x7f", "{}", "%s", "?", "$1",
    ]  # fmt: skip
    rows = [
        {"messageId": f"m{number}", "userId": text, "anonymousId": text, "properties": {"text": text, text or "k": 1},
         "traits": {"email": text}, "context": {"consent": {"categoryPreferences": {"a": True}}}} | call
        for number, text in enumerate(texts)
    ]  # fmt: skip
    rows += [
        {"messageId": f"e{text}", "event": text} | {k: v for k, v in call.items() if k != "event"} for text in texts
    ]
    raw = [
        b'{"messageId":"exp","type":"track","event":"X","timestamp":"2026-02-01","properties":{"a":1e999,"b":1.10}}',
        b'{"messageId":"twice","type":"track","event":"X","timestamp":"2026-02-01","properties":{"a":1,"a":2}}',
        b'{"messageId":"comma","type":"track","event":"X","timestamp":"2026-02-01","properties":{"a":[1,],}}',
        b'{"messageId":"nan","type":"track","event":"X","timestamp":"2026-02-01","properties":{"a":NaN}}',
        b'{"messageId":"half","type":"track","event":"X","timestamp":"2026-02-01","properties":{"a":"\\ud800"}}',
        b'{"messageId":"cnan","type":"track","event":"X","timestamp":"2026-02-01",'
        b'"context":{"consent":{"categoryPreferences":{"a":NaN}}}}',
        b'{"messageId":"deep","type":"track","event":"X","timestamp":"2026-02-01","properties":{"a":'
        + b"[" * 50_000
        + b"1"
        + b",2]" * 50_000
        + b"}}",
        b'{"messageId":"far","type":"track","event":"X","timestamp":"9999-01-01"}',
        b'{"messageId":"\xff","type":"track","event":"X","timestamp":"2026-02-01"}',
    ]
    content = ndjson(*rows, *raw)
    assert both.land("calls.ndjson", content, "segment").accepted >= len(texts)
    assert both.land("again.ndjson", content, "segment").accepted == 0


DOCUMENTS = SHOP.model_copy(
    update={"columns": {"id": "text", "at": "timestamp", "body": "json"}, "properties": "body", "identifiers": {}}
)


def test_json_in_a_csv_column_agrees(both: Both) -> None:
    bodies = [
        b'"{""a"":[1, ], }"',
        b'" {""a"": 1 } "',
        b'"{""a"":1}x"',
        b'"{""a"":nan}"',
        b"nan",
        b'"[1,]"',
        b"{}",
        b"",
    ]
    lines = [b"%d,2026-02-01,%s" % (number, body) for number, body in enumerate(bodies)]
    both.land("bodies.csv", b"\n".join([b"id,at,body", *lines]) + b"\n", DOCUMENTS)


def test_products_and_rates_agree(both: Both) -> None:
    header = b"id,price,currency,stock,changed\n"
    both.land("a.csv", header + b"a,1.5,EUR,1,2026-02-01\na,2,EUR,3,2026-02-03\nb,1,EUR,1,2026-02-05\n", PRODUCTS)
    both.land("b.csv", header + b"a,9,EUR,1,2026-02-02\nb,7,EUR,7,2026-02-06\nc,1,BTC,1,2026-02-06\n", PRODUCTS)
    rates = Mapping.model_validate(
        {
            "name": "rates",
            "source": "bank",
            "target": "exchange_rates",
            "columns": {"day": "date", "code": "text", "rate": "decimal"},
            "rate": {"rate_date": "day", "currency": "code", "rate": "rate"},
        }
    )
    assert both.land("rates.csv", b"day,code,rate\n2026-02-01,btc,2\n2026-02-01,USD,1.2\n", rates).accepted == 2
    assert both.land("more.csv", b"day,code,rate\n2026-02-01,btc,3\n2026-02-01,USD,1.2\n", rates).accepted == 1
    assert both.land("c.csv", header + b"c,1,BTC,1,2026-02-06\n", PRODUCTS).accepted == 1


def test_a_folder_agrees_and_unchanged_files_are_skipped(both: Both, tmp_path: Path) -> None:
    inbox = tmp_path / "inbox" / "segment"
    inbox.mkdir(parents=True)
    call = {"type": "track", "event": "X", "timestamp": "2026-02-01"}
    (inbox / "1.ndjson").write_bytes(ndjson({"messageId": "a"} | call, b"{"))
    (inbox / "2.ndjson").write_bytes(ndjson({"messageId": "a"} | call, {"messageId": "b"} | call, b"{"))
    (inbox / "3.xml").write_bytes(b"<event/>")
    for _ in range(2):
        expected = list(land_folder(both.duckdb, folder=inbox.parent, landed_at=LANDED_AT))
        assert list(land_folder_into_postgres(both.postgres, folder=inbox.parent, landed_at=LANDED_AT)) == expected
        both.compare()
    assert [report.is_unchanged for report in expected] == [True, True, False]


def test_what_postgresql_refuses_is_one_sentence_without_values(
    postgres: PostgresConnection, both: Both, tmp_path: Path
) -> None:
    both.land("a.ndjson", ndjson(order("1")))
    with postgres, postgres.cursor() as cursor:
        cursor.execute("alter table raw.events add constraint short check (length(message_id) < 5)")
    path = tmp_path / "b.ndjson"
    path.write_bytes(ndjson(order("12345", email="ann@example.com")))
    from ingestion.file_errors import FileError

    with pytest.raises(FileError, match=r"^b\.ndjson was not landed: ") as caught:
        land_file_into_postgres(postgres, path=path, mapping=SHOP, landed_at=LANDED_AT)
    assert "ann@" not in str(caught.value)
    both.compare()


def test_a_payload_that_is_kept_verbatim_agrees(both: Both) -> None:
    kept = SHOP.model_copy(update={"keep_payload": True})
    rows = [
        order("1", note="a\u0000b, }"),
        b'{"id":"2","at":"2026-02-01", "more": [1, ], }',
        order("3", note="\\u0000"),
    ]
    assert both.land("kept.ndjson", ndjson(*rows), kept).accepted == 3
