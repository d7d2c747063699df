"""The log's Redis is set up otherwise, stands still, is full, or its clock goes back: senders are told to wait, and nothing is lost."""

import http.client
import os
import signal
import threading
import time
from contextlib import closing

import pytest

from ingestion.event_log import BEGINNING, LogFullError, Received
from ingestion.log_entries import RAW, id_parts, raw_fields
from ingestion.normaliser import run_once
from ingestion.redis_log import WAREHOUSE, RedisEventLog
from tests.ingestion.kills.conftest import Place
from tests.ingestion.kills.ledger import CLEAN, OK, Attempt, all_normalized, all_raw
from tests.ingestion.kills.processes import BODIES_IN_MEMORY
from tests.ingestion.kills.senders import post, until

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
            asked = time.monotonic()
            assert sent(place, connection) == 503
            assert time.monotonic() - asked < 1
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
            print("slowest", max(seconds), "peak MB", (peak - before) / 1e6)
        finally:
            os.kill(place.server.pid, signal.SIGCONT)
        assert {attempt.status for attempt in place.ledger.attempts[-at_once:-1]} == {503}
        assert max(seconds) < 5
        assert peak - before < 5 * BODIES_IN_MEMORY
        until(lambda: sent(place, first) == OK, "nothing is taken again", seconds=10)
        first.close()
    assert place.books() == CLEAN
