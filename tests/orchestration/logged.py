"""Events that come over the event log: what was sent, landing it, and what must stand in `raw` after any kill.

The child processes of the kill tests land the log (`python -m tests.orchestration.logged WHERE LOG ENTRIES VARIANT`).
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg2

from activation.embedded_redis import EmbeddedRedis
from ingestion.event_log import EventLog, LogError, Received
from ingestion.file_errors import FileError
from ingestion.landing_report import LandingReport
from ingestion.log_chunks import Bounds
from ingestion.normaliser import run_once
from ingestion.redis_log import RedisEventLog
from ingestion.redis_log_writer import RedisLogWriter
from orchestration.duckdb_warehouse import DuckDBConnection, ensure_file
from orchestration.failpoints import failpoints
from orchestration.log_landing import land_log
from orchestration.postgres_connection import PostgresConnection
from orchestration.settings import load_settings
from orchestration.warehouse import Connection
from tests.orchestration.inbox import query

LANDED_AT = datetime(2026, 3, 1, 12)
RECEIVED_AT = datetime(2026, 2, 20, tzinfo=UTC)


def call(id_: str, **changes: Any) -> dict[str, Any]:
    """One track call as an SDK sends it."""
    sent = {"type": "track", "event": "Product Viewed", "messageId": id_, "anonymousId": "a1"}
    return {**sent, "timestamp": "2026-02-19T10:00:00Z", "properties": {"product_id": id_}, **changes}


def batch(
    *calls: dict[str, Any] | bytes, source: str = "web", minutes: int = 0, sent: datetime = RECEIVED_AT, **facts: str
) -> Received:
    """One request with calls (bytes stand for themselves), received some minutes after the first."""
    parts = [each if isinstance(each, bytes) else json.dumps(each).encode() for each in calls]
    body = b'{"sentAt":"%s","batch":[%s]}' % (sent.isoformat().encode(), b",".join(parts))
    received_at = RECEIVED_AT + timedelta(minutes=minutes)
    return Received("segment", source, int(received_at.timestamp() * 1000), body, {"path": "batch", **facts})


@dataclass
class Ledger:
    """What the clients sent, kept on their side, and what must become of it: the first body of an id stands, bad parts are kept aside."""

    parts: int = 0
    bodies: dict[tuple[str, str], str] = field(default_factory=dict)
    refused: list[bytes] = field(default_factory=list)
    conflicts: dict[tuple[str, str, str], bytes] = field(default_factory=dict)

    def add(self, source: str, part: bytes) -> None:
        self.parts += 1
        try:
            sent = json.loads(part)
            key, body = (source, sent["messageId"]), told(sent["properties"])
        except (ValueError, KeyError, TypeError):
            self.refused.append(part)
            return
        if self.bodies.setdefault(key, body) != body:
            self.conflicts.setdefault((*key, body), part)


def told(properties: Any) -> str:
    """Properties in one form."""
    return json.dumps(properties, sort_keys=True)


def traffic(ledger: Ledger, *, requests: int, seed: int, repeats: bool = True) -> Iterator[Received]:
    """Batches of 1 to 20 calls of three sources: 2 % late, 1 % bad; where `repeats`, 5 % sent again later and 1 % another body of an id."""
    chance = random.Random(seed)
    sent: list[tuple[str, bytes]] = []
    for number in range(requests):
        source = chance.choice(["web", "app", "shop"])
        parts: list[bytes] = []
        for position in range(chance.randint(1, 20)):
            id_, draw = f"m{seed}-{number}-{position}", chance.random()
            part = json.dumps(call(id_, timestamp="2019-02-01T00:00:00Z") if draw < 0.02 else call(id_)).encode()
            earlier = [each for name, each in sent[-200:] if name == source and repeats]
            if 0.02 < draw < 0.07 and earlier:
                part = chance.choice(earlier)
            elif 0.07 < draw < 0.08:
                part = json.dumps({"type": "track", "messageId": id_, "userId": "u", "é": draw}).encode()
            elif 0.08 < draw < 0.09 and earlier:
                part = json.dumps(json.loads(chance.choice(earlier)) | {"properties": {"changed": draw}}).encode()
            elif draw > 0.09:
                sent.append((source, part))
            parts.append(part)
            ledger.add(source, part)
        yield batch(*parts, source=source, minutes=number, sent=RECEIVED_AT + timedelta(seconds=chance.randint(0, 900)))


class Logged:
    """An event log with what writes and reads it. Its Redis may be killed and started again."""

    def __init__(self, server: EmbeddedRedis, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.log = RedisEventLog(server.url)

    def collect(self, *requests: Received) -> list[str]:
        """Requests into the log, and normalised; their ids."""
        ids = append(self.server.url, requests)
        normalise_all(self.log)
        return ids

    def restart(self) -> None:
        """Kill Redis and start it again."""
        os.kill(self.server.pid, signal.SIGKILL)
        self.server.stop()
        self.server.start()
        self.log = RedisEventLog(self.server.url)


def append(url: str, requests: Sequence[Received]) -> list[str]:
    """What the collector does: the requests into the log, in their order; their ids."""

    async def all_of_them() -> list[str]:
        writer = RedisLogWriter(url, patience_seconds=60)
        try:
            # one after the other: whose body stands is decided by the log's order
            return [await writer.append(request) for request in requests]
        finally:
            await writer.close()

    return asyncio.run(all_of_them())


def normalise_all(log: EventLog) -> None:
    """What the normaliser does, until nothing is left."""
    while run_once(log):
        pass


@contextmanager
def writing(where: str) -> Iterator[Connection]:
    """The writer's connection to a DuckDB file or a PostgreSQL."""
    if where.startswith("postgresql:"):
        with closing(psycopg2.connect(where)) as native:
            native.autocommit = True
            yield PostgresConnection(native)
        return
    ensure_file(Path(where))
    with duckdb.connect(where) as native:
        native.execute("set timezone = 'UTC'")
        yield DuckDBConnection(native)


