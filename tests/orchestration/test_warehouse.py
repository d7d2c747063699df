"""One writer at a time, and readers on whole builds, on either warehouse."""

import os
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import duckdb
import psycopg2
import pyarrow as pa
import pytest

from orchestration.clock import BUILDS, CURRENT_RUN, DATES, mark_build_whole
from orchestration.duckdb_warehouse import DuckDBWarehouse
from orchestration.errors import NothingServedError, WarehouseError
from orchestration.postgres_connection import renamed_schemas
from orchestration.postgres_warehouse import PostgresWarehouse
from orchestration.warehouse import KEEP_BUILDS, Warehouse, create_table, row_count, scalar, tables_of, write_table

ROOT = Path(__file__).resolve().parents[2]
AS_OF = datetime(2026, 7, 1)


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    if request.param == "duckdb":
        return DuckDBWarehouse(tmp_path / "warehouse.duckdb", tmp_path / "served")
    return PostgresWarehouse(request.getfixturevalue("postgres_url"))


def test_the_second_writer_waits_for_the_first(warehouse: Warehouse) -> None:
    order: list[str] = []
    with warehouse.writer() as connection:
        create_table(connection, "control.builds", BUILDS)
        waiting = threading.Thread(target=lambda: _write(warehouse, order))
        waiting.start()
        order.append("first")
        assert warehouse.serve_newest_build(wait=False) is None
    waiting.join()
    assert order == ["first", "second"]


def test_dbts_turn_waits_for_the_writer(postgres_url: str) -> None:
    warehouse = PostgresWarehouse(postgres_url)
    order: list[str] = []

    def take_a_turn() -> None:
        with warehouse.dbt_turn():
            order.append("dbt")

    with warehouse.writer():
        waiting = threading.Thread(target=take_a_turn)
        waiting.start()
        waiting.join(0.5)
        order.append("writer")
    waiting.join()
    assert order == ["writer", "dbt"]


def _write(warehouse: Warehouse, order: list[str]) -> None:
    with warehouse.writer() as connection:
        create_table(connection, "raw.t", {"n": "bigint"})
        order.append("second")


def test_a_killed_writer_frees_the_lock_and_leaves_nothing_half_done(warehouse: Warehouse) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from orchestration.duckdb_warehouse import DuckDBWarehouse; from orchestration.postgres_warehouse import PostgresWarehouse\n"
        "kind, where = sys.argv[1:]\n"
        "w = PostgresWarehouse(where) if kind == 'postgres' else DuckDBWarehouse(Path(where), Path('served'))\n"
        "with w.writer() as c:\n"
        "    c.execute('create schema raw'); c.execute('create table raw.t (n integer)')\n"
        "    c.execute('begin'); c.execute('insert into raw.t values (1)')\n"
        "    print('holding', flush=True); sys.stdin.read()\n"
    )
    where = warehouse.url if isinstance(warehouse, PostgresWarehouse) else str(warehouse.path)  # type: ignore[attr-defined]
    command = [sys.executable, "-c", code, warehouse.dialect, where]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with warehouse.writer() as connection:
        assert row_count(connection, "raw.t") == 0


def test_a_failed_transaction_leaves_the_table_as_it_was(warehouse: Warehouse) -> None:
    columns = {"n": "bigint"}
    with warehouse.writer() as connection:
        write_table(connection, "raw.t", pa.table({"n": [1, 2]}), columns)
        with pytest.raises((duckdb.Error, psycopg2.Error)), connection.transaction():
            write_table(connection, "raw.t", pa.table({"n": [3]}), columns)
            connection.execute("select no_such_column from raw.t")
        assert scalar(connection, "select sum(n) from raw.t") == 3


