"""Accidents of the event log, of the warehouse, of Redis, and two landings at once: nothing is lost without a word."""

import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from ingestion.event_log import LogUnavailableError
from ingestion.file_errors import FileError
from ingestion.redis_log import RedisEventLog
from orchestration.log_landing import land_log
from tests.orchestration.inbox import query
from tests.orchestration.logged import (
    LANDED_AT,
    Ledger,
    Logged,
    batch,
    call,
    check,
    ids,
    land,
    normalise_all,
    traffic,
    writing,
)  # fmt: skip

POSITION = "select position, restart_reason from raw.log_positions"


def test_another_log_lands_whole_and_the_restart_is_noted(where: str, logged: Logged) -> None:
    logged.collect(batch(call("m1"), call("m2")))
    land(where, logged.log)
    with logged.server.client() as client:
        client.flushall()
    logged.collect(batch(call("m2"), call("m3")))
    [report] = land(where, logged.log)
    assert (report.accepted, report.duplicates) == (1, 1)
    assert ids(where) == ["m1", "m2", "m3"]
    assert query(where, POSITION) == [(logged.log.state().last_normalized, "other_log")]


def test_an_older_copy_of_the_log_lands_what_comes_behind_it(duckdb_file: str, logged: Logged) -> None:
    """The newest ids are gone with the copy: what comes has ids that the position has passed."""
    [first, *_] = logged.collect(batch(call("m1")), batch(call("m2")))
    epoch = logged.log.state().epoch
    land(duckdb_file, logged.log)
    with logged.server.client() as client:
        client.flushall()
        client.set("events.epoch", epoch)
        client.xadd("events.raw", {"k": "segment", "s": "web", "t": 1_771_545_600_000, "b": batch(call("m1")).body,
                                   "f": '{"path":"batch"}'}, id=first)  # fmt: skip
        normalise_all(logged.log)
        client.xadd("events.raw", {"k": "segment", "s": "web", "t": 1_771_545_600_000, "b": batch(call("new")).body,
                                   "f": '{"path":"batch"}'}, id=first.replace("-", "-1"))  # fmt: skip
        normalise_all(logged.log)
    [report] = land(duckdb_file, logged.log)
    assert (report.accepted, report.duplicates) == (1, 1)
    assert ids(duckdb_file) == ["m1", "m2", "new"]
    assert query(duckdb_file, "select restart_reason from raw.log_positions") == [("older_copy",)]
    assert logged.log.state().epoch != epoch


def test_a_new_warehouse_is_told_apart_from_the_one_that_the_log_knows(
    duckdb_file: str, logged: Logged, tmp_path: Path
) -> None:
    logged.collect(batch(call("m1")))
    land(duckdb_file, logged.log)
    logged.collect(batch(call("m2")))
    other = str(tmp_path / "other.duckdb")
    land(other, logged.log)
    assert ids(other) == ["m2"]
    assert query(other, "select restart_reason from raw.log_positions") == [("older_warehouse",)]


@pytest.mark.parametrize("gone", ["some", "all"])
def test_entries_that_were_gone_before_they_landed_are_told(
    duckdb_file: str, logged: Logged, caplog: pytest.LogCaptureFixture, gone: str
) -> None:
    logged.collect(batch(call("m0")))
    land(duckdb_file, logged.log)
    assert query(duckdb_file, "select restart_reason from raw.log_positions") == [(None,)]
    entries = logged.collect(*(batch(call(f"m{number}")) for number in range(1, 6)))
    with logged.server.client() as client:
        client.xtrim("events.normalized", maxlen=2 if gone == "some" else 0, approximate=False)
    land(duckdb_file, logged.log)
    assert ids(duckdb_file) == (["m0", "m4", "m5"] if gone == "some" else ["m0"])
    assert query(duckdb_file, POSITION) == [(entries[-1], "entries_missing")]
    assert "were gone before they had landed" in caplog.text
    caplog.clear()
    logged.collect(batch(call("m6")))
    land(duckdb_file, logged.log, landed_at=LANDED_AT + timedelta(days=1))
    assert not caplog.text
    assert query(duckdb_file, "select restarted_at from raw.log_positions") == [(LANDED_AT,)]


def test_an_entry_taken_out_of_the_middle_is_told(duckdb_file: str, logged: Logged) -> None:
    entries = logged.collect(*(batch(call(f"m{number}")) for number in range(3)))
    with logged.server.client() as client:
        client.xdel("events.normalized", entries[1])
    land(duckdb_file, logged.log, entries=1)
    assert ids(duckdb_file) == ["m0", "m2"]
    assert query(duckdb_file, POSITION) == [(entries[2], "entries_missing")]


def test_of_two_landings_at_once_one_says_why_it_does_nothing(where: str, logged: Logged) -> None:
    """DuckDB admits one writer, so there the second waits for the lock; here both have read the same chunk."""
    logged.collect(batch(call("m1")))
    if not where.startswith("postgresql:"):
        with writing(where) as connection:
            first = land_log(connection, logged.log, landed_at=LANDED_AT, on_step=meanwhile(where, logged, connection))
            with pytest.raises(FileError, match="Another landing of the event log came between"):
                list(first)
    else:
        with pytest.raises(FileError, match="Another landing of the event log came between"):
            land(where, logged.log, on_step=meanwhile(where, logged, None))
    assert ids(where) == ["m1"]
    assert query(where, "select sum(rows_read) from raw.landings") == [(1,)]


def meanwhile(where: str, logged: Logged, connection: object) -> Callable[[str], None]:
    """Another landing does all of it once the first has read."""

    def on_step(step: str) -> None:
        if step != "after_read":
            return
        if connection is not None:
            list(land_log(connection, logged.log, landed_at=LANDED_AT, on_step=lambda step: None))  # type: ignore[arg-type]
        else:
            land(where, logged.log, on_step=lambda step: None)

    return on_step


def test_landings_side_by_side_in_postgresql_wait_for_each_other(postgres_url: str, logged: Logged) -> None:
    ledger, refusals = Ledger(), list[str]()
    land(postgres_url, logged.log)
    logged.collect(*traffic(ledger, requests=40, seed=3))

    def go() -> None:
        try:
            land(postgres_url, RedisEventLog(logged.server.url), entries=5)
        except FileError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=go) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    land(postgres_url, logged.log)
    check(postgres_url, ledger, logged.log)
    assert all("Another landing of the event log came between" in said for said in refusals)


@pytest.mark.parametrize("step", ["after_read", "before_commit", "committed"])
def test_redis_dies_while_its_log_lands_and_the_next_landing_goes_on(
    duckdb_file: str, logged: Logged, step: str
) -> None:
    ledger = Ledger()
    logged.collect(*traffic(ledger, requests=20, seed=2))
    passed: list[str] = []

    def on_step(reached: str) -> None:
        passed.append(reached)
        if reached == step and passed.count(step) == 2:
            logged.server.stop()

    with pytest.raises(LogUnavailableError, match="does not answer"):
        land(duckdb_file, logged.log, entries=5, on_step=on_step)
    logged.server.start()
    logged.log = RedisEventLog(logged.server.url)
    land(duckdb_file, logged.log, entries=5)
    check(duckdb_file, ledger, logged.log)