def land(
    where: str, log: EventLog, *, entries: int = 20_000, on_step: Callable[[str], None] | None = None, **changes: Any
) -> list[LandingReport]:
    """Land all that the log holds, `entries` requests a chunk."""
    with writing(where) as connection:
        step = on_step or failpoints("log_landing")
        given = {"landed_at": LANDED_AT, "on_step": step, "bounds": Bounds(entries)} | changes
        return list(land_log(connection, log, **given))


def ids(where: str) -> list[str]:
    """Message ids in the order of landing."""
    return [id_ for (id_,) in query(where, "select message_id from raw.events order by landed_seq")]


def check(where: str, ledger: Ledger, log: EventLog) -> None:
    """Nothing that was acknowledged is lost, doubled, made up or changed; the books add up; the reader stands at the log's end."""
    rows = query(where, "select source, message_id, properties, landed_seq from raw.events")
    keys = Counter((source, id_) for source, id_, _, _ in rows)
    stored = {(source, id_): told(json.loads(text) if isinstance(text, str) else text) for source, id_, text, _ in rows}
    faults = {
        "lost": sorted(ledger.bodies.keys() - keys.keys()),
        "duplicated": sorted(key for key, count in keys.items() if count > 1),
        "phantom": sorted(keys.keys() - ledger.bodies.keys()),
        "changed": sorted(key for key in stored.keys() & ledger.bodies.keys() if stored[key] != ledger.bodies[key]),
    }
    assert not any(faults.values()), {name: len(found) for name, found in faults.items()}
    assert len({seq for *_, seq in rows}) == len(rows)
    assert kept_aside(where, "<> 'conflicting_body'") == sorted(ledger.refused)
    assert kept_aside(where, "= 'conflicting_body'") == sorted(ledger.conflicts.values())
    check_books(where)
    assert query(where, "select sum(rows_read) from raw.landings") == [(ledger.parts,)]
    state = log.state()
    assert query(where, "select epoch, position from raw.log_positions") == [(state.epoch, state.last_normalized)]
    assert set(log.positions().values()) == {state.last_normalized}
    assert state.raw_entries == state.normalized_entries == 0


def kept_aside(where: str, reason: str) -> list[bytes]:
    """The bytes of what was refused for such a reason."""
    found = query(where, f"select payload from raw.rejected_events where reason {reason}")
    return sorted(bytes(payload) for (payload,) in found)


def check_books(where: str) -> None:
    """What stands is what the books say, whatever was killed."""
    [(read, accepted, rejected, others)] = query(
        where,
        "select coalesce(sum(rows_read), 0), coalesce(sum(accepted), 0), coalesce(sum(rejected + conflicts), 0), "
        "coalesce(sum(duplicates), 0) from raw.landings",
    ) or [(0, 0, 0, 0)]
    assert read == accepted + rejected + others
    assert (query(where, "select count(*) from raw.events") or [(0,)]) == [(accepted,)]
    assert (query(where, "select count(*) from raw.rejected_events") or [(0,)]) == [(rejected,)]


def main(where: str, url: str, entries: str, variant: str) -> None:
    from tests.orchestration.broken_landings import VARIANTS

    load_settings()  # arms WEFT_CRASH_AT
    log: EventLog = RedisEventLog(url)
    if variant:
        log = VARIANTS[variant](log)
    try:
        land(where, log, entries=int(entries))
    except (FileError, LogError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
