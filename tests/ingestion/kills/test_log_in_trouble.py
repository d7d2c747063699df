"""The log's Redis is set up otherwise, stands still, is full, or its clock goes back: senders are told to wait, and nothing is lost."""

import asyncio
import http.client
import os
import signal
import threading
import time
from contextlib import closing, suppress

import pytest
from redis.exceptions import OutOfMemoryError

from ingestion import redis_log_writer
from ingestion.event_log import BEGINNING, LogUnavailableError, NormalizedEntry, Received
from ingestion.log_entries import RAW, id_parts, raw_fields
from ingestion.redis_log import WAREHOUSE
from ingestion.redis_log_writer import RedisLogWriter
from tests.ingestion.kills.conftest import Place
from tests.ingestion.kills.ledger import CLEAN, OK, Attempt, all_normalized, all_raw
from tests.ingestion.kills.processes import BODIES_IN_MEMORY
from tests.ingestion.kills.senders import PATIENCE, post, until

UNSAFE = {
    "appendfsync": "everysec",
    "appendonly": "no",
    "no-appendfsync-on-rewrite": "yes",
    "maxmemory-policy": "allkeys-lru",
}


def sent(place: Place, connection: http.client.HTTPConnection) -> int | None:
    """Send one batch; the answer's status."""
    attempt = place.ledger.begin(place.ledger.compose(2))
    post(connection, attempt)
    return attempt.status


def test_a_redis_that_comes_back_with_other_settings_is_given_nothing(place: Place) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
    with place.collector(), closing(connection):
        until(lambda: sent(place, connection) == OK, "nothing is taken")
        place.kill_log()
        place.start_log_again(appendfsync="everysec")
        begun = time.monotonic()
        while time.monotonic() - begun < 2.5:  # longer than from one look at the settings to the next
            assert sent(place, connection) == 503
        place.kill_log()
        place.start_log_again()
        until(lambda: sent(place, connection) == OK, "nothing is taken again", seconds=10)
    place.normalise()
    assert place.books() == CLEAN


def test_settings_that_are_changed_while_it_runs_are_noticed_within_a_second(place: Place) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
    with place.collector(), closing(connection), place.server.client() as redis:
        for name, value in UNSAFE.items():
            safe = redis.config_get(name)[name]
            until(lambda: sent(place, connection) == OK, "nothing is taken")
            redis.config_set(name, value)
            assert until(lambda: sent(place, connection) == 503, "it is taken") < 1.5
            redis.config_set(name, safe)
    place.normalise()
    assert place.books() == CLEAN


