"""A landing of the event log killed anywhere, then a clean one: by the clients' own ledger nothing is lost, doubled, made up or changed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestration.failpoints import FAILPOINTS
from tests.orchestration.logged import Ledger, Logged, check, check_books, land, traffic

ROOT = Path(__file__).resolve().parents[2]
REQUESTS, ENTRIES = 60, 20
"""Three chunks."""
STEPS = FAILPOINTS["log_landing"]


def started(where: str, logged: Logged, *, crash_at: str = "", variant: str = "") -> "subprocess.Popen[str]":
    """A child process that lands, and dies at a step where one is named."""
    crash = {"WEFT_CRASH_AT": f"log_landing.{crash_at}", "WEFT_ALLOW_CRASHES": "1"} if crash_at else {}
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WEFT_HOME": str(logged.folder / "home")} | crash
    command = [sys.executable, "-m", "tests.orchestration.logged", where, logged.server.url, str(ENTRIES), variant]
    return subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def land_in_child(where: str, logged: Logged, *, crash_at: str = "", variant: str = "") -> None:
    child = started(where, logged, crash_at=crash_at, variant=variant)
    _, said = child.communicate()
    assert child.returncode == (-signal.SIGKILL if crash_at else 0), said


def kill_and_repair(where: str, logged: Logged, *, crash_at: str, variant: str = "") -> None:
    """Whatever was killed: what stands is what the books say, and one clean landing is all the repair."""
    ledger = Ledger()
    logged.collect(*traffic(ledger, requests=REQUESTS, seed=5, repeats=not variant))
    if crash_at:
        land_in_child(where, logged, crash_at=crash_at, variant=variant)
        logged.log.trim()  # the normaliser does so every few seconds
    if variant:
        land_in_child(where, logged, variant=variant)
    else:
        check_books(where)
        land(where, logged.log, entries=ENTRIES)
    check(where, ledger, logged.log)


# the first chunk has nothing before it, the last one nothing behind it
@pytest.mark.parametrize("number", [1, 3])
@pytest.mark.parametrize("step", STEPS)
def test_killed_in_duckdb(duckdb_file: str, logged: Logged, step: str, number: int) -> None:
    kill_and_repair(duckdb_file, logged, crash_at=f"{step}:{number}")


@pytest.mark.parametrize("step", ["rows_written", "before_commit", "committed"])
def test_killed_in_postgresql(postgres_url: str, logged: Logged, step: str) -> None:
    kill_and_repair(postgres_url, logged, crash_at=f"{step}:2")


@pytest.mark.parametrize(
    ("variant", "fault"),
    [("confirm_before_commit", "lost"), ("position_before_rows", "lost"), ("position_after_rows", "duplicated")],
)
def test_a_landing_made_wrong_is_found_out(duckdb_file: str, logged: Logged, variant: str, fault: str) -> None:
    with pytest.raises(AssertionError, match=rf"'{fault}': [^0]"):
        kill_and_repair(duckdb_file, logged, crash_at="before_commit:2", variant=variant)


def test_a_position_before_its_rows_is_found_out_in_postgresql(postgres_url: str, logged: Logged) -> None:
    with pytest.raises(AssertionError, match=r"'lost': [^0]"):
        kill_and_repair(postgres_url, logged, crash_at="before_commit:2", variant="position_before_rows")


def test_a_log_that_forgets_what_nobody_has_read_is_found_out(duckdb_file: str, logged: Logged) -> None:
    with pytest.raises(AssertionError, match=r"'lost': [^0]"):
        kill_and_repair(duckdb_file, logged, crash_at="", variant="trim_regardless")


@pytest.mark.parametrize("variant", ["confirm_before_commit", "position_before_rows", "position_after_rows"])
def test_it_is_the_kill_that_finds_it_out(duckdb_file: str, logged: Logged, variant: str) -> None:
    kill_and_repair(duckdb_file, logged, crash_at="", variant=variant)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_killed_at_any_moment(where: str, logged: Logged) -> None:
    """Fifty times at a random moment while more comes in, every tenth time Redis as well."""
    ledger, chance = Ledger(), random.Random(1)
    for kill in range(50):
        logged.collect(*traffic(ledger, requests=200, seed=kill))
        child = started(where, logged)
        time.sleep(chance.uniform(0.3, 2.5))  # the moment is the test
        child.kill()
        child.communicate()
        if kill % 10 == 9:
            logged.restart()
        check_books(where)
    land(where, logged.log, entries=ENTRIES)
    check(where, ledger, logged.log)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("step", STEPS)
def test_killed_25_times_at_a_failpoint(where: str, logged: Logged, step: str) -> None:
    ledger = Ledger()
    for kill in range(25):
        logged.collect(*traffic(ledger, requests=REQUESTS, seed=kill))
        land_in_child(where, logged, crash_at=f"{step}:{1 + kill % 3}")
        check_books(where)
    land(where, logged.log, entries=ENTRIES)
    check(where, ledger, logged.log)
