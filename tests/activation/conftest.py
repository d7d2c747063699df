"""One real Redis for all activation tests, emptied before each."""

from collections.abc import Iterator

import pytest
import redis

from activation.embedded_redis import EmbeddedRedis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis"), appendonly=False) as server:
        yield server


@pytest.fixture
def client(redis_server: EmbeddedRedis) -> Iterator[redis.Redis]:
    with redis_server.client() as connected:
        connected.config_set("maxmemory", 0)
        connected.flushall()
        yield connected


@pytest.fixture
def own_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A durable server that a test may kill."""
    server = EmbeddedRedis(tmp_path_factory.mktemp("own_redis"))
    with server:
        yield server
        server.start()  # a test that killed it leaves something to stop
