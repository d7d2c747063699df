"""`weft replay` of parts of requests, and a replay that is killed: on both targets, from a real log."""

import asyncio
import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from activation.embedded_redis import EmbeddedRedis
from ingestion.event_log import BEGINNING, Normalized, NormalizedEntry, Received
from ingestion.log_entries import raw_fields
from ingestion.mappings import load_mapping
from ingestion.normaliser import run_once
from ingestion.redis_log import RedisEventLog
from ingestion.redis_log_writer import RedisLogWriter
from orchestration.collecting import land_file
from orchestration.log_landing import land_log
from orchestration.log_passes import use_source_settings
from orchestration.replaying import ReplayReport, Selection, replay
from orchestration.resources import Platform
from orchestration.warehouse import Connection
from tests.ingestion.landings import LANDED_AT, ndjson
from tests.orchestration.replayed import EVENTS, LATER, check_books, empty_platform, everything, know_currency, writer

ROOT = Path(__file__).resolve().parents[2]
RECEIVED_AT = 1_772_000_000_000  # 2026-02-25


@pytest.fixture(params=["duckdb", "postgres"])
def platform(request: pytest.FixtureRequest, tmp_path: Path) -> Platform:
    """An empty installation on each target, whose sources this process normalises by."""
    made = empty_platform(request, tmp_path)
    use_source_settings(made)
    return made


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("log"), maxmemory_mb=64) as running:
        yield running


@pytest.fixture
def log(server: EmbeddedRedis) -> Iterator[RedisEventLog]:
    with server.client() as client:
        client.flushall()
    opened = RedisEventLog(server.url)
    yield opened
    opened.close()


def send(server: EmbeddedRedis, *requests: Received) -> list[str]:
    async def append() -> list[str]:
        writer = RedisLogWriter(server.url)
        try:
            return [await writer.append(request) for request in requests]
        finally:
            await writer.close()

    return asyncio.run(append())


def landed(connection: Connection, log: RedisEventLog) -> None:
    while run_once(log):
        pass
    for _ in land_log(connection, log, landed_at=LANDED_AT):
        pass


def again(connection: Connection, now: datetime = LATER) -> ReplayReport:
    return replay(connection, Selection(), now=now)


def order(**changes: Any) -> dict[str, Any]:
    """A call without a message id whose currency nobody knows yet."""
    call = {"type": "track", "event": "Order Completed", "userId": "u", "timestamp": "2026-02-20T10:00:00Z"}
    return call | {"properties": {"order_id": "1", "revenue": 5, "currency": "XTS"}} | changes


BATCH = [
    order(messageId="m"),
    order(timestamp=None, userId="minted"),
    order(messageId="good", properties={}),
    {"type": "unheard of", "userId": "u"},
]


def batch(source: str = "web", **facts: str) -> Received:
    body = json.dumps({"batch": BATCH, "sentAt": "2026-02-20T10:00:00Z"}).encode()
    compressed = gzip.compress(body, mtime=0) if facts.get("encoding") else body
    return Received("segment", source, RECEIVED_AT, compressed, {"path": "batch", **facts})


def test_refused_parts_land_as_if_they_had_been_good_from_the_start(
    platform: Platform, server: EmbeddedRedis, log: RedisEventLog
) -> None:
    send(server, batch(), batch("app", encoding="gzip"))
    with writer(platform) as connection:
        landed(connection, log)
        before = everything(connection)
        assert dict(again(connection).refused) == {"unknown_currency": 4, "unknown_type": 2}
        assert everything(connection) == before
        know_currency(connection)
        report = again(connection)
        assert (report.settled, report.accepted, dict(report.refused)) == (4, 4, {"unknown_type": 2})
        check_books(connection)
        replayed, settled = connection.rows(EVENTS), everything(connection)
        assert len(replayed) == 6
        again(connection)
        assert everything(connection) == settled
        for table in ("raw.events", "raw.log_positions"):
            connection.execute(f"delete from {table}")
        # the same requests under the same ids, landed now that the currency is known
        log.new_epoch()
        with server.client() as client:
            client.delete("events.normalized", "events.raw")
        resend(server, connection)
        landed(connection, log)
        assert connection.rows(EVENTS) == replayed


