"""How long after its acknowledgement a request is normalised, at a moderate rate: append -> normaliser's process -> a reader that waits."""

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

import redis.asyncio
import uvloop

from activation.embedded_redis import EmbeddedRedis
from bench.collector import LOG_MEMORY_MB, batch_of
from bench.comparison import markdown_table, spread
from bench.harness import ROOT, Facts, Measurement, Run, measure, workspace
from ingestion import normaliser
from ingestion.event_log import BEGINNING, Received
from ingestion.log_entries import NORMALIZED
from ingestion.redis_log import RedisEventLog
from ingestion.redis_log_writer import RedisLogWriter

RATES = {"1 a request": (1_000, 1), "100 a request": (50, 100)}
"""Requests a second, and events in each."""
BLOCK_MS = 1_000


def run(size: int, repeats: int) -> str:
    """Measure `size` seconds at each rate; gives the result as Markdown."""
    runs: dict[str, list[Measurement]] = {}
    with workspace() as inputs:
        for _ in range(repeats):
            for name, work in zip(RATES, (singles, batches), strict=True):
                runs.setdefault(name, []).append(measure(work, inputs=inputs, size=size))
    rows = [
        [
            name,
            f"{median(each.facts['requests/s'] for each in of_name):,.0f}",
            *(spread([each.facts[fact] for each in of_name]) for fact in ("append p99", "p50", "p99")),
        ]
        for name, of_name in runs.items()
    ]
    head = ["", "requests/s", "append p99 ms", "acknowledged to normalised: p50 ms", "p99 ms"]
    return "\n".join([f"### Normaliser's latency\n\n{size} s each, n = {repeats}.\n", *markdown_table(head, rows)])


def singles(run: Run) -> Facts:
    """A thousand requests a second, one event each."""
    return _measured(run, *RATES["1 a request"])


def batches(run: Run) -> Facts:
    """Fifty requests a second, a hundred events each."""
    return _measured(run, *RATES["100 a request"])


def _measured(run: Run, rate: int, events: int) -> Facts:
    with EmbeddedRedis(run.scratch / "log", maxmemory_mb=LOG_MEMORY_MB) as server, _normalising(server.url):
        appended, acknowledged, normalised = uvloop.run(_sent(server.url, rate, rate * run.size, batch_of(events)))
    waits = sorted(normalised[entry] - at for entry, at in acknowledged.items())
    first, last = min(acknowledged.values()), max(acknowledged.values())
    return {
        "requests/s": (len(waits) - 1) / (last - first),
        "append p99": 1000 * sorted(appended)[len(appended) * 99 // 100],
        "p50": 1000 * median(waits),
        "p99": 1000 * waits[len(waits) * 99 // 100],
    }


async def _sent(url: str, rate: int, count: int, body: bytes) -> tuple[list[float], dict[str, float], dict[str, float]]:
    """Seconds of each append, and by entry when it was acknowledged and when a reader had it normalised."""
    appended: list[float] = []
    acknowledged: dict[str, float] = {}
    writer = RedisLogWriter(url)

    async def send() -> str:
        began = time.perf_counter()
        entry = await writer.append(Received("segment", "bench", time.time_ns() // 1_000_000, body, {"path": "batch"}))
        acknowledged[entry] = time.perf_counter()
        appended.append(acknowledged[entry] - began)
        return entry

    first = await send()
    await _read(url, BEGINNING, 1)  # the process is up
    reading = asyncio.create_task(_read(url, first, count))
    appended.clear()
    acknowledged.clear()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as sending:
        for number in range(count):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            sending.create_task(send())
    normalised = await reading
    await writer.close()
    return appended, acknowledged, normalised


async def _read(url: str, last: str, count: int) -> dict[str, float]:
    normalised: dict[str, float] = {}
    async with redis.asyncio.Redis.from_url(url) as client:
        while len(normalised) < count:
            for _, found in await client.xread({NORMALIZED: last}, block=BLOCK_MS):
                now = time.perf_counter()
                normalised |= {entry.decode(): now for entry, _ in found}
                last = found[-1][0].decode()
    return normalised


@contextmanager
def _normalising(url: str) -> Iterator[None]:
    """The normaliser, in a process of its own."""
    with subprocess.Popen([sys.executable, "-m", "bench.normaliser_latency", url], cwd=ROOT) as process:
        try:
            yield
        finally:
            process.terminate()


if __name__ == "__main__":
    normaliser.run(RedisEventLog(sys.argv[1]), threading.Event())