def test_a_table_comes_back_as_it_was_written(warehouse: Warehouse) -> None:
    columns = {
        "text": "varchar",
        "number": "float8",
        "count": "bigint",
        "is_true": "boolean",
        "moment": "timestamp",
        "amount": "decimal(18, 4)",
        "day": "date",
        "body": "json",
    }
    rows = pa.table(
        {
            "text": ["", None, 'a "quoted", line\nand % another\\.', "ü\t?"],
            "number": [0.1, None, -1e300, float("inf")],
            "count": [1, None, -(2**62), 0],
            "is_true": [True, None, False, True],
            "moment": pa.array([AS_OF.replace(microsecond=120), None, datetime(1, 1, 1), AS_OF], pa.timestamp("us")),
            "amount": pa.array(["1.5000", None, "-99999999999999.9999", "0.0000"]).cast(pa.decimal128(18, 4)),
            "day": [AS_OF.date(), None, AS_OF.date(), AS_OF.date()],
            "body": ['{"a": [1]}', None, "[]", "null"],
        }
    )
    with warehouse.writer() as connection:
        write_table(connection, "raw.t", rows, columns)
        back = connection.arrow("select * from raw.t")
        connection.execute("create table raw.bytes as select cast('ab' as bytea) as payload union all select null")
        assert connection.arrow("select * from raw.bytes where payload is not null").to_pylist() == [{"payload": b"ab"}]
        texts = connection.rows("select text from raw.t where text like '%' or text = ?", [""])
    assert back.to_pylist() == rows.to_pylist()
    assert len(texts) == 3


def _build(warehouse: Warehouse, number: int) -> None:
    with warehouse.writer() as connection:
        write_table(connection, "audiences.t", pa.table({"n": [number]}), {"n": "bigint"})
        create_table(connection, "raw.events", {"landed_seq": "bigint"})
        connection.execute("insert into raw.events values (?)", [number])
        create_table(connection, "control.builds", BUILDS)
        create_table(connection, "control.current_run", CURRENT_RUN)
        for dates in ("feature_dates", "standing_dates"):
            create_table(connection, f"control.{dates}", DATES)
        connection.execute("delete from control.current_run")
        connection.execute(
            "insert into control.current_run (as_of, run_seq, landed_seq) values (?, ?, ?)", [AS_OF, number, number]
        )
        mark_build_whole(connection, f"build-{number}")


def test_a_table_of_many_pieces_is_written_whole(warehouse: Warehouse) -> None:
    columns = {"name": "varchar", "number": "bigint"}
    pieces = [pa.table({"name": [f"n{each}"] * 7, "number": [each] * 7}) for each in range(3)]
    empty = pieces[0].schema.empty_table()
    with warehouse.writer() as connection:
        write_table(connection, "raw.pieces", pa.concat_tables([empty, pieces[0], empty, *pieces[1:], empty]), columns)
        write_table(connection, "raw.pieces", empty, columns, append=True)
        assert sorted(connection.rows("select name, number from raw.pieces")) == [
            (f"n{each}", each) for each in range(3) for _ in range(7)
        ]


def test_a_null_alone_in_its_row_comes_back(warehouse: Warehouse) -> None:
    with warehouse.writer() as connection:
        given = connection.arrow(
            "select cast(value as bigint) as value from (values (1), (null), (2), (null)) as t (value)"
        )
        assert given["value"].to_pylist() == [1, None, 2, None]


def test_a_table_of_several_parts_some_without_rows_comes_back(warehouse: Warehouse) -> None:
    parts = pa.concat_tables([pa.table({"n": pa.array(part, pa.int64())}) for part in ([], [1, 2], [], [3])])
    with warehouse.writer() as connection:
        write_table(connection, "raw.t", parts, {"n": "bigint"})
        assert connection.rows("select n from raw.t order by n") == [(1,), (2,), (3,)]


def test_readers_see_the_last_whole_build_while_the_next_one_is_written(warehouse: Warehouse) -> None:
    with pytest.raises(NothingServedError, match="run"), warehouse.open_served():
        raise AssertionError("there is nothing to read")
    assert warehouse.serve_newest_build() is None
    _build(warehouse, 1)
    assert warehouse.serve_newest_build() == "build-1"
    assert warehouse.serve_newest_build() is None
    with warehouse.writer() as connection:
        write_table(connection, "audiences.t", pa.table({"n": [2]}), {"n": "bigint"})
        connection.execute("insert into raw.events values (2)")
        with warehouse.open_served() as served:
            assert scalar(served, "select n from audiences.t") == 1
            assert row_count(served, "raw.events") == 1
            assert tables_of(served, "audiences") == {"t"}
            assert served.arrow("select n from audiences.t").to_pylist() == [{"n": 1}]
    assert warehouse.serve_newest_build() is None  # what was written is no whole build yet


