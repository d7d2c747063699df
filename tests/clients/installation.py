"""A Weft that collects: a collector in a process of its own over the log's Redis, the normaliser, and landing into a DuckDB."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from ingestion import normaliser
from ingestion.landing_report import LandingReport
from ingestion.redis_log import RedisEventLog
from orchestration.event_log import embedded_log
from orchestration.log_landing import land_log
from orchestration.resources import Platform, build_platform
from orchestration.state import utc_now
from orchestration.warehouse import Connection

PATIENCE = 20
"""Seconds until something that should happen counts as not happening; a busy machine is slow."""
ROOT = Path(__file__).resolve().parents[2]
_COLUMNS = {
    "message_id": None,
    "type": None,
    "event": None,
    "user_id": None,
    "anonymous_id": None,
    "identifiers": json.loads,
    "properties": json.loads,
    "traits": json.loads,
    "context": json.loads,
    "original_timestamp": None,
    "sent_at": None,
    "received_at": None,
    "occurred_at": None,
}


@dataclass(frozen=True)
class Row:
    """One row of raw.events; times are naive UTC."""

    message_id: str
    type: str
    event: str | None
    user_id: str | None
    anonymous_id: str | None
    identifiers: list[dict[str, str]]
    properties: dict[str, Any]
    traits: dict[str, Any]
    context: dict[str, Any]
    original_timestamp: datetime
    sent_at: datetime
    received_at: datetime
    occurred_at: datetime


@dataclass(frozen=True)
class Installation:
    """Where clients send to, and where it lands."""

    platform: Platform
    log_url: str
    port: int

    @property
    def url(self) -> str:
        """The collector's address."""
        return f"http://127.0.0.1:{self.port}"

    def until_received(self, requests: int) -> None:
        """Wait until the log has got so many requests since the last landing."""
        log = RedisEventLog(self.log_url)
        try:
            deadline = time.monotonic() + PATIENCE
            while (got := log.state().raw_entries) < requests:
                assert time.monotonic() < deadline, f"Only {got} requests came."
                time.sleep(0.02)
        finally:
            log.close()

    def land(self) -> list[LandingReport]:
        """Bring everything that was acknowledged into the warehouse."""
        log = RedisEventLog(self.log_url)
        try:
            while normaliser.run_once(log):
                pass
            with self.platform.warehouse.writer() as connection:
                return list(land_log(connection, log, landed_at=utc_now()))
        finally:
            log.close()

    def events(self, source: str) -> dict[str, Row]:
        """What the warehouse has of a source, by message id; nothing of it is refused or there twice."""
        with self.platform.warehouse.writer() as connection:
            assert _refused(connection, source) == []
            rows = connection.rows(f"select {', '.join(_COLUMNS)} from raw.events where source = ?", [source])
        read = [
            Row(*(f(value) if f else value for f, value in zip(_COLUMNS.values(), row, strict=True))) for row in rows
        ]
        by_id = {row.message_id: row for row in read}
        assert len(by_id) == len(read)
        return by_id


def _refused(connection: Connection, source: str) -> list[tuple[Any, ...]]:
    return connection.rows("select reason, detail from raw.rejected_events where source = ?", [source])


@contextmanager
def installed(home: Path, keys: Mapping[str, tuple[str, float | None]]) -> Iterator[Installation]:
    """An installation below `home` that takes these write keys (see collector_process), until the block ends."""
    platform = build_platform(home=home)
    with embedded_log(platform.settings) as log:
        command = [sys.executable, "-m", "tests.clients.collector_process", json.dumps(keys), log.url]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield Installation(platform, log.url, int(process.stdout.readline()))
            finally:
                process.terminate()