def resend(server: EmbeddedRedis, connection: Connection) -> None:
    entries = {
        origin.rpartition("/")[2]: source
        for origin, source in connection.rows("select origin, source from raw.rejected_events")
    }
    with server.client() as client:
        for entry, source in sorted(entries.items()):
            fields = raw_fields(batch() if source == "web" else batch("app", encoding="gzip"))
            client.xadd("events.raw", dict(zip(fields[::2], fields[1::2], strict=True)), id=entry)


def receipt(id_: str, currency: str = "EUR") -> dict[str, Any]:
    item = {"product_id": "p", "price": "2.50", "quantity": 1}
    return {
        "receipt_id": id_,
        "sold_at": "2026-02-20T10:00:00Z",
        "currency": currency,
        "total": "2.50",
        "items": [item],
    }


def test_a_request_that_was_refused_as_a_whole_falls_into_its_parts(
    platform: Platform, server: EmbeddedRedis, log: RedisEventLog
) -> None:
    """A mistake in a source's file keeps all of its requests out; with the mend some parts land, the others are refused by themselves."""
    file = platform.settings.home / "sources" / "till.yml"
    file.parent.mkdir()
    file.write_text("pos: {receipts: [wrong]}")
    body = json.dumps({"receipts": [receipt("1"), receipt("2", "XTS"), receipt("3")]}).encode()
    send(server, Received("pos", "till", RECEIVED_AT, body, {}))
    with writer(platform) as connection:
        landed(connection, log)
        reasons = "select reason, row_number, replayed_at is not null from raw.rejected_events order by rejected_at, row_number"
        assert connection.rows(reasons) == [("bad_source_settings", 1, False)]
        file.unlink()
        report = again(connection)
        assert (report.taken, report.settled, report.accepted) == (1, 1, 2)
        assert connection.rows(reasons) == [("bad_source_settings", 1, True), ("unknown_currency", 2, False)]
        know_currency(connection)
        assert again(connection, now=LATER + timedelta(hours=1)).accepted == 1
        assert connection.rows("select count(*), count(distinct message_id) from raw.events") == [(3, 3)]
        check_books(connection)


def test_webhooks_that_a_broken_file_kept_out_become_products_and_privacy_requests(
    platform: Platform, server: EmbeddedRedis, log: RedisEventLog
) -> None:
    file = platform.settings.home / "sources" / "shop.yml"
    file.parent.mkdir()
    file.write_text("currency: [")
    product = {"id": 7, "title": "Mug", "updated_at": "2026-02-20T10:00:00Z", "variants": [{"price": "2.50"}]}
    person = {"id": 5, "email": "ann@example.com"}
    redact = {"shop_id": 1, "shop_domain": "a.example", "customer": person, "orders_to_redact": [1]}
    bodies = {"products/update": product, "customers/redact": redact}
    send(
        server,
        *(
            Received("shopify", "shop", RECEIVED_AT, json.dumps(body).encode(), {"topic": topic})
            for topic, body in bodies.items()
        ),
    )
    with writer(platform) as connection:
        landed(connection, log)
        counts = "select (select count(*) from raw.products), (select count(*) from raw.privacy_requests)"
        [before] = connection.rows(counts)
        [(refused,)] = connection.rows("select count(*) from raw.rejected_events")
        assert sum(before) + refused == 2
        assert refused
        file.write_text("currency: EUR")
        assert again(connection).settled == refused
        assert connection.rows(counts) == [(1, 1)]
        assert connection.rows("select product_id, currency from raw.products") == [("7", "EUR")]