def test_old_builds_are_dropped_and_a_reader_keeps_the_one_it_has_open(warehouse: Warehouse) -> None:
    _build(warehouse, 1)
    warehouse.serve_newest_build()
    with warehouse.open_served() as reader:
        for number in range(2, 2 + KEEP_BUILDS + 1):
            _build(warehouse, number)
            warehouse.serve_newest_build()
        assert scalar(reader, "select n from audiences.t") == 1
    _build(warehouse, 3 + KEEP_BUILDS)
    warehouse.serve_newest_build()
    assert warehouse.served_build() == f"build-{3 + KEEP_BUILDS}"
    for number in (1, 2, 3):
        with pytest.raises(NothingServedError), warehouse.open_served(f"build-{number}"):
            raise AssertionError("it was dropped")
    with warehouse.open_served("build-4") as served:
        assert scalar(served, "select n from audiences.t") == 4


def test_bi_tools_read_the_current_build_under_stable_names_and_keep_their_grants(postgres_url: str) -> None:
    warehouse = PostgresWarehouse(postgres_url)
    _build(warehouse, 1)
    warehouse.serve_newest_build()
    with warehouse.writer() as connection:
        connection.execute("drop role if exists weft_bi_of_tests")
        connection.execute("create role weft_bi_of_tests")
        connection.execute("grant usage on schema served_audiences to weft_bi_of_tests")
    _build(warehouse, 2)
    warehouse.serve_newest_build()
    with warehouse.writer() as connection:
        connection.execute("set role weft_bi_of_tests")
        assert scalar(connection, "select n from served_audiences.t") == 2
        connection.execute("reset role")
        left = connection.rows(r"select nspname from pg_namespace where nspname like 'served\_old%'")
        connection.execute("drop owned by weft_bi_of_tests; drop role weft_bi_of_tests")
    assert left == []


def test_a_build_that_somebody_reads_is_dropped_the_next_time(postgres_url: str) -> None:
    warehouse = PostgresWarehouse(postgres_url)
    _build(warehouse, 1)
    warehouse.serve_newest_build()
    with warehouse.writer() as analyst:
        analyst.execute("create view public.mine as select n from served_audiences.t")
    for number in range(2, 2 + KEEP_BUILDS):
        _build(warehouse, number)
        warehouse.serve_newest_build()
    with warehouse.writer() as analyst:
        assert scalar(analyst, "select n from public.mine") == 1, "nothing of anybody else's is dropped"
        analyst.execute("drop view public.mine")
    _build(warehouse, 2 + KEEP_BUILDS)
    warehouse.serve_newest_build()
    with warehouse.writer() as connection:
        builds = connection.rows(r"select nspname from pg_namespace where nspname like 'build\_%\_audiences'")
    assert len(builds) == KEEP_BUILDS


def test_only_names_of_schemas_are_led_to_a_build() -> None:
    sql = "select raw.x, 'raw.y' from raw.events as raw join  (raw.t as t left JOIN Raw.u on true) on raw.x = t.x"
    assert renamed_schemas(sql, {"raw": "build_1_raw"}) == (
        "select raw.x, 'raw.y' from build_1_raw.events as raw join  (build_1_raw.t as t left JOIN build_1_raw.u on true) on raw.x = t.x"
    )


def test_a_warehouse_that_cannot_be_reached_is_one_sentence_without_the_password() -> None:
    with (
        pytest.raises(WarehouseError) as failure,
        PostgresWarehouse("postgresql://me:hunter2@127.0.0.1:1/weft").writer(),
    ):
        raise AssertionError("nobody is there")
    assert "127.0.0.1:1" in str(failure.value)
    assert "hunter2" not in str(failure.value)


def test_rows_come_in_batches_while_others_are_written(warehouse: Warehouse) -> None:
    with warehouse.writer() as connection:
        numbers = pa.table({"number": list(range(5_000)), "text": [None, "", 'a "quoted"\nline', "ü"] * 1_250})
        write_table(connection, "control.numbers", numbers, {"number": "bigint", "text": "varchar"})
        seen = []
        for batch in connection.batches("select * from control.numbers", size=2_048):
            connection.execute("delete from control.numbers where number < 10")
            seen.append(batch)
        assert pa.concat_tables(seen).sort_by("number").to_pydict() == numbers.to_pydict()
        assert list(connection.batches("select * from control.numbers where number < 0")) == []
