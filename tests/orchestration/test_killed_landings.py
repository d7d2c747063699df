"""A landing killed anywhere leaves whole files only, and landing again is all the repair: on both targets, by the ledger."""

import os
import shutil
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from orchestration.failpoints import FAILPOINTS
from orchestration.postgres_landing import land_folder_into_postgres
from tests.orchestration.inbox import LANDED_AT, check_books, check_ledger, fill_inbox, query

ROOT = Path(__file__).resolve().parents[2]
FILES = 3


@pytest.fixture(params=["duckdb", "postgres"])
def where(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new warehouse: the path of a DuckDB file, or a PostgreSQL URL."""
    if request.param == "duckdb":
        return str(tmp_path / "warehouse.duckdb")
    return str(request.getfixturevalue("postgres_url"))


def land(
    where: str, folder: Path, *, crash_at: str = "", variant: str = "", tracer: tuple[str, ...] = (), **limits: int
) -> "subprocess.CompletedProcess[str]":
    """Land the inbox in a child process, which may be told to die, be traced, or get little room for its files."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WEFT_HOME": str(folder.parent / "home")}
    if crash_at:
        environment |= {"WEFT_CRASH_AT": crash_at, "WEFT_ALLOW_CRASHES": "1"}
    limited = ("prlimit", *(f"--{name}={value}" for name, value in limits.items())) if limits else ()
    command = [*tracer, *limited, sys.executable, "-m", "tests.orchestration.inbox", where, str(folder), variant]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("step", FAILPOINTS["landing"])
def test_killed_at_a_failpoint_it_leaves_whole_files_and_landing_again_repairs(
    where: str, tmp_path: Path, step: str
) -> None:
    ledger = fill_inbox(tmp_path / "inbox", files=FILES, rows=120)
    result = land(where, tmp_path / "inbox", crash_at=f"landing.{step}:2")
    assert result.returncode == -signal.SIGKILL, result.stderr
    check_books(where)
    assert query(where, "select count(*) from raw.landings") == [(2 if step == "committed" else 1,)]
    _repair_and_repeat(where, tmp_path / "inbox")
    check_ledger(where, ledger)


def _repair_and_repeat(where: str, folder: Path) -> None:
    assert land(where, folder).returncode == 0
    check_books(where)
    before = query(where, "select landed_seq, source, message_id from raw.events order by landed_seq")
    repeated = land(where, folder)
    assert repeated.stdout.count("unchanged since it was landed") == len(list(folder.rglob("*.ndjson")))
    assert query(where, "select landed_seq, source, message_id from raw.events order by landed_seq") == before


def test_rows_and_books_in_two_transactions_would_be_found_out(where: str, tmp_path: Path) -> None:
    fill_inbox(tmp_path / "inbox", files=FILES, rows=120)
    result = land(where, tmp_path / "inbox", crash_at="landing.before_commit:2", variant="two-transactions")
    assert result.returncode == -signal.SIGKILL, result.stderr
    with pytest.raises(AssertionError):
        check_books(where)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", FAILPOINTS["landing"])
def test_killed_25_times_at_a_failpoint_nothing_is_lost_or_doubled(where: str, tmp_path: Path, step: str) -> None:
    ledger = fill_inbox(tmp_path / "inbox", files=26, rows=800)
    for _ in range(25):
        # the first file that is left is landed: where nothing of it stands, it has to be the second that kills
        on_pass = 2 if step != "committed" else 1
        result = land(where, tmp_path / "inbox", crash_at=f"landing.{step}:{on_pass}")
        if result.returncode == 0:
            break
        assert result.returncode == -signal.SIGKILL, result.stderr
        check_books(where)
    _repair_and_repeat(where, tmp_path / "inbox")
    check_ledger(where, ledger)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_killed_at_any_storage_call_duckdb_stays_whole(tmp_path: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    ledger = fill_inbox(tmp_path / "inbox", files=2, rows=2000)
    calls = "pwrite64,fdatasync,fsync,ftruncate,rename,unlink"
    for number in range(1, 1000):
        where = str(tmp_path / f"{number}.duckdb")
        tracer = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={calls}:signal=KILL:when={number}")
        result = land(where, tmp_path / "inbox", tracer=tracer)
        if result.returncode == 0:
            break
        assert result.returncode == -signal.SIGKILL, result.stderr
        check_books(where)
        _repair_and_repeat(where, tmp_path / "inbox")
        check_ledger(where, ledger)
    assert number > 5


def test_a_cut_connection_is_one_sentence_and_landing_again_repairs(postgres_url: str, tmp_path: Path) -> None:
    ledger = fill_inbox(tmp_path / "inbox", files=1, rows=120)
    with closing(psycopg2.connect(postgres_url)) as connection:

        def cut(step: str) -> None:
            if step == "before_commit":
                query(postgres_url, f"select pg_terminate_backend({connection.info.backend_pid})")

        folder = tmp_path / "inbox"
        [report] = land_folder_into_postgres(connection, folder=folder, landed_at=LANDED_AT, on_step=cut)
    assert report.problem and report.problem.startswith("0.ndjson was not landed: ")
    assert query(postgres_url, "select count(*) from raw.events") == [(0,)]
    assert land(postgres_url, folder).returncode == 0
    check_ledger(postgres_url, ledger)


@pytest.mark.parametrize("room", [300_000, 2_000_000])
def test_a_full_disk_is_one_sentence_and_leaves_whole_files(tmp_path: Path, room: int) -> None:
    """No file may grow beyond `room` bytes: the write fails as it does on a full disk."""
    where = str(tmp_path / "warehouse.duckdb")
    ledger = fill_inbox(tmp_path / "inbox", files=FILES, rows=20_000)
    result = land(where, tmp_path / "inbox", fsize=room)
    assert result.returncode == 3, result.stderr
    assert "was not landed" in result.stdout
    check_books(where)
    _repair_and_repeat(where, tmp_path / "inbox")
    check_ledger(where, ledger)
