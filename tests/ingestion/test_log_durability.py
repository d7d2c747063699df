"""What is acknowledged is on disk: the order of Redis' system calls says so. A kill alone would not: the kernel keeps what was written."""

import asyncio
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from activation.embedded_redis import EmbeddedRedis
from ingestion.event_log import BEGINNING, LogError, Received
from ingestion.log_entries import raw_fields
from ingestion.redis_log import RedisEventLog
from ingestion.redis_log_writer import RedisLogWriter

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace: apt-get install strace")

CALL = re.compile(r"^\d+\s+(\w+)\((\d+)")
IDS = re.compile(r"\$\d+\\r\\n\d+-\d+")


@contextmanager
def watched(server: EmbeddedRedis, trace: Path, *more: str, is_ending: bool = False) -> Iterator[None]:
    """strace on the server, its system calls in `trace`; skips where looking at other processes is not permitted.

    With `is_ending` the server ends by itself inside of the block.
    """
    command = ["strace", "-f", "-q", "-s", "4096", "-o", str(trace), "-e", "trace=write,writev,sendto,fdatasync,fsync"]
    tracer = subprocess.Popen([*command, *more, "-p", str(server.pid)], stderr=subprocess.DEVNULL)
    status = Path(f"/proc/{server.pid}/status")
    deadline = time.monotonic() + 20
    try:
        while f"TracerPid:\t{tracer.pid}\n" not in status.read_text():
            if tracer.poll() is not None:
                pytest.skip("strace may not look at other processes here: ptrace is not permitted")
            assert time.monotonic() < deadline, "strace does not attach"
            time.sleep(0.01)
        yield
        if is_ending:
            tracer.wait(20)
    finally:
        # Not SIGTERM while the server ends: strace would then wait for the server's first thread, and that one for the other threads,
        # whose end only strace could take note of. SIGKILL lets go of all of them.
        if tracer.poll() is None:
            tracer.send_signal(signal.SIGKILL if is_ending else signal.SIGTERM)
        tracer.wait()


def answered(trace: Path, file: int) -> tuple[int, int]:
    """How many ids Redis answered with, and how many of them while something written to the descriptor `file` was not synced."""
    answers = early = 0
    is_synced = True
    for line in trace.read_text().splitlines():
        if not (call := CALL.match(line)):
            continue
        if int(call[2]) == file:
            is_synced = call[1] in ("fdatasync", "fsync")
        else:
            ids = len(IDS.findall(line))
            answers += ids
            early += 0 if is_synced else ids
    return answers, early


def file_of(server: EmbeddedRedis) -> int:
    """The descriptor of the append-only file."""
    links = Path(f"/proc/{server.pid}/fd").iterdir()
    [found] = [int(link.name) for link in links if str(link.readlink()).endswith(".aof")]
    return found


def request(number: int) -> Received:
    return Received("segment", "web", number, b'{"n":%d}' % number, {"path": "track"})


def acknowledged_by(url: str, count: int) -> set[int]:
    """Append requests, sometimes one, sometimes eight at a time; those that were acknowledged."""

    async def append_all() -> set[int]:
        acknowledged = set()
        writer = RedisLogWriter(url)

        async def append(number: int) -> None:
            try:
                await writer.append(request(number))
            except LogError:
                return
            acknowledged.add(number)

        for start in range(0, count, 9):
            await append(start)
            await asyncio.gather(*(append(number) for number in range(start + 1, min(start + 9, count))))
        await writer.close()
        return acknowledged

    return asyncio.run(append_all())


def give_room(server: EmbeddedRedis) -> None:
    with server.client() as client:
        client.config_set("maxmemory", "64mb")


@needs_strace
def test_every_answer_comes_after_the_sync(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "log") as server:
        give_room(server)
        file = file_of(server)
        with watched(server, tmp_path / "trace"):
            assert len(acknowledged_by(server.url, 300)) == 300
        assert answered(tmp_path / "trace", file) == (300, 0)


@needs_strace
def test_the_same_look_finds_a_redis_that_answers_first(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "log", appendfsync="everysec") as server:
        file = file_of(server)
        with watched(server, tmp_path / "trace"), server.client() as client:
            for number in range(50):
                client.execute_command("XADD", "events.raw", "*", *raw_fields(request(number)))
        answers, early = answered(tmp_path / "trace", file)
    assert answers == 50
    assert early > 0


@needs_strace
@pytest.mark.parametrize("failing", ["3", "30"])
def test_a_disk_that_fails_costs_nothing_that_was_acknowledged(tmp_path: Path, failing: str) -> None:
    with EmbeddedRedis(tmp_path / "log") as server:
        give_room(server)
        injected = ("-e", f"inject=fdatasync:error=EIO:when={failing}")
        with watched(server, tmp_path / "trace", *injected, is_ending=True):
            acknowledged = acknowledged_by(server.url, 400)
        assert 0 < len(acknowledged) < 400
        server.stop()
    with EmbeddedRedis(tmp_path / "log") as server:
        assert acknowledged <= stored(server.url)


def test_a_disk_that_is_full_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / "log") as server:
        give_room(server)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))  # no file beyond that
        acknowledged = acknowledged_by(server.url, 400)
        assert 50 < len(acknowledged) < 400
        server.stop()
    assert {file.stat().st_size <= 20_000 for file in (tmp_path / "log").rglob("*.aof")} == {True}
    with EmbeddedRedis(tmp_path / "log") as server:
        assert acknowledged <= stored(server.url)


def test_kills_of_redis_cost_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: set[int] = set()
    for kill in range(4):
        with EmbeddedRedis(tmp_path / "log") as server:
            give_room(server)
            acknowledged |= asyncio.run(appended_until_killed(server, kill))
            server.stop()
    with EmbeddedRedis(tmp_path / "log") as server:
        kept = stored(server.url)
    assert len(acknowledged) > 100
    assert acknowledged <= kept


async def appended_until_killed(server: EmbeddedRedis, kill: int) -> set[int]:
    """Append with 16 senders at once, kill Redis in the middle of it; what was acknowledged."""
    acknowledged: set[int] = set()
    writer = RedisLogWriter(server.url)

    async def send(sender: int) -> None:
        for turn in range(1000):
            number = kill * 100_000 + sender * 1000 + turn
            try:
                await writer.append(request(number))
            except LogError:
                return
            acknowledged.add(number)
            if len(acknowledged) == 300 + 50 * kill:
                os.kill(server.pid, signal.SIGKILL)

    await asyncio.gather(*map(send, range(16)))
    await writer.close()
    return acknowledged


def stored(url: str) -> set[int]:
    """The numbers of the requests that are in the log."""
    log = RedisEventLog(url)
    found = {entry.received.received_at for entry in log.read_raw(BEGINNING, limit=100_000)}
    log.close()
    return found
