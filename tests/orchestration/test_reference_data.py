"""Catalogue and exchange rates through the mappings that come with Weft, and what a file's times, amounts and identifiers become."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.landing_report import LandingReport
from ingestion.mappings import Mapping, available_mappings, load_mapping
from orchestration.landing import ensure_raw_tables, land_file
from tests.ingestion.landings import LANDED_AT, events, ndjson, rejects

DOCUMENT = Path(__file__).parents[2] / "docs" / "sources.md"


@pytest.fixture
def warehouse() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def land(
    warehouse: duckdb.DuckDBPyConnection, path: Path, content: str, mapping: str | Path | Mapping | None = None
) -> LandingReport:
    path.write_text(content, encoding="utf-8")
    return land_file(warehouse, path=path, mapping=mapping or path.stem, landed_at=LANDED_AT)


CATALOGUE = "id,name,category_path,price,currency,stock,repeatable,updated_at\n"


def test_a_catalogue_imported_again_updates_and_an_older_row_does_not(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = tmp_path / "products.csv"
    first = "1,Beans,Kitchen > Coffee,9.50,eur,40,true,2026-02-01T10:00:00+02:00\n2,Sofa,Living room,899,EUR,,false,2026-02-01\n"
    assert land(warehouse, path, CATALOGUE + first).accepted == 2
    later = "1,Beans,Kitchen > Coffee,9.90,EUR,38,true,2026-02-03\n2,Old sofa,Attic,1,EUR,,false,2026-01-31\n"
    report = land(warehouse, path, CATALOGUE + later)
    assert (report.accepted, report.duplicates) == (1, 1)
    assert land(warehouse, path, CATALOGUE + first).duplicates == 2
    query = "select name, category_path, price::double, currency, stock, is_repeatable, updated_at from raw.products order by product_id"
    assert warehouse.execute(query).fetchall() == [
        ("Beans", "Kitchen > Coffee", 9.9, "EUR", 38, True, datetime(2026, 2, 3)),
        ("Sofa", "Living room", 899.0, "EUR", None, False, datetime(2026, 2, 1)),
    ]


def test_broken_products_are_kept_with_the_reason_and_their_bytes(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    broken = {
        ",No id,,1,EUR,,,": "missing_key",
        "1,Negative,,-1,EUR,,,": "negative_price",
        "2,Words,,cheap,EUR,,,": "bad_number",
        "3,No such money,,1,DOUBLOON,,,": "unknown_currency",
        "4,Half,,1,EUR,1.5,,": "bad_number",
        "5,Maybe,,1,EUR,1,perhaps,": "bad_value",
        "6,Undated,,1,EUR,1,true,someday": "bad_timestamp",
        "7,Tomorrow week,,1,EUR,1,true,2026-03-09": "known_too_far_ahead",
        "8,Too,many,1,EUR,1,true,2026-02-01,fields": "broken_csv",
    }
    report = land(warehouse, tmp_path / "products.csv", CATALOGUE + "\n".join(broken) + "\n")
    assert (report.accepted, report.rejected_count, report.is_balanced) == (0, len(broken), True)
    assert rejects(warehouse) == [
        (reason, place, row.encode()) for place, (row, reason) in enumerate(broken.items(), start=1)
    ]


def test_a_catalogue_may_hold_no_more_than_ids(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    assert land(warehouse, tmp_path / "products.csv", "id,name\n1,Beans\n").accepted == 1


RATES = "rate_date,currency,rate\n"


def _rate(warehouse: duckdb.DuckDBPyConnection, day: str, currency: str) -> list[tuple[float]]:
    query = "select rate::double from raw.exchange_rates where rate_date = ?::date and currency = ?"
    return warehouse.execute(query, [day, currency]).fetchall()


def test_an_imported_rate_replaces_the_seeded_one_of_its_day_and_a_broken_one_is_refused(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    ensure_raw_tables(warehouse)
    assert _rate(warehouse, "2024-01-01", "USD") not in ([], [(1.0389,)])
    good = "2024-01-01,USD,1.0389\n2024-01-02,usd,1.0321\n2024-01-02,BTC,0.00001065\n"
    broken = {
        "2024-01-02,GBP,0": "bad_number",
        "2024-01-02,GBP,-0.83": "bad_number",
        "2024-01-02,GBP,n/a": "bad_number",
        "2024-01-02,GBP,": "bad_number",
        "02/01/2024,GBP,0.83": "bad_timestamp",
        ",GBP,0.83": "missing_key",
        "2024-01-02,,0.83": "missing_key",
        "2024-01-02,pound,0.83": "bad_value",
        "2024-01-02,EUR,1.2": "bad_value",
    }
    report = land(warehouse, tmp_path / "exchange_rates.csv", RATES + good + "\n".join(broken) + "\n")
    assert (report.accepted, report.rejected_count) == (3, len(broken))
    assert [reason for reason, _, _ in rejects(warehouse)] == list(broken.values())
    found = [_rate(warehouse, *key) for key in [("2024-01-01", "USD"), ("2024-01-02", "USD"), ("2024-01-02", "BTC")]]
    assert found == [[(1.0389,)], [(1.0321,)], [(0.00001065,)]]
    ensure_raw_tables(warehouse)  # the seed does not come back
    assert _rate(warehouse, "2024-01-01", "USD") == [(1.0389,)]


def test_the_ways_to_map_the_ecbs_files_and_inverse_rates_work_as_documented(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ecb, unpivot, inverse = re.findall(r"```(?:yaml|sql)\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "ecb.yml").write_text(ecb)
    (tmp_path / "inverse.yml").write_text(inverse)
    long = "KEY,FREQ,CURRENCY,CURRENCY_DENOM,EXR_TYPE,EXR_SUFFIX,TIME_PERIOD,OBS_VALUE,OBS_STATUS\n"
    long += "EXR.D.USD.EUR.SP00.A,D,USD,EUR,SP00,A,2024-03-01,1.0813,A\nEXR.D.USD.EUR.SP00.A,D,USD,EUR,SP00,A,2024-03-02,NaN,H\n"
    report = land(warehouse, tmp_path / "ecb.csv", long, tmp_path / "ecb.yml")
    assert (report.accepted, report.rejected) == (1, {"bad_number": 1})
    (tmp_path / "eurofxref-hist.csv").write_text(
        "Date,USD,JPY,CYP,\n2024-03-04,1.0846,163.2,N/A,\n2024-03-05,1.0849,162.9,N/A,\n"
    )
    warehouse.execute(unpivot)
    turned = tmp_path / "exchange_rates.csv"
    assert land_file(warehouse, path=turned, mapping="exchange_rates", landed_at=LANDED_AT).accepted == 4
    land(
        warehouse,
        tmp_path / "bank.csv",
        "day,code,euros\n2024-03-06,USD,0.8\n2024-03-06,GBP,0\n",
        tmp_path / "inverse.yml",
    )
    days = ["2024-03-01", "2024-03-02", "2024-03-04", "2024-03-06"]
    assert [_rate(warehouse, day, "USD") for day in days] == [[(1.0813,)], [], [(1.0846,)], [(1.25,)]]
    assert _rate(warehouse, "2024-03-06", "GBP") == []


def _order(id_: str, **properties: object) -> dict[str, object]:
    return {"messageId": id_, "type": "track", "event": "Order Completed", "userId": "u",
            "timestamp": "2026-02-01T10:00:00Z", "properties": {"order_id": id_, **properties}}  # fmt: skip


def test_an_order_in_an_unknown_currency_lands_once_its_rate_is_known_and_its_file_is_imported_again(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    path = tmp_path / "segment.ndjson"
    content = ndjson(_order("1", revenue=5, currency="EUR"), _order("2", revenue=900, currency="XAF")).decode()
    first = land(warehouse, path, content)
    assert (first.accepted, first.rejected) == (1, {"unknown_currency": 1})
    assert rejects(warehouse)[0][2] == content.splitlines()[1].encode()
    assert land(warehouse, path, content).duplicates == 2
    land(warehouse, tmp_path / "exchange_rates.csv", RATES + "2026-02-01,XAF,655.957\n")
    again = land(warehouse, path, content)
    assert (again.accepted, again.duplicates, again.is_balanced) == (1, 1, True)
    assert events(warehouse) == ["1", "2"]
    assert land(warehouse, path, content).duplicates == 2


@pytest.mark.parametrize("name", ["price", "revenue", "total", "tax", "shipping", "discount"])
def test_an_amount_that_is_no_number_or_below_zero_refuses_the_order(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, name: str
) -> None:
    amounts = {
        "text": "abc",
        "huge": 1e13,
        "below": -1,
        "number": 1.5,
        "number in text": "1.5",
        "blank": "",
        "null": None,
    }
    content = ndjson(*(_order(id_, **{name: amount}) for id_, amount in amounts.items())).decode()
    land(warehouse, tmp_path / "segment.ndjson", content)
    assert [reason for reason, _, _ in rejects(warehouse)] == ["bad_number", "bad_number", "negative_price"]
    assert events(warehouse) == ["number", "number in text", "blank", "null"]


@pytest.mark.parametrize("name", ["price", "quantity", "discount"])
def test_a_number_of_a_product_line_is_checked_as_well(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, name: str
) -> None:
    lines = [{name: "abc"}, {name: -1}, {name: 2}]
    content = ndjson(*(_order(str(n), products=[{"product_id": "p"}, line]) for n, line in enumerate(lines))).decode()
    land(warehouse, tmp_path / "segment.ndjson", content)
    assert [reason for reason, _, _ in rejects(warehouse)] == ["bad_number", "negative_price"]
    assert events(warehouse) == ["2"]


@pytest.mark.parametrize(
    ("part", "found"),
    [
        ({"properties": {"email": "a@example.com", "phone": "+32470000000"}}, ["a@example.com", "+32470000000"]),
        ({"traits": {"email": "b@example.com"}, "properties": {"email": "a@example.com"}}, ["b@example.com"]),
        ({"context": {"traits": {"email": "c@example.com", "phone": "+1"}}}, ["c@example.com", "+1"]),
        ({"properties": {"note": 'his "email": none'}}, []),
    ],
)
def test_segment_identifiers_are_found_wherever_an_sdk_puts_them(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, part: dict[str, object], found: list[str]
) -> None:
    land(warehouse, tmp_path / "segment.ndjson", ndjson({**_order("1"), **part}).decode())
    assert events(warehouse, "identifiers->>'$[*].value'") == [found]


OFFSET, UTC = "2026-01-01T10:00:00+02:00", datetime(2026, 1, 1, 8)
SAMPLE = {
    "text": "1",
    "integer": 1,
    "decimal": 1.0,
    "boolean": True,
    "json": "{}",
    "date": "2026-01-01",
    "timestamp": OFFSET,
}
MEANT = {"type": "track", "event_type": "view", "currency": "EUR"}


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        (name, format_)
        for name in available_mappings()
        for format_ in ("csv", "ndjson", "parquet")
        if "timestamp" in load_mapping(name).columns.values() and load_mapping(name).format in (None, format_)
    ],
)
def test_a_time_with_an_offset_lands_in_utc_through_every_mapping(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, name: str, format_: str
) -> None:
    mapping = load_mapping(name)
    row = {column: MEANT.get(column, SAMPLE[type_]) for column, type_ in mapping.columns.items()}
    table, path = pa.Table.from_pylist([row]), tmp_path / f"file.{format_}"
    if format_ == "parquet":
        pq.write_table(table, path)
    else:
        documents = {column: {} for column, type_ in mapping.columns.items() if type_ == "json"}
        as_ndjson = row | documents | ({"identifiers": []} if "identifiers" in documents else {})
        rows = [",".join(row), ",".join(str(value) for value in row.values())]
        path.write_bytes(ndjson(as_ndjson) if format_ == "ndjson" else "\n".join([*rows, ""]).encode())
    assert land_file(warehouse, path=path, mapping=mapping, landed_at=LANDED_AT).accepted == 1
    times = "updated_at" if mapping.target == "products" else "occurred_at, known_at"
    assert set(warehouse.execute(f"select {times} from raw.{mapping.target}").fetchone() or ()) == {UTC}
