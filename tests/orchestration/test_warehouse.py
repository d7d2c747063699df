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

from orchestration.errors import NothingServedError
from orchestration.serving import KEEP_BUILDS, mark_build_whole, open_served, serve_newest_build, served_build
from orchestration.settings import Settings
from orchestration.warehouse import open_writer, row_count, scalar, transaction, write_table, writer_lock

ROOT = Path(__file__).resolve().parents[2]
AS_OF = datetime(2026, 7, 1)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_the_second_writer_waits_for_the_first(settings: Settings) -> None:
    order: list[str] = []
    with writer_lock(settings.warehouse_path):
        waiting = threading.Thread(target=lambda: _write(settings, order))
        waiting.start()
        with writer_lock(settings.warehouse_path, wait=False) as held:
            assert not held
        order.append("first")
    waiting.join()
    assert order == ["first", "second"]


def _write(settings: Settings, order: list[str]) -> None:
    with open_writer(settings.warehouse_path) as connection:
        connection.execute("create table t as select 1 as n")
        order.append("second")


def test_a_killed_writer_frees_the_lock_and_leaves_nothing_half_done(settings: Settings) -> None:
    code = (
        "import sys; from pathlib import Path; from orchestration.warehouse import open_writer\n"
        "with open_writer(Path(sys.argv[1])) as c:\n"
        "    c.execute('create table t (n integer)'); c.execute('begin'); c.execute('insert into t values (1)')\n"
        "    print('holding', flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code, str(settings.warehouse_path)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with open_writer(settings.warehouse_path) as connection:
        assert row_count(connection, "t") == 0


def test_a_failed_transaction_leaves_the_table_as_it_was(settings: Settings) -> None:
    columns = {"n": "bigint"}
    with open_writer(settings.warehouse_path) as connection:
        write_table(connection, "raw.t", pa.table({"n": [1, 2]}), columns)
        with pytest.raises(duckdb.Error), transaction(connection):
            write_table(connection, "raw.t", pa.table({"n": [3]}), columns)
            connection.execute("select no_such_column from raw.t")
        assert scalar(connection, "select sum(n) from raw.t") == 3


def _build(settings: Settings, number: int) -> None:
    with open_writer(settings.warehouse_path) as connection:
        connection.execute(f"create or replace table t as select {number} as n")
        mark_build_whole(connection, f"build-{number}", AS_OF)


def test_readers_see_the_last_whole_build_while_the_next_one_is_written(settings: Settings) -> None:
    with pytest.raises(NothingServedError, match="run"), open_served(settings):
        raise AssertionError("there is nothing to read")
    assert serve_newest_build(settings) is None
    _build(settings, 1)
    assert serve_newest_build(settings) == "build-1"
    assert serve_newest_build(settings) is None
    with open_writer(settings.warehouse_path) as connection:
        connection.execute("create or replace table t as select 2 as n")
        with open_served(settings) as served:
            assert scalar(served, "select n from t") == 1
    assert serve_newest_build(settings) is None  # what was written is no whole build yet


def test_old_builds_are_dropped_and_a_reader_keeps_the_one_it_has_open(settings: Settings) -> None:
    _build(settings, 1)
    serve_newest_build(settings)
    with open_served(settings) as reader:
        for number in range(2, 2 + KEEP_BUILDS + 1):
            _build(settings, number)
            serve_newest_build(settings)
        assert scalar(reader, "select n from t") == 1
    assert served_build(settings) == f"build-{2 + KEEP_BUILDS}"
    assert len([path for path in settings.served.glob("*.duckdb") if not path.is_symlink()]) == KEEP_BUILDS
    with pytest.raises(NothingServedError), open_served(settings, "build-1"):
        raise AssertionError("it was dropped")
