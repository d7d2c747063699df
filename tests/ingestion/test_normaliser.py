"""The normaliser on a real log: resumable, idempotent, bounded, and stopped by nothing that is sent."""

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis

from ingestion import normaliser
from ingestion.event_log import BEGINNING, LogUnavailableError, RawEntry, Received
from ingestion.log_entries import raw_fields
from ingestion.normalise import KINDS, Shape
from ingestion.normaliser import run, run_once
from ingestion.redis_log import RedisEventLog


@pytest.fixture
def server(redis_url: str) -> Iterator[Any]:
    """The session's Redis, empty."""
    client = redis.Redis.from_url(redis_url)
    client.flushall()
    yield client
    client.flushall()
    client.close()


@pytest.fixture
def log(server: Any, redis_url: str) -> Iterator[RedisEventLog]:
    log = RedisEventLog(redis_url)
    yield log
    log.close()


def send(server: Any, number: int, body: bytes = b"", kind: str = "segment") -> str:
    """Append a request as the collector does; returns its id."""
    sent = body or b'{"type":"track","event":"E%d","userId":"u","messageId":"m%d"}' % (number, number)
    fields = raw_fields(Received(kind, "shop", 1_770_000_000_000 + number, sent, {"path": "track"}))
    added: bytes = server.xadd("events.raw", dict(zip(fields[::2], fields[1::2], strict=True)))
    return added.decode()


def written(log: RedisEventLog) -> list[str]:
    return [entry.id for entry in log.read_normalized(BEGINNING, limit=10_000)]


def test_what_was_made_of_a_request_stands_under_its_id(server: Any, log: RedisEventLog) -> None:
    ids = [send(server, number) for number in range(100)]
    assert run_once(log, limit=70) == 70
    assert run_once(log) == 30
    assert run_once(log) == 0
    assert written(log) == ids
    assert log.counts() == {"shop|events": 100}


@pytest.mark.parametrize("step", ["read", "before_write", "written"])
def test_killed_at_any_step_it_goes_on_where_it_was(server: Any, log: RedisEventLog, step: str) -> None:
    ids = [send(server, number) for number in range(40)]

    class KilledError(BaseException):
        """Stands for a kill: nothing catches it."""

    def on_step(reached: str) -> None:
        if reached == step:
            raise KilledError

    for limit in (7, 7, 40):
        with pytest.raises(KilledError):
            run_once(log, limit=limit, on_step=on_step)
    while run_once(log, limit=9):
        pass
    assert written(log) == ids
    assert log.counts() == {"shop|events": 40}


def test_a_shape_that_fails_refuses_its_request_and_names_nobody(
    server: Any, log: RedisEventLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(received: Received, entry: str) -> Any:
        raise KeyError(received.body.decode())

    monkeypatch.setitem(KINDS, "broken", Shape(fails))
    ids = [send(server, 1), send(server, 2, b"ann@example.com", kind="broken"), send(server, 3)]
    with caplog.at_level(logging.ERROR, logger="weft.normaliser"):
        assert run_once(log) == 3
    assert written(log) == ids
    assert log.counts() == {"shop|events": 2, "shop|unreadable": 1}
    assert "KeyError in fails" in caplog.text and "ann@example.com" not in caplog.text


def test_a_round_is_bounded_in_bytes_read_and_written(
    server: Any, log: RedisEventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(normaliser, "ROUND_BYTES", 20_000)
    body = b'{"type":"track","event":"E","userId":"u","properties":{"text":"%s"}}' % (b"x" * 1_000)
    ids = [send(server, number, body) for number in range(100)]
    asked: list[int] = []
    read_raw = log.read_raw

    def watched(after: str, *, limit: int) -> list[RawEntry]:
        asked.append(limit)
        return read_raw(after, limit=limit)

    monkeypatch.setattr(log, "read_raw", watched)
    rounds = []
    while count := run_once(log):
        rounds.append(count)
    assert written(log) == ids
    assert max(rounds) <= 20 and max(asked) <= 32


def test_it_waits_for_a_log_that_does_not_answer_and_trims(
    server: Any, log: RedisEventLog, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [send(server, number) for number in range(10)]
    run_once(log)
    log.confirm("warehouse", ids[4], epoch=log.state().epoch)
    ids.append(send(server, 10))
    state, fails = log.state, [True, True]

    def unsteady() -> Any:
        if fails:
            fails.pop()
            raise LogUnavailableError("The event log does not answer; is its Redis running?")
        return state()

    monkeypatch.setattr(log, "state", unsteady)
    stop = threading.Event()
    with caplog.at_level(logging.WARNING, logger="weft.normaliser"):
        run(log, stop, _stopping_after("written", stop))
    assert written(log) == ids[5:]
    assert [entry.id for entry in log.read_raw(BEGINNING, limit=100)] == ids[5:]
    assert [record.message for record in caplog.records] == [
        "Normalising waits for the event log. The event log does not answer; is its Redis running?",
        "Normalising goes on.",
    ]


def _stopping_after(step: str, stop: threading.Event) -> Callable[[str], None]:
    return lambda reached: stop.set() if reached == step else None
