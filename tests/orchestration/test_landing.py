"""A file lands exactly once: repeated, split, changed while it is read, in conflict with what stands, from a folder."""

import multiprocessing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.file_errors import FileError
from ingestion.mappings import Mapping, MappingError
from orchestration.landing import ensure_raw_tables, land_file, land_folder
from tests.ingestion.landings import KEYLESS_SHOP, LANDED_AT, SHOP, csv, events, land, ndjson, order, rejects


@pytest.fixture
def warehouse() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def test_a_repeated_import_changes_nothing_and_says_so(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    content = ndjson(
        order("1"), b"{broken", order("2", price=-1), order("3"), order("3"), order("3", price=9), b"{broken"
    )
    first = land(warehouse, tmp_path, "a.ndjson", content)
    assert (first.rows_read, first.accepted, first.duplicates, first.conflicts) == (7, 2, 1, 1)
    assert first.rejected == {"broken_json": 2, "negative_price": 1}
    before = events(warehouse, "*,"), rejects(warehouse)
    again = land(warehouse, tmp_path, "a.ndjson", content)
    assert (again.rows_read, again.accepted, again.rejected, again.duplicates, again.conflicts) == (7, 0, {}, 7, 0)
    assert (events(warehouse, "*,"), rejects(warehouse)) == before


def test_the_same_key_with_another_body_is_kept_aside(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    land(warehouse, tmp_path, "a.ndjson", ndjson(order("1")))
    report = land(warehouse, tmp_path, "b.csv", csv(order("1", price=3), order("1")))
    assert (report.accepted, report.conflicts, report.duplicates) == (0, 1, 1)
    assert rejects(warehouse) == [("conflicting_body", 1, csv(order("1", price=3)).splitlines()[1])]
    assert events(warehouse, "properties->>'$.products[0].price'") == ["2.5"]


def test_true_duplicates_of_rows_without_an_id_survive(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    content = csv(order("1"), order("2"), order("1"), order("1"))
    assert land(warehouse, tmp_path, "a.csv", content, KEYLESS_SHOP).accepted == 4
    assert len(set(events(warehouse))) == 4
    assert land(warehouse, tmp_path, "b.csv", content, KEYLESS_SHOP).duplicates == 4
    more = land(warehouse, tmp_path, "c.csv", csv(*[order("1")] * 5), KEYLESS_SHOP)
    assert (more.accepted, more.duplicates) == (2, 3)


def test_a_row_has_the_same_derived_id_in_every_format(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    land(warehouse, tmp_path, "a.csv", csv(order("1")), KEYLESS_SHOP)
    land(warehouse, tmp_path, "a.ndjson", ndjson(order("1", unheard_of=1)), KEYLESS_SHOP)
    table = pa.Table.from_pylist([order("1", at=datetime(2026, 2, 1, 10))])
    pq.write_table(table, tmp_path / "a.parquet")
    land_file(warehouse, path=tmp_path / "a.parquet", mapping=KEYLESS_SHOP, landed_at=LANDED_AT)
    assert len(events(warehouse)) == 1


def test_landed_seq_follows_the_rows_and_grows_with_landing(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    names = [str(number) for number in range(300_000)]
    land(warehouse, tmp_path, "a.ndjson", ndjson(*(order(name) for name in names)))
    land(warehouse, tmp_path, "b.ndjson", ndjson(order("late", at="2026-01-01")))
    assert events(warehouse) == [*names, "late"]
    assert warehouse.execute("select count(distinct landed_seq) from raw.events").fetchone() == (300_001,)


def test_the_setting_of_the_connection_is_given_back(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    for setting in (True, False):
        warehouse.execute(f"set preserve_insertion_order = {setting}")
        land(warehouse, tmp_path, f"{setting}.ndjson", ndjson(order(str(setting))))
        assert warehouse.execute("select current_setting('preserve_insertion_order')").fetchone() == (setting,)
    left = "select count(*) from information_schema.tables where table_schema <> 'raw'"
    assert warehouse.execute(left).fetchone() == (0,)


def test_known_at_is_mapped_or_received_or_assumed(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    rows = [
        {"messageId": "mapped", "timestamp": "2026-02-01", "receivedAt": "2026-02-02"},
        {"messageId": "assumed", "timestamp": "2026-02-01"},
        {"messageId": "skewed", "originalTimestamp": "2026-02-01T10:00:00+02:00", "sentAt": "2026-02-01T09:00:00Z",
         "receivedAt": "2026-02-01T12:00:00Z"},
        {"messageId": "ahead", "timestamp": "2026-02-02T20:00:00Z", "receivedAt": "2026-02-02"},
        {"messageId": "tomorrow", "timestamp": "2026-03-02T11:00:00Z"},
    ]  # fmt: skip
    path = tmp_path / "calls.ndjson"
    path.write_bytes(ndjson(*({"type": "track", "event": "X"} | row for row in rows)))
    land_file(warehouse, path=path, mapping="segment", landed_at=LANDED_AT)
    assert events(warehouse, "message_id, occurred_at, known_at, is_known_at_assumed") == [
        ("mapped", datetime(2026, 2, 1), datetime(2026, 2, 2), False),
        ("assumed", datetime(2026, 2, 1), datetime(2026, 2, 1), True),
        ("skewed", datetime(2026, 2, 1, 11), datetime(2026, 2, 1, 12), False),
        ("ahead", datetime(2026, 2, 2), datetime(2026, 2, 2), False),
        ("tomorrow", LANDED_AT, LANDED_AT, True),
    ]
    # what was cut to its landing is the same event on another day
    again = land_file(warehouse, path=path, mapping="segment", landed_at=LANDED_AT + timedelta(hours=3))
    assert (again.duplicates, again.conflicts) == (5, 0)


def test_a_failure_in_the_middle_rolls_back(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    def fail(reached: str) -> None:
        if reached == "before_commit":
            raise KeyboardInterrupt

    path = tmp_path / "orders.ndjson"
    path.write_bytes(ndjson(order("1"), b"{broken"))
    with pytest.raises(KeyboardInterrupt):
        land_file(warehouse, path=path, mapping=SHOP, landed_at=LANDED_AT, on_step=fail)
    assert (events(warehouse), rejects(warehouse)) == ([], [])
    assert land_file(warehouse, path=path, mapping=SHOP, landed_at=LANDED_AT).accepted == 1


@pytest.mark.parametrize("changed", [[order("1"), order("2")], [], [order("9")]], ids=["grown", "cut", "rewritten"])
def test_a_file_that_changes_while_it_is_read_is_not_landed(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path, changed: list[dict[str, Any]]
) -> None:
    path = tmp_path / "orders.ndjson"
    path.write_bytes(ndjson(order("1")))

    def write(reached: str) -> None:
        if reached == "staged":
            path.write_bytes(ndjson(*changed))

    with pytest.raises(FileError, match="changed while it was read"):
        land_file(warehouse, path=path, mapping=SHOP, landed_at=LANDED_AT, on_step=write)
    assert (events(warehouse), rejects(warehouse)) == ([], [])
    assert land_file(warehouse, path=path, mapping=SHOP, landed_at=LANDED_AT).accepted == len(changed)


def test_an_expression_that_does_not_fit_is_one_sentence(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    wrong = SHOP.model_copy(update={"properties": {"order_id": "order_number"}})
    with pytest.raises(MappingError, match=r"shop: an expression cannot be used: .*order_number"):
        land(warehouse, tmp_path, "a.ndjson", ndjson(order("1")), wrong)
    failing = SHOP.model_copy(update={"properties": {"order_id": "email::integer"}})
    with pytest.raises(FileError, match="try_cast") as caught:
        land(warehouse, tmp_path, "a.ndjson", ndjson(order("1")), failing)
    assert "ann@example.com" not in str(caught.value)


def test_a_folder_lands_in_name_order_and_unchanged_files_are_skipped(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    inbox = tmp_path / "segment"
    inbox.mkdir()
    call = {"type": "track", "event": "X", "timestamp": "2026-02-01"}
    (inbox / "2.ndjson").write_bytes(ndjson({"messageId": "b"} | call))
    (inbox / "1.ndjson").write_bytes(ndjson({"messageId": "a"} | call))
    (inbox / "3.xml").write_bytes(b"<event/>")
    (inbox / ".4.ndjson").write_bytes(b"still being written")
    (tmp_path / "nobody_knows").mkdir()
    (tmp_path / "nobody_knows" / "a.csv").write_bytes(b"id\n1\n")
    reports = list(land_folder(warehouse, folder=tmp_path, landed_at=LANDED_AT))
    assert [(report.origin, report.accepted, bool(report.problem)) for report in reports] == [
        ("a.csv", 0, True), ("1.ndjson", 1, False), ("2.ndjson", 1, False), ("3.xml", 0, True),
    ]  # fmt: skip
    assert events(warehouse) == ["a", "b"]
    again = list(land_folder(warehouse, folder=tmp_path, landed_at=LANDED_AT))
    assert [report.is_unchanged for report in again] == [False, True, True, False]


PRODUCTS = Mapping.model_validate(
    {
        "name": "catalogue",
        "source": "shop",
        "target": "products",
        "columns": {"id": "text", "price": "decimal", "currency": "text", "stock": "integer", "changed": "timestamp"},
        "optional": ["changed"],
        "product": {
            "product_id": "id", "name": "id || '!'", "price": "price", "currency": "currency", "stock": "stock",
            "updated_at": "changed",
        },
    }
)  # fmt: skip


def _products(warehouse: duckdb.DuckDBPyConnection) -> list[tuple[str, int]]:
    return warehouse.execute("select product_id, stock from raw.products order by product_id").fetchall()


def test_the_newest_state_of_a_product_wins(warehouse: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    def row(id_: str, stock: int, day: int) -> bytes:
        return f"{id_},1.5,EUR,{stock},2026-02-0{day}\n".encode()

    header = b"id,price,currency,stock,changed\n"
    first = header + row("a", 1, 1) + row("a", 3, 3) + row("a", 2, 2) + row("b", 1, 5) + b",1,EUR,1,2026-02-01\n"
    first += b"c,-1,EUR,1,2026-02-01\nd,1,ZZZ,1,2026-02-01\n"
    report = land(warehouse, tmp_path, "first.csv", first, PRODUCTS)
    assert (report.accepted, report.duplicates, report.rejected) == (
        2, 2, {"missing_key": 1, "negative_price": 1, "unknown_currency": 1},
    )  # fmt: skip
    assert land(warehouse, tmp_path, "second.csv", header + row("a", 9, 2) + row("b", 7, 6), PRODUCTS).accepted == 1
    assert _products(warehouse) == [("a", 3), ("b", 7)]
    assert land(warehouse, tmp_path, "second.csv", header + row("a", 9, 2) + row("b", 7, 6), PRODUCTS).accepted == 0


def test_a_product_without_a_date_changes_when_its_row_does(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    header = b"id,price,currency,stock\n"
    assert land(warehouse, tmp_path, "a.csv", header + b"a,1,EUR,5\n", PRODUCTS).accepted == 1
    assert land(warehouse, tmp_path, "b.csv", header + b"a,1,EUR,5\n", PRODUCTS).duplicates == 1
    assert land(warehouse, tmp_path, "c.csv", header + b"a,1,EUR,4\n", PRODUCTS).accepted == 1
    assert _products(warehouse) == [("a", 4)]


def test_exchange_rates_are_seeded_once_and_can_be_imported(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    ensure_raw_tables(warehouse)
    seeded = warehouse.execute("select count(*) from raw.exchange_rates").fetchone()
    ensure_raw_tables(warehouse)
    assert warehouse.execute("select count(*) from raw.exchange_rates").fetchone() == seeded
    assert seeded and seeded[0] > 100
    rates = Mapping.model_validate(
        {
            "name": "rates",
            "source": "bank",
            "target": "exchange_rates",
            "columns": {"day": "date", "code": "text", "rate": "decimal"},
            "rate": {"rate_date": "day", "currency": "code", "rate": "rate"},
        }
    )
    content = b"day,code,rate\n2026-02-01,btc,0.00002\n2026-02-01,USD,1.2\n2026-02-01,GBP,0\n"
    report = land(warehouse, tmp_path, "rates.csv", content, rates)
    assert (report.accepted, report.rejected) == (1, {"bad_number": 2})  # a decimal has four places
    assert land(warehouse, tmp_path, "rates.csv", content, rates).duplicates == 3
    assert land(warehouse, tmp_path, "more.csv", content.replace(b"1.2", b"1.3"), rates).accepted == 1
    query = "select rate::varchar from raw.exchange_rates where currency = 'USD' and rate_date = '2026-02-01'"
    assert warehouse.execute(query).fetchall() == [("1.30000000",)]


def test_an_expression_that_looks_beyond_its_row_is_refused(
    warehouse: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    for expression in ("(select max(currency) from raw.exchange_rates)", "row_number() over ()"):
        wrong = SHOP.model_copy(update={"properties": {"order_id": expression}})
        with pytest.raises(MappingError, match="looks beyond its row"):
            land(warehouse, tmp_path, "a.ndjson", ndjson(order("1")), wrong)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["big.ndjson", "big.csv"])
def test_a_file_of_200_mb_lands_in_bounded_memory(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows = 1_700_000
    write = csv if name.endswith("csv") else ndjson
    with path.open("wb") as file:
        for start in range(0, rows, 50_000):
            chunk = write(*(order(str(start + number), email="x" * 90) for number in range(50_000)))
            file.write(chunk if start == 0 or write is ndjson else chunk.split(b"\n", 1)[1])
            file.write(b"{broken \xff\n")
    assert path.stat().st_size > 200e6
    process = multiprocessing.get_context("spawn").Process(
        target=_land_in_bounds, args=(str(tmp_path / "w.db"), str(path))
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    with duckdb.connect(str(tmp_path / "w.db")) as connection:
        landing = connection.execute("select rows_read, accepted, rejected from raw.landings").fetchall()
    assert landing == [(rows + 34, rows, 34)]


@pytest.mark.nightly
def test_ten_million_csv_rows_with_one_bad_in_a_hundred_land_within_2_gb(tmp_path: Path) -> None:
    path, rows = tmp_path / "huge.csv", 10_000_000
    price = "case when i % 100 = 0 then 'much' else (i % 900)::varchar end"
    row = f"i as id, timestamp '2026-02-01' as at, {price} as price, 'EUR' as currency, null as email"
    duckdb.execute(f"copy (select {row} from range({rows}) as t (i)) to '{path}' (header, quote '')")
    process = multiprocessing.get_context("spawn").Process(
        target=_land_in_bounds, args=(str(tmp_path / "w.db"), str(path), "1GB", 2_000_000)
    )
    process.start()
    process.join()
    assert process.exitcode == 0
    with duckdb.connect(str(tmp_path / "w.db")) as connection:
        landing = connection.execute("select rows_read, accepted, rejected from raw.landings").fetchall()
    assert landing == [(rows, rows - rows // 100, rows // 100)]


def _land_in_bounds(warehouse_path: str, path: str, memory: str = "600MB", at_most_kib: int = 1_200_000) -> None:
    with duckdb.connect(warehouse_path) as connection:
        connection.execute(f"set memory_limit = '{memory}'")
        land_file(connection, path=path, mapping=SHOP, landed_at=LANDED_AT)
    # the peak of this process alone: ru_maxrss would start at its parent's
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(peak)
    assert int(peak.split()[1]) < at_most_kib
