"""Collector and normaliser as processes that can be killed: `python -m tests.ingestion.kills.processes WORK URL PORT VARIANT FOLDER`.

WORK is collector or normaliser. WEFT_CRASH_AT names a failpoint. The variants break a promise, so that the tests can show that they
would notice.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import redis

from ingestion import normaliser
from ingestion.collector.app import create_app
from ingestion.collector.serving import serve
from ingestion.collector.settings import CollectorSettings, Connections, Limits, Uploads
from ingestion.event_log import LogUnavailableError, NormalizedEntry, Received
from ingestion.log_entries import COUNTS, NORMALIZED, normalized_fields
from ingestion.redis_log import RedisEventLog
from ingestion.redis_log_writer import RedisLogWriter
from orchestration.failpoints import arm, failpoints
from tests.ingestion.collector.senders import Keys
from tests.ingestion.kills.senders import PATIENCE

BODIES_IN_MEMORY = 16_000_000
ROOT = Path(__file__).resolve().parents[3]


class AnswersFirst(RedisLogWriter):
    """Gathers requests for a moment, and lets them be acknowledged meanwhile."""

    _later: ClassVar[set[asyncio.Task[None]]] = set()

    async def append(self, received: Received) -> str:
        await self.check()
        task = asyncio.create_task(self._append_later(received))
        self._later.add(task)
        task.add_done_callback(self._later.discard)
        return "1-0"

    async def _append_later(self, received: Received) -> None:
        await asyncio.sleep(0.05)
        with suppress(LogUnavailableError):
            await super().append(received)


class SendsAgain(RedisLogWriter):
    """Sends a command again whose answer was lost, as redis-py does by default."""

    async def append(self, received: Received) -> str:
        for _ in range(200):
            with suppress(LogUnavailableError):
                return await super().append(received)
            await asyncio.sleep(0.02)
        return await super().append(received)


class TakesAnySetting(RedisLogWriter):
    """Never asks what its Redis is set to."""

    async def _found_trouble(self) -> None:
        if not self._connections:
            await self._connect(is_look=True)
        self._room_bytes = float("inf")


class MintsIds(RedisEventLog):
    """Gives what was normalised ids of its own, so that nobody can tell whether a request's lines are there already."""

    def write_normalized(self, entries: Sequence[NormalizedEntry]) -> int:
        for entry in entries:
            fields = normalized_fields(entry.normalized)
            self._redis.xadd(NORMALIZED, dict(zip(fields[::2], fields[1::2], strict=True)))
        return len(entries)


class CountsTwice(RedisEventLog):
    """Counts in a step of its own, also what it leaves out."""

    def write_normalized(self, entries: Sequence[NormalizedEntry]) -> int:
        for entry in entries:
            for name, count in entry.normalized.counts.items():
                self._redis.hincrby(COUNTS, name, count)
            fields = normalized_fields(entry.normalized)
            with suppress(redis.ResponseError):
                self._redis.xadd(NORMALIZED, dict(zip(fields[::2], fields[1::2], strict=True)), id=entry.id)
        return len(entries)


WRITERS = {
    "": RedisLogWriter,
    "answers first": AnswersFirst,
    "sends again": SendsAgain,
    "takes any setting": TakesAnySetting,
}
LOGS = {"": RedisEventLog, "mints ids": MintsIds}


@dataclass
class Running:
    """One of the processes."""

    process: subprocess.Popen[bytes]
    said: Path

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        self.process.kill()
        self.process.wait()

    def wait_until_killed(self) -> None:
        """Wait until it has killed itself at its failpoint."""
        assert self.process.wait(PATIENCE) == -signal.SIGKILL, self.said.read_text()

    def memory_bytes(self) -> int:
        """What of it is in memory now."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def running(
    work: str, folder: Path, url: str, port: int = 0, *, variant: str = "", crash_at: str = ""
) -> Iterator[Running]:
    """One of the processes for the block, killed at its end. The collector answers, the normaliser has begun, when the block begins."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if crash_at:
        environment |= {"WEFT_CRASH_AT": f"{work}.{crash_at}", "WEFT_ALLOW_CRASHES": "1"}
    said = folder / f"{work}.log"
    with said.open("a") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.ingestion.kills.processes", work, url, str(port), variant, str(folder)],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    made = Running(process, said)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"begun\n", said.read_text()
        yield made
    finally:
        made.kill()


def _collect(url: str, port: int, variant: str, folder: Path) -> None:
    settings = CollectorSettings(
        keys=Keys(),
        limits=Limits(bodies_in_memory_bytes=BODIES_IN_MEMORY),
        uploads=Uploads(folder / "spool", 50_000_000),
        on_step=failpoints("collector"),
    )
    app = create_app(settings, WRITERS[variant](url))
    serve(app, Connections(), host="127.0.0.1", port=port, on_started=lambda _: print("begun", flush=True))


def _normalise(url: str, variant: str) -> None:
    log = LOGS[variant](url)
    print("begun", flush=True)
    normaliser.run(log, threading.Event(), failpoints("normaliser"))


def main(work: str, url: str, port: str, variant: str, folder: str) -> None:
    """Run until killed."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    arm(os.environ.get("WEFT_CRASH_AT"), is_allowed=os.environ.get("WEFT_ALLOW_CRASHES") == "1")
    if work == "collector":
        _collect(url, int(port), variant, Path(folder))
    else:
        _normalise(url, variant)


if __name__ == "__main__":
    main(*sys.argv[1:])