def test_a_redis_that_stands_still_keeps_nobody_waiting_and_fills_no_memory(place: Place) -> None:
    body_bytes, at_once = 480_000, 300
    with place.collector() as collector:
        first = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
        until(lambda: sent(place, first) == OK, "nothing is taken")
        before = collector.memory_bytes()
        os.kill(place.server.pid, signal.SIGSTOP)
        seconds: list[float] = []
        peak = before

        def send(number: int) -> None:
            attempt = Attempt(b'{"batch": [{"x": "%d"}], "fill": "%b"}' % (number, b"x" * body_bytes), ())
            place.ledger.attempts.append(attempt)
            begun = time.monotonic()
            with closing(http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)) as connection:
                post(connection, attempt)
            seconds.append(time.monotonic() - begun)

        try:
            threads = [threading.Thread(target=send, args=(number,)) for number in range(at_once)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                peak = max(peak, collector.memory_bytes())
                time.sleep(0.01)
            assert sent(place, first) == 503
        finally:
            os.kill(place.server.pid, signal.SIGCONT)
        assert {attempt.status for attempt in place.ledger.attempts[-at_once:-1]} == {503}
        assert max(seconds) < 5
        assert peak - before < 5 * BODIES_IN_MEMORY
        until(lambda: sent(place, first) == OK, "nothing is taken again", seconds=10)
        first.close()
    assert place.books() == CLEAN


def test_a_collector_that_takes_any_setting_would_be_found_out(place: Place) -> None:
    with place.server.client() as redis:
        redis.config_set("maxmemory-policy", "allkeys-random")
        redis.config_set("maxmemory", "8mb")
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
    with place.collector(variant="takes any setting"), closing(connection):
        for _ in range(40):
            post(connection, large_attempt(place))
    assert place.ledger.count(OK) > 20
    assert place.books().lost > 0


def set_memory(place: Place, megabytes: int) -> None:
    with place.server.client() as redis:
        redis.config_set("maxmemory", f"{megabytes}mb")


def large_attempt(place: Place) -> Attempt:
    """A batch of about 400 kB."""
    return place.ledger.begin(place.ledger.compose(20, text_bytes=20_000))


def test_a_full_log_says_so_and_takes_again_once_its_reader_has_come_on(place: Place) -> None:
    set_memory(place, 16)
    connection = http.client.HTTPConnection("127.0.0.1", place.port, timeout=10)
    with place.collector(), closing(connection):
        until(lambda: sent(place, connection) == OK, "nothing is taken")
        answer = post(connection, large_attempt(place))
        while answer is not None and answer.status == OK:
            answer = post(connection, large_attempt(place))
        assert answer is not None
        assert (answer.status, answer.headers["retry-after"]) == (503, "10")
        raw = all_raw(place.log)
        with place.normaliser():
            normalized = read_on(place, raw[-1].id)
        until(lambda: sent(place, connection) == OK, "nothing is taken again", seconds=5)
    place.normalise()
    assert place.ledger.books(raw + all_raw(place.log), normalized + all_normalized(place.log)) == CLEAN


def test_a_log_without_any_room_is_emptied_by_its_reader(place: Place) -> None:
    """The normaliser was away, and what it makes of the requests needs more room than was left to it."""
    set_memory(place, 16)
    full = fill(place)
    raw = all_raw(place.log)
    assert len(raw) == full
    with place.normaliser():
        normalized = read_on(place, raw[-1].id)
    assert place.log.positions() == {WAREHOUSE: raw[-1].id}
    assert place.ledger.books(raw, normalized) == CLEAN


def read_on(place: Place, last: str) -> list[NormalizedEntry]:
    """Read up to an entry as a landing does it, a few entries at a time, which are forgotten then."""
    read: list[NormalizedEntry] = []
    deadline = time.monotonic() + PATIENCE
    while not read or read[-1].id != last:
        assert time.monotonic() < deadline, "the log does not come on"
        state = place.log.state()
        if found := place.log.read_normalized(read[-1].id if read else BEGINNING, limit=3):
            read += found
            place.log.confirm(WAREHOUSE, found[-1].id, epoch=state.epoch)
            place.log.trim()
        else:
            time.sleep(0.01)
    return read


def fill(place: Place) -> int:
    """Normalise some requests, then append until Redis has no room left; how many there are."""
    with place.server.client() as redis:
        for number in range(1_000):
            attempt = large_attempt(place)
            fields = raw_fields(Received("segment", "shop", 1_790_000_000_000, attempt.body, {"path": "batch"}))
            try:
                redis.execute_command("XADD", RAW, "*", *fields)
            except OutOfMemoryError:
                return number
            attempt.status = OK
            if number == 5:
                place.normalise()
    raise AssertionError("Redis has room without end")


def test_a_clock_that_goes_back_leaves_ids_in_their_order(place: Place) -> None:
    """Redis' own clock cannot be set here: an entry from an hour ahead is what it leaves in the log."""
    place.append(20)
    ahead = f"{(int(time.time()) + 3_600) * 1_000}-0"
    attempt = place.ledger.begin(place.ledger.compose(1))
    with place.server.client() as redis:
        fields = raw_fields(Received("segment", "shop", 1_790_000_000_000, attempt.body, {"path": "batch"}))
        redis.execute_command("XADD", RAW, ahead, *fields)
    attempt.status = OK
    place.normalise()
    with place.collector(), place.senders(batches=2) as senders:
        senders.wait()
        place.normalise()
        place.kill_log()
        place.start_log_again()
    place.append(20)
    place.normalise()
    ids = [id_parts(entry.id) for entry in all_raw(place.log)]
    assert ids == sorted(set(ids))
    assert sum(milliseconds == id_parts(ahead)[0] for milliseconds, _ in ids) > 30, "behind the one from ahead"
    assert place.books() == CLEAN


def test_a_look_that_fails_otherwise_refuses_until_one_succeeds(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_log_writer, "info_fields", lambda _: {"role": "master"})  # without the memory in use
    request = Received("segment", "shop", 1, b"{}")

    async def append_until_taken() -> None:
        writer = RedisLogWriter(place.server.url)
        with pytest.raises(LogUnavailableError, match="KeyError"):
            await writer.append(request)
        monkeypatch.undo()
        taken = False
        async with asyncio.timeout(10):
            while not taken:
                with suppress(LogUnavailableError):
                    taken = bool(await writer.append(request))
                await asyncio.sleep(0.01)
        await writer.close()

    asyncio.run(append_until_taken())
    assert len(all_raw(place.log)) == 1
