"""The normaliser's throughput: Weft's rounds beside reading the same requests and writing the same bytes without looking at them."""

from collections.abc import Iterator
from contextlib import contextmanager

import redis

from activation.embedded_redis import EmbeddedRedis
from bench.collector import LOG_MEMORY_MB, batch_of
from bench.comparison import Comparison, Ratio
from bench.harness import BenchError, Contender, Facts, Run
from ingestion.event_log import BEGINNING, Received
from ingestion.log_entries import NORMALIZED, RAW, raw_fields
from ingestion.normaliser import run_once
from ingestion.redis_log import RedisEventLog

BATCH = 100
RECEIVED_AT = 1_795_000_000_000
BYTES_AT_ONCE = 4 << 20
"""Of a round of whoever only copies; Weft's own rounds end by ingestion.normaliser's rules."""


def prepare(run: Run) -> Facts:
    """Nothing is prepared: each run fills a log of its own."""
    return {"bytes per event": len(batch_of(BATCH)) // BATCH}


def weft_single(run: Run) -> Facts:
    """run_once until nothing is left, one event a request."""
    return _normalised(run, 1)


def weft_batches(run: Run) -> Facts:
    """The same with batches."""
    return _normalised(run, BATCH)


def copied_single(run: Run) -> Facts:
    """XRANGE, and XADD of the same fields under the same ids in a pipeline, one event a request."""
    return _copied(run, 1)


def copied_batches(run: Run) -> Facts:
    """The same with batches."""
    return _copied(run, BATCH)


def _normalised(run: Run, events: int) -> Facts:
    with _filled_log(run, events) as (url, client):
        log = RedisEventLog(url)
        with run.clock.running():
            while run_once(log):
                pass
        counted = log.counts()
        log.close()
        if counted != {"bench|events": run.size // events * events}:
            raise BenchError(f"Of {run.size} events Weft counts {counted}.")
        return {f"requests of {events}": client.xlen(NORMALIZED)}


def _copied(run: Run, events: int) -> Facts:
    at_once = max(1, BYTES_AT_ONCE // len(batch_of(events)))
    with _filled_log(run, events) as (_, client):
        with run.clock.running():
            last: bytes | str = BEGINNING
            while found := client.xrange(
                RAW, f"({last if isinstance(last, str) else last.decode()}", "+", count=at_once
            ):
                pipeline = client.pipeline(transaction=False)
                for entry, fields in found:  # type: ignore[union-attr]
                    pipeline.xadd(NORMALIZED, fields, id=entry)
                    last = entry
                pipeline.execute()
        return {f"requests of {events}": client.xlen(NORMALIZED)}


@contextmanager
def _filled_log(run: Run, events: int) -> Iterator[tuple[str, "redis.Redis"]]:
    """A log that holds `run.size` events, as the collector puts them there; its address and a client."""
    facts = {"path": "batch", "ip": "192.0.2.7", "user_agent": "analytics-node/2.1.0"}
    fields = raw_fields(Received("segment", "bench", RECEIVED_AT, batch_of(events), facts))
    at_once = max(1, BYTES_AT_ONCE // len(batch_of(events)))
    with EmbeddedRedis(run.scratch / "log", maxmemory_mb=LOG_MEMORY_MB) as server, server.client() as client:
        left = run.size // events
        while left:
            pipeline = client.pipeline(transaction=False)
            for _ in range(min(left, at_once)):
                pipeline.execute_command("XADD", RAW, "*", *fields)
            left -= len(pipeline.execute())
        yield server.url, client


SINGLE, BATCHES = "Weft, 1 a request", f"Weft, {BATCH} a request"
COPIED_SINGLE, COPIED_BATCHES = "copied, 1 a request", f"copied, {BATCH} a request"

COMPARISON = Comparison(
    title="Normaliser",
    unit="events",
    prepare=prepare,
    contenders=(
        Contender(SINGLE, weft_single),
        Contender(COPIED_SINGLE, copied_single),
        Contender(BATCHES, weft_batches),
        Contender(COPIED_BATCHES, copied_batches),
    ),
    ratios=(Ratio(SINGLE, COPIED_SINGLE), Ratio(BATCHES, COPIED_BATCHES)),
    note="The log's Redis syncs every write; copied: redis-py reads the requests and writes the same bytes into the other stream. "
    "CPU and peak MB are without the server's.",
)
