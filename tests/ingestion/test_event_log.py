"""The event log against a real Redis: what a 2xx may wait for, and what readers may rely on."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from activation.embedded_redis import EmbeddedRedis
from ingestion.event_log import (
    BEGINNING,
    LogError,
    LogFullError,
    LogUnavailableError,
    Normalized,
    NormalizedEntry,
    Received,
    Refused,
    UnsafeLogError,
)
from ingestion.log_entries import RAW, id_parts
from ingestion.redis_log import WAREHOUSE, RedisEventLog
from ingestion.redis_log_writer import RedisLogWriter

HELLO = Received("segment", "web", 1_790_000_000_000, b'{"type":"track"}\x00\xff', {"path": "track"})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("log")) as running:
        yield running


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with server.client() as connected:
        connected.flushall()
        for name, value in {"maxmemory": "64mb", "appendfsync": "always", "maxmemory-policy": "noeviction"}.items():
            connected.config_set(name, value)
        yield connected


@pytest.fixture
def log(server: EmbeddedRedis, client: redis.Redis) -> Iterator[RedisEventLog]:
    opened = RedisEventLog(server.url)
    yield opened
    opened.close()


def append_all(url: str, requests: list[Received]) -> list[str]:
    """Append requests all at once; their ids."""

    async def append() -> list[str]:
        writer = RedisLogWriter(url)
        try:
            return await asyncio.gather(*map(writer.append, requests))
        finally:
            await writer.close()

    return asyncio.run(append())


def refusal(url: str, prepare: Callable[[RedisLogWriter], Awaitable[None]] | None = None) -> LogError:
    """What a writer says when it is asked to append."""

    async def append() -> LogError:
        writer = RedisLogWriter(url, patience_seconds=0.5)
        try:
            if prepare:
                await prepare(writer)
            with pytest.raises(LogError) as caught:
                await writer.append(HELLO)
            return caught.value
        finally:
            await writer.close()

    return asyncio.run(append())


def entry(entry_id: str, events: bytes = b'{"part":0}\n') -> NormalizedEntry:
    counts = {"web|events": 1, "web|broken_json": 1}
    return NormalizedEntry(entry_id, Normalized(events=events, refused=[Refused(1, "broken_json", "x")], counts=counts))


def test_a_request_comes_back_as_it_was_received(server: EmbeddedRedis, log: RedisEventLog) -> None:
    [entry_id] = append_all(server.url, [HELLO])
    [read] = log.read_raw(BEGINNING, limit=10)
    assert (read.id, read.received) == (entry_id, HELLO)
    assert log.raw([entry_id, "1-1"]) == {entry_id: HELLO}


def test_requests_at_once_share_a_connection_and_each_has_its_own_id(server: EmbeddedRedis, log: RedisEventLog) -> None:
    requests = [Received("segment", "web", n, b"%d" % n) for n in range(500)]
    ids = append_all(server.url, requests)
    assert len(set(ids)) == 500
    stored = log.raw(ids)
    assert [stored[each] for each in ids] == requests


def test_two_normalisers_at_once_write_each_request_once(server: EmbeddedRedis, log: RedisEventLog) -> None:
    ids = append_all(server.url, [HELLO] * 400)
    other = RedisEventLog(server.url)

    def write(each: RedisEventLog) -> int:
        return sum(each.write_normalized([entry(id_) for id_ in ids[start : start + 4]]) for start in range(0, 400, 4))

    with ThreadPoolExecutor(2) as normalisers:
        assert sum(normalisers.map(write, (log, other))) == 400
    other.close()
    assert [each.id for each in log.read_normalized(BEGINNING, limit=1_000)] == ids
    assert log.counts() == {"web|events": 400, "web|broken_json": 400}


def test_what_was_normalised_stands_once_and_is_counted_once(server: EmbeddedRedis, log: RedisEventLog) -> None:
    ids = append_all(server.url, [HELLO] * 3)
    assert log.write_normalized([entry(ids[0])]) == 1
    assert log.write_normalized([entry(each) for each in ids]) == 2
    assert log.write_normalized([entry(each) for each in ids]) == 0
    assert [each.id for each in log.read_normalized(BEGINNING, limit=10)] == ids
    assert log.read_normalized(ids[1], limit=10) == [entry(ids[2])]
    assert log.counts() == {"web|events": 3, "web|broken_json": 3}
    assert log.state().last_normalized == ids[2]


def test_nothing_is_forgotten_that_a_reader_has_not_passed(server: EmbeddedRedis, client: redis.Redis) -> None:
    log = RedisEventLog(server.url, readers=[WAREHOUSE, "live"])
    epoch = log.state().epoch
    ids = append_all(server.url, [HELLO] * 4)
    log.write_normalized([entry(each) for each in ids])
    log.confirm(WAREHOUSE, ids[2], epoch=epoch)
    assert log.trim() == 0
    log.confirm("live", ids[0], epoch=epoch)
    log.confirm("live", BEGINNING, epoch=epoch)
    assert log.positions() == {WAREHOUSE: ids[2], "live": ids[0]}
    assert log.trim() == 2
    assert [each.id for each in log.read_raw(BEGINNING, limit=10)] == ids[1:]
    assert [each.id for each in log.read_normalized(BEGINNING, limit=10)] == ids[1:]
    log.close()


def test_the_newest_id_outlives_its_entry_and_a_restart(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server, server.client() as client:
        client.config_set("maxmemory", "64mb")
        log = RedisEventLog(server.url)
        epoch = log.state().epoch
        ids = append_all(server.url, [HELLO])
        log.write_normalized([entry(ids[0])])
        log.confirm(WAREHOUSE, ids[0], epoch=epoch)
        assert log.trim() == 2
        client.bgrewriteaof()
        while client.info("persistence")["aof_rewrite_in_progress"]:
            pass
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
    with EmbeddedRedis(tmp_path) as server, server.client() as client:
        client.config_set("maxmemory", "64mb")
        state = RedisEventLog(server.url).state()
        assert (state.epoch, state.last_normalized, state.last_raw) == (epoch, ids[0], ids[0])
        assert id_parts(append_all(server.url, [HELLO])[0]) > id_parts(ids[0])


def test_a_lost_log_is_another_epoch_and_positions_of_the_old_one_move_nothing(
    server: EmbeddedRedis, client: redis.Redis, log: RedisEventLog
) -> None:
    old = log.state().epoch
    client.flushall()
    ids = append_all(server.url, [HELLO])
    assert log.state().epoch != old
    log.confirm(WAREHOUSE, ids[0], epoch=old)
    assert log.positions() == {WAREHOUSE: BEGINNING}
    new = log.new_epoch()
    assert log.state().epoch == new
    assert log.positions() == {WAREHOUSE: BEGINNING}


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("appendfsync", "everysec", "appendfsync always"),
        ("appendonly", "no", "appendonly yes"),
        ("no-appendfsync-on-rewrite", "yes", "no-appendfsync-on-rewrite no"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
        ("maxmemory", "0", "maxmemory"),
    ],
)
def test_unsafe_settings_refuse(
    server: EmbeddedRedis, client: redis.Redis, setting: str, value: str, said: str
) -> None:
    was = client.config_get(setting)[setting]
    client.config_set(setting, value)
    try:
        error = refusal(server.url)
        assert isinstance(error, UnsafeLogError)
        assert said in str(error)
        assert client.exists(RAW) == 0
    finally:
        client.config_set(setting, was)


def test_a_setting_made_unsafe_while_it_runs_refuses_soon(server: EmbeddedRedis, client: redis.Redis) -> None:
    async def spoil(writer: RedisLogWriter) -> None:
        await writer.append(HELLO)
        client.config_set("appendfsync", "everysec")
        async with asyncio.timeout(10):
            while True:
                try:
                    await writer.check()
                except UnsafeLogError:
                    return
                await asyncio.sleep(0.05)

    assert isinstance(refusal(server.url, spoil), UnsafeLogError)


def test_a_full_log_refuses_before_redis_has_to_and_readers_still_write(
    server: EmbeddedRedis, client: redis.Redis, log: RedisEventLog
) -> None:
    client.config_set("maxmemory", "8mb")
    big = Received("segment", "web", 1, b"x" * 400_000)

    async def fill() -> int:
        writer = RedisLogWriter(server.url)
        taken = 0
        try:
            while True:
                await writer.append(big)
                taken += 1
        except LogFullError:
            return taken
        finally:
            await writer.close()

    taken = asyncio.run(fill())
    state = log.state()
    assert 0 < taken < 20
    assert state.memory_used < state.memory_limit
    ids = [each.id for each in log.read_raw(BEGINNING, limit=100)]
    assert log.write_normalized([entry(each) for each in ids]) == taken
    log.confirm(WAREHOUSE, ids[-1], epoch=state.epoch)
    log.trim()
    assert append_all(server.url, [HELLO])


def test_nobody_there_is_told_and_a_log_that_comes_back_is_used_again(tmp_path: Path) -> None:
    async def go() -> None:
        server = EmbeddedRedis(tmp_path).start()
        with server.client() as client:
            client.config_set("maxmemory", "64mb")
            client.config_rewrite()
        port = server.port
        writer = RedisLogWriter(server.url, patience_seconds=1)
        await writer.append(HELLO)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(LogUnavailableError):
                await writer.append(HELLO)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        os.kill(server.pid, signal.SIGKILL)
        server.stop()
        with pytest.raises(LogUnavailableError):
            while True:
                await writer.append(HELLO)
        again = EmbeddedRedis(tmp_path, port).start()
        with again.client() as client:
            client.config_set("maxmemory", "64mb")
        async with asyncio.timeout(20):
            while True:
                try:
                    await writer.append(HELLO)
                    break
                except LogError:
                    await asyncio.sleep(0.05)
        await writer.close()
        again.stop()

    asyncio.run(go())


def test_errors_show_nothing_of_an_entry(server: EmbeddedRedis, client: redis.Redis) -> None:
    client.set(RAW, "not a stream")
    secret = Received("segment", "web", 1, b"ann@example.com")
    with pytest.raises(LogError) as caught:
        append_all(server.url, [secret])
    assert "ann" not in str(caught.value)
    with pytest.raises(LogError) as caught:
        RedisEventLog(server.url).read_raw(BEGINNING, limit=1)
    assert "stream" not in str(caught.value)
