"""How the collector's side of the log spreads requests over connections to Redis."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from activation.embedded_redis import EmbeddedRedis
from ingestion.event_log import Received
from ingestion.log_entries import RAW
from ingestion.redis_log_writer import CONNECTIONS, RedisLogWriter

HELLO = Received("segment", "web", 1_790_000_000_000, b'{"type":"track"}', {"path": "track"})


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path, maxmemory_mb=64) as running:
        yield running


@pytest.fixture
def client(server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with server.client() as connected:
        yield connected


def test_small_requests_go_together_and_large_ones_each_on_its_own(
    server: EmbeddedRedis, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ingestion.redis_log_writer.LOOK_SECONDS", 60.0
    )  # a look would be the connection's last command

    async def connections_used(count: int, size: int) -> int:
        writer = RedisLogWriter(server.url)
        try:
            await asyncio.gather(*(writer.append(Received("segment", "web", n, b"x" * size)) for n in range(count)))
            return sum(each["cmd"] == "xadd" for each in client.client_list())
        finally:
            await writer.close()

    assert asyncio.run(connections_used(20, 100)) == 1
    assert asyncio.run(connections_used(8, 40_000)) == 8


def test_while_one_connection_is_left_the_log_is_used_and_the_others_come_back(
    server: EmbeddedRedis, client: redis.Redis
) -> None:
    async def go() -> None:
        writer = RedisLogWriter(server.url)
        try:
            await writer.append(HELLO)
            others = [each["id"] for each in client.client_list() if each["cmd"] == "ping"]
            for each in others:
                client.client_kill_filter(_id=each)
            async with asyncio.timeout(20):
                while len(writer._connections) > CONNECTIONS - len(others):
                    await asyncio.sleep(0.01)
                await writer.append(HELLO)
                while len(writer._connections) < CONNECTIONS:
                    await asyncio.sleep(0.01)
            await asyncio.gather(*(writer.append(HELLO) for _ in range(100)))
        finally:
            await writer.close()

    asyncio.run(go())
    assert client.xlen(RAW) == 102
