"""One writer at a time, and readers on whole builds."""

import os
import signal
import subprocess
import sys
import threading
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from orchestration.clock import BUILDS, CURRENT_RUN, DATES, mark_build_whole
from orchestration.duckdb_warehouse import DuckDBWarehouse
from orchestration.errors import NothingServedError
from orchestration.warehouse import KEEP_BUILDS, create_table, row_count, scalar, write_table
from orchestration.writer_lock import writer_lock

ROOT = Path(__file__).resolve().parents[2]
AS_OF = datetime(2026, 7, 1)


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(tmp_path / "warehouse.duckdb", tmp_path / "served")


def test_the_second_writer_waits_for_the_first(warehouse: DuckDBWarehouse) -> None:
    order: list[str] = []
    with writer_lock(warehouse.path):
        waiting = threading.Thread(target=lambda: _write(warehouse, order))
        waiting.start()
        with writer_lock(warehouse.path, wait=False) as held:
            assert not held
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def _write(warehouse: DuckDBWarehouse, order: list[str]) -> None:
    with warehouse.writer() as connection:
        connection.execute("create table t as select 1 as n")
        order.append("second")


def test_a_killed_writer_frees_the_lock_and_leaves_nothing_half_done(warehouse: DuckDBWarehouse) -> None:
    code = (
        "import sys; from pathlib import Path; from orchestration.duckdb_warehouse import DuckDBWarehouse\n"
        "with DuckDBWarehouse(Path(sys.argv[1]), Path('served')).writer() as c:\n"
        "    c.execute('create table t (n integer)'); c.execute('begin'); c.execute('insert into t values (1)')\n"
        "    print('holding', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(warehouse.path)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with warehouse.writer() as connection:
        assert row_count(connection, "t") == 0


def test_a_failed_transaction_leaves_the_table_as_it_was(warehouse: DuckDBWarehouse) -> None:
    columns = {"n": "bigint"}
    with warehouse.writer() as connection:
        write_table(connection, "raw.t", pa.table({"n": [1, 2]}), columns)
        with pytest.raises(duckdb.Error), connection.transaction():
            write_table(connection, "raw.t", pa.table({"n": [3]}), columns)
            connection.execute("select no_such_column from raw.t")
        assert scalar(connection, "select sum(n) from raw.t") == 3


def _build(warehouse: DuckDBWarehouse, number: int) -> None:
    with warehouse.writer() as connection:
        connection.execute(f"create or replace table t as select {number} as n")
        create_table(connection, "control.builds", BUILDS)
        create_table(connection, "control.current_run", CURRENT_RUN)
        for dates in ("feature_dates", "standing_dates"):
            create_table(connection, f"control.{dates}", DATES)
        connection.execute("delete from control.current_run")
        connection.execute("insert into control.current_run (as_of, run_seq) values (?, ?)", [AS_OF, number])
        mark_build_whole(connection, f"build-{number}")


def test_readers_see_the_last_whole_build_while_the_next_one_is_written(warehouse: DuckDBWarehouse) -> None:
    with pytest.raises(NothingServedError, match="run"), warehouse.open_served():
        raise AssertionError("there is nothing to read")
    assert warehouse.serve_newest_build() is None
    _build(warehouse, 1)
    assert warehouse.serve_newest_build() == "build-1"
    assert warehouse.serve_newest_build() is None
    with warehouse.writer() as connection:
        connection.execute("create or replace table t as select 2 as n")
        with warehouse.open_served() as served:
            assert scalar(served, "select n from t") == 1
    assert warehouse.serve_newest_build() is None  # what was written is no whole build yet


def test_old_builds_are_dropped_and_a_reader_keeps_the_one_it_has_open(warehouse: DuckDBWarehouse) -> None:
    _build(warehouse, 1)
    warehouse.serve_newest_build()
    with warehouse.open_served() as reader:
        for number in range(2, 2 + KEEP_BUILDS + 1):
            _build(warehouse, number)
            warehouse.serve_newest_build()
        assert scalar(reader, "select n from t") == 1
    assert warehouse.served_build() == f"build-{2 + KEEP_BUILDS}"
    assert len([path for path in warehouse.served.glob("*.duckdb") if not path.is_symlink()]) == KEEP_BUILDS
    with pytest.raises(NothingServedError), warehouse.open_served("build-1"):
        raise AssertionError("it was dropped")
