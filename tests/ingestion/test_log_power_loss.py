"""What a machine that loses its power keeps is what was synced: Redis is killed, and its file cut back to the last sync that had ended."""

import asyncio
import re
from pathlib import Path

import pytest

from activation.embedded_redis import EmbeddedRedis
from activation.redis_server import Fsync
from ingestion import redis_log_writer
from tests.ingestion.test_log_durability import (
    appended_until_killed,
    file_of,
    give_room,
    needs_strace,
    stored,
    watched,
)

CALL = re.compile(
    r"(?P<thread>\d+)\s+(?:<\.\.\. )?(?P<name>\w+)(?:\((?P<file>\d+)| resumed>)"
    r".*?(?:= (?P<result>-?\d+)|(?P<cut><unfinished))"
)


def synced_bytes(trace: Path, file: int) -> int:
    """How much of what was written to the descriptor `file` while strace looked had been synced at the end of it."""
    written = synced = 0
    begun: dict[str, tuple[str, int]] = {}
    for line in trace.read_text().splitlines():
        if not (call := CALL.match(line)):
            continue
        if call["file"] is not None:
            if int(call["file"]) != file:
                continue
            begun[call["thread"]] = (call["name"], written)
        if call["cut"] or call["thread"] not in begun:
            continue
        name, before = begun.pop(call["thread"])
        if name == "write":
            written += int(call["result"])
        elif call["result"] == "0":
            synced = max(synced, before)
    return synced


def lost_with_the_power(folder: Path, appendfsync: Fsync) -> tuple[int, int]:
    """Requests that were acknowledged before the power went, and how many of them are not in the log afterwards."""
    with EmbeddedRedis(folder / "log", appendfsync=appendfsync) as server:
        give_room(server)
        file = file_of(server)
        path = Path(f"/proc/{server.pid}/fd/{file}").readlink()
        before = path.stat().st_size
        with watched(server, folder / "trace", is_ending=True):
            acknowledged = asyncio.run(appended_until_killed(server, 0))
        server.stop()
    with path.open("r+b") as cut:
        cut.truncate(before + synced_bytes(folder / "trace", file))
    with EmbeddedRedis(folder / "log") as server:
        return len(acknowledged), len(acknowledged - stored(server.url))


@needs_strace
def test_a_power_loss_costs_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged, lost = lost_with_the_power(tmp_path, "always")
    assert acknowledged >= 300
    assert lost == 0


@needs_strace
def test_a_writer_that_takes_any_setting_would_lose_acknowledged_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_log_writer, "unsafe_reason", lambda *_, **__: None)
    acknowledged, lost = lost_with_the_power(tmp_path, "everysec")
    assert acknowledged >= 300
    assert lost > 0
