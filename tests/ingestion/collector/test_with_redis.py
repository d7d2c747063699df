"""The collector as it runs: a process with uvloop, over a Redis that syncs every write."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from activation.embedded_redis import EmbeddedRedis
from ingestion.event_log import BEGINNING
from ingestion.redis_log import RedisEventLog
from tests.ingestion.collector.senders import KEY
from tests.ingestion.collector.test_connections import RULES, serving

AUTH = (KEY, "")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "log") as running:
        with running.client() as client:
            client.config_set("maxmemory", "64mb")
        yield running


def body(number: int) -> bytes:
    return b'{"batch": [{"type": "track", "event": "x", "userId": "u", "messageId": "m-%d"}]}' % number


def test_what_was_acknowledged_is_in_the_log_byte_for_byte(tmp_path: Path, server: EmbeddedRedis) -> None:
    with serving(tmp_path, rules=RULES | {"receive_seconds": 10.0}, log_url=server.url) as collector:
        with httpx.Client(base_url=f"http://127.0.0.1:{collector.port}", auth=AUTH) as client:
            assert client.get("/ready").status_code == 200

            def send(number: int) -> int:
                return client.post("/v1/batch", content=body(number)).status_code

            with ThreadPoolExecutor(16) as senders:
                assert set(senders.map(send, range(400))) == {200}
        os.kill(collector.process.pid, signal.SIGKILL)
    log = RedisEventLog(server.url)
    entries = log.read_raw(BEGINNING, limit=1_000)
    log.close()
    assert sorted(entry.received.body for entry in entries) == sorted(map(body, range(400)))
    assert {(entry.received.kind, entry.received.source) for entry in entries} == {("segment", "shop")}


def test_without_its_redis_the_collector_says_503_and_goes_on_by_itself(tmp_path: Path, server: EmbeddedRedis) -> None:
    with (
        serving(tmp_path, rules=RULES, log_url=server.url) as collector,
        httpx.Client(base_url=f"http://127.0.0.1:{collector.port}", auth=AUTH, timeout=20) as client,
    ):
        assert client.post("/v1/batch", content=body(1)).status_code == 200
        port = server.port
        server.stop()
        for number in range(5):
            answer = client.post("/v1/batch", content=body(number))
            assert (answer.status_code, answer.json()["code"]) == (503, "log_unavailable")
        assert client.get("/ready").status_code == 503
        with EmbeddedRedis(server.folder, port=port) as again:
            with again.client() as redis:
                redis.config_set("maxmemory", "64mb")
            deadline = time.monotonic() + 10
            while client.get("/ready").status_code != 200 and time.monotonic() < deadline:
                time.sleep(0.05)
            assert client.post("/v1/batch", content=body(9)).status_code == 200
