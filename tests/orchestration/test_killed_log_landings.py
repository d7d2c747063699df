"""A landing of the event log killed anywhere, then a clean one: by the clients' own ledger nothing is lost, doubled, made up or changed."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from activation.embedded_redis import EmbeddedRedis
from ingestion.redis_log import RedisEventLog
from orchestration.failpoints import FAILPOINTS
from tests.orchestration.logged import Ledger, check, check_books, collect, land, traffic

ROOT = Path(__file__).resolve().parents[2]
REQUESTS, ENTRIES = 60, 20
"""Three chunks."""
ALL_STEPS = FAILPOINTS["log_landing"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("log"), maxmemory_mb=256) as running:
        yield running


@pytest.fixture
def log(server: EmbeddedRedis) -> Iterator[RedisEventLog]:
    with server.client() as client:
        client.flushall()
    opened = RedisEventLog(server.url)
    yield opened
    opened.close()


@pytest.fixture
def postgres(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def duckdb(tmp_path: Path) -> str:
    return str(tmp_path / "warehouse.duckdb")


def command(where: str, url: str, variant: str = "") -> list[str]:
    return [sys.executable, "-m", "tests.orchestration.logged", where, url, str(ENTRIES), variant]


def land_in_child(where: str, url: str, home: Path, *, crash_at: str = "", variant: str = "") -> None:
    """Land in a child process, which dies at a step where one is named."""
    crash = {"WEFT_CRASH_AT": f"log_landing.{crash_at}", "WEFT_ALLOW_CRASHES": "1"} if crash_at else {}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WEFT_HOME": str(home)} | crash
    result = subprocess.run(
        command(where, url, variant), env=environment, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == (-signal.SIGKILL if crash_at else 0), result.stderr


def kill_and_repair(where: str, log: RedisEventLog, url: str, home: Path, *, crash_at: str, variant: str = "") -> None:
    """Whatever was killed: what stands is what the books say, and one clean landing is all the repair."""
    ledger = Ledger()
    collect(log, url, *traffic(ledger, requests=REQUESTS, seed=5, repeats=not variant))
    if crash_at:
        land_in_child(where, url, home, crash_at=crash_at, variant=variant)
        log.trim()  # the normaliser does so every few seconds
    if variant:
        land_in_child(where, url, home, variant=variant)
    else:
        check_books(where)
        land(where, log, entries=ENTRIES)
    check(where, ledger, log)


# the first chunk has nothing before it, the last one nothing behind it
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("step", ALL_STEPS)
def test_killed_in_duckdb(
    duckdb: str, log: RedisEventLog, server: EmbeddedRedis, tmp_path: Path, step: str, number: int
) -> None:
    kill_and_repair(duckdb, log, server.url, tmp_path / "home", crash_at=f"{step}:{number}")


@pytest.mark.parametrize("step", ["rows_written", "before_commit", "committed"])
def test_killed_in_postgresql(
    postgres: str, log: RedisEventLog, server: EmbeddedRedis, tmp_path: Path, step: str
) -> None:
    kill_and_repair(postgres, log, server.url, tmp_path / "home", crash_at=f"{step}:2")


@pytest.mark.parametrize(
    ("variant", "fault", "crash_at"),
    [
        ("confirm_before_commit", "lost", "before_commit:2"),
        ("position_before_rows", "lost", "before_commit:2"),
        ("position_after_rows", "duplicated", "before_commit:2"),
        ("trim_regardless", "lost", ""),
    ],
)
def test_a_landing_made_wrong_is_found_out(
    duckdb: str, log: RedisEventLog, server: EmbeddedRedis, tmp_path: Path, variant: str, fault: str, crash_at: str
) -> None:
    with pytest.raises(AssertionError, match=f"'{fault}': [^0]"):
        kill_and_repair(duckdb, log, server.url, tmp_path / "home", crash_at=crash_at, variant=variant)


def test_a_position_before_its_rows_is_found_out_in_postgresql(
    postgres: str, log: RedisEventLog, server: EmbeddedRedis, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with pytest.raises(AssertionError, match="'lost': [^0]"):
        kill_and_repair(postgres, log, server.url, home, crash_at="before_commit:2", variant="position_before_rows")


@pytest.mark.parametrize("variant", ["confirm_before_commit", "position_before_rows", "position_after_rows"])
def test_it_is_the_kill_that_finds_it_out(
    duckdb: str, log: RedisEventLog, server: EmbeddedRedis, tmp_path: Path, variant: str
) -> None:
    kill_and_repair(duckdb, log, server.url, tmp_path / "home", crash_at="", variant=variant)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("where", ["duckdb", "postgres"])
def test_killed_at_any_moment(
    request: pytest.FixtureRequest, log: RedisEventLog, server: EmbeddedRedis, tmp_path: Path, where: str
) -> None:
    """Fifty times at a random moment while more comes in, also Redis itself every tenth time."""
    warehouse, ledger, chance = str(request.getfixturevalue(where)), Ledger(), random.Random(1)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WEFT_HOME": str(tmp_path / "home")}
    for kill in range(50):
        collect(log, server.url, *traffic(ledger, requests=200, seed=kill))
        child = subprocess.Popen(command(warehouse, server.url), env=environment, cwd=ROOT, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0.3, 2.5))  # the moment is the test
        child.kill()
        child.wait()
        if kill % 10 == 9:
            os.kill(server.pid, signal.SIGKILL)
            server.stop()
            server.start()
            log = RedisEventLog(server.url)
        check_books(warehouse)
    land(warehouse, log, entries=ENTRIES)
    check(warehouse, ledger, log)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("where", ["duckdb", "postgres"])
@pytest.mark.parametrize("step", ALL_STEPS)
def test_killed_25_times_at_a_failpoint(
    request: pytest.FixtureRequest, log: RedisEventLog, server: EmbeddedRedis, tmp_path: Path, step: str, where: str
) -> None:
    warehouse, ledger = str(request.getfixturevalue(where)), Ledger()
    for kill in range(25):
        collect(log, server.url, *traffic(ledger, requests=REQUESTS, seed=kill))
        land_in_child(warehouse, server.url, tmp_path / "home", crash_at=f"{step}:{1 + kill % 3}")
        check_books(warehouse)
    land(warehouse, log, entries=ENTRIES)
    check(warehouse, ledger, log)