def test_several_refused_lines_of_one_part_are_one_refused_row(
    platform: Platform, server: EmbeddedRedis, log: RedisEventLog
) -> None:
    [entry] = send(
        server, Received("segment", "web", RECEIVED_AT, json.dumps(order(messageId="a")).encode(), {"path": "track"})
    )
    run_once(log)
    [normalised] = log.read_normalized(BEGINNING, limit=1)
    line = normalised.normalized.events
    with server.client() as client:
        client.delete("events.normalized")
    twice = Normalized(events=line + line.replace(b'"message_id":"a"', b'"message_id":"b"'))
    log.write_normalized([NormalizedEntry(entry, twice)])
    with writer(platform) as connection:
        landed(connection, log)
        assert connection.rows("select count(*), count(distinct reject_id) from raw.rejected_events") == [(1, 1)]
        assert connection.rows("select rows_read, rejected, duplicates from raw.landings") == [(2, 1, 1)]


@pytest.mark.parametrize("step", ["before_commit", "committed"])
def test_a_replay_that_is_killed_leaves_whole_chunks_and_the_next_does_the_rest(
    platform: Platform, tmp_path: Path, step: str
) -> None:
    refuse_nine(platform, tmp_path)
    on_pass = 1 if step == "committed" else 2
    assert killed(platform, f"replay.{step}:{on_pass}") == -signal.SIGKILL
    with writer(platform) as connection:
        assert connection.rows(LANDED_AND_SETTLED) == [(4, 4)]
        check_books(connection)
        assert again(connection).settled == 5
        assert connection.rows(LANDED_AND_SETTLED) == [(9, 9)]
        assert connection.rows("select count(distinct message_id) from raw.events") == [(9,)]
        check_books(connection)


@pytest.mark.parametrize("platform", ["duckdb"], indirect=True)
def test_rows_marked_in_a_transaction_of_their_own_would_be_found_out(platform: Platform, tmp_path: Path) -> None:
    refuse_nine(platform, tmp_path)
    broken = (
        "w = replaying._Chunk._write; replaying._Chunk._write = lambda self, each: "
        "(self._settle(), self.target.run('commit'), self.target.run('begin'), w(self, each)); "
    )
    assert killed(platform, "replay.rows_written:2", broken) == -signal.SIGKILL
    with writer(platform) as connection:
        [(landed_rows, settled)] = connection.rows(LANDED_AND_SETTLED)
    assert landed_rows < settled


LANDED_AND_SETTLED = (
    "select (select count(*) from raw.events), (select count(*) from raw.rejected_events where replayed_at is not null)"
)


def refuse_nine(platform: Platform, folder: Path) -> None:
    """Nine orders in a currency that nobody knew when they came."""
    path = folder / "calls.ndjson"
    path.write_bytes(ndjson(*(order(messageId=str(n)) for n in range(9))))
    with writer(platform) as connection:
        land_file(connection, path=path, mapping=load_mapping("segment"), landed_at=LANDED_AT)
        know_currency(connection)


def killed(platform: Platform, crash_at: str, variant: str = "") -> int:
    """A replay in chunks of four rows, in a process of its own that kills itself."""
    settings = platform.settings
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "WEFT_HOME": str(settings.home),
        "WEFT_TARGET": settings.target,
        "WEFT_CRASH_AT": crash_at,
        "WEFT_ALLOW_CRASHES": "1",
    }
    if settings.postgres_url:
        environment["WEFT_POSTGRES_URL"] = settings.postgres_dsn
    script = (
        "from orchestration import replaying; from orchestration.resources import build_platform; "
        f"from orchestration.state import utc_now; replaying.CHUNK_ROWS = 4; {variant}p = build_platform(); c = p.warehouse.writer(); "
        "replaying.replay(c.__enter__(), replaying.Selection(), now=utc_now())"
    )
    return subprocess.run([sys.executable, "-c", script], env=environment, check=False, timeout=300).returncode
