"""A Weft that collects: `weft serve collector` over the log's own Redis, the normaliser, and landing into a DuckDB."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
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
from tests.orchestration.services import Service

PATIENCE = 20
"""Seconds until something that should happen counts as not happening; a busy machine is slow."""
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
    """Where clients send to (`url`, with the write key of a source in `keys`), and where it lands."""

    platform: Platform
    log_url: str
    url: str
    keys: Mapping[str, str]

    @property
    def port(self) -> int:
        """The collector's port."""
        return int(self.url.rpartition(":")[2])

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
def installed(home: Path, *sources: str, slow: Iterable[str] = (), **settings: str) -> Iterator[Installation]:
    """An installation below `home` with a write key for each source, until the block ends; `slow` ones may send two events a second.

    What Snowplow's trackers send, who have no key, is of the source `snowplow`.
    """
    platform = build_platform(home=home)
    keys = {source: platform.state.keys.create(source=source, now=utc_now())[0] for source in sources}
    keys |= {source: platform.state.keys.create(source=source, now=utc_now(), limit_per_second=2)[0] for source in slow}
    settings = {"WEFT_SNOWPLOW_SOURCE": "snowplow", **settings}
    with (
        embedded_log(platform.settings) as log,
        Service(home, "serve", "collector", "--port", "0", **settings) as collector,
    ):
        yield Installation(platform, log.url, collector.line("Collector"), keys)
