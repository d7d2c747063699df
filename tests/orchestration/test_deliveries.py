"""An event delivered again is the same event, whenever and from wherever it comes; another body under its id is a conflict."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ingestion.event_log import Received
from ingestion.landing_report import LandingReport
from ingestion.log_chunks import Bounds
from ingestion.mappings import load_mapping
from orchestration.collecting import ensure_raw_tables, land_file
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.log_landing import land_log
from orchestration.warehouse import Connection
from tests.ingestion.webhooks.payloads import ORDER, WOO_ORDER, body_of
from tests.orchestration.logged import LANDED_AT, Logged, writing

NOON = datetime(2026, 2, 20, 12, tzinfo=UTC)
SEGMENT = {"type": "track", "event": "Product Viewed", "messageId": "m1", "userId": "u1"}
SNOWPLOW = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
SHAPES = ("batch", "browser", "timeless", "exported", "mini", "snowplow", "twilio", "shopify", "woocommerce")
NAMED = SHAPES[:7]
"""Those whose sender gives the id; a shop's webhook has one of what it says."""


class Delivery(NamedTuple):
    """One try of a sender to tell of an event: seconds after noon when it was sent and received, from where, and which body."""

    shape: str
    sent: int
    received: int
    ip: str
    body: int = 0

    def request(self) -> Received:
        received_at = int(NOON.timestamp() * 1000) + self.received * 1000
        facts = {"ip": self.ip, "user_agent": f"browser {self.ip}"}
        kind, source, body, more = self._content(instant(self.sent))
        return Received(kind, source, received_at, body, facts | more)

    def _content(self, sent_at: str) -> tuple[str, str, bytes, dict[str, str]]:
        happened, told = instant(-60), {"product_id": "p1", "n": self.body}
        call: dict[str, Any] = SEGMENT | {"messageId": self.shape, "properties": told}
        timed, sent = call | {"timestamp": happened}, {"sentAt": sent_at}
        browser = timed | sent | {"context": {"library": {"name": "weft.js"}}}
        exported = call | sent | {"originalTimestamp": happened, "timestamp": instant(self.sent - 70)}
        mini = {"event_type": "Scanned", "user_id": "u1", "message_id": "mini", "properties": told}
        snowplow = {"e": "se", "se_ca": "c", "se_ac": "a", "se_va": str(self.body), "eid": "snow", "p": "web"}
        snowplow |= {"dtm": milliseconds(happened), "stm": milliseconds(sent_at), "duid": "cookie"}
        form = b"MessageSid=SM1&From=whatsapp%%3A%%2B491511234567&To=whatsapp%%3A%%2B49301234&Body=%d" % self.body
        contents: dict[str, tuple[str, str, Any, dict[str, str]]] = {
            "batch": ("segment", "web", {"batch": [timed], **sent}, {"path": "batch"}),
            "browser": ("segment", "web", browser, {"path": "t", "origin": "https://shop.example"}),
            "timeless": ("segment", "web", call | sent, {"path": "track"}),
            "exported": ("segment", "web", exported, {"path": "track"}),
            "mini": ("mini", "web", mini | {"occurred_at": happened, "sent_at": sent_at}, {"path": "track"}),
            "snowplow": ("snowplow", "web", {"schema": SNOWPLOW, "data": [snowplow]}, {"path": "tp2"}),
            "shopify": ("shopify", "shop", ORDER | {"note": str(self.body)}, {"topic": "orders/create"}),
            "woocommerce": ("woocommerce", "woo", WOO_ORDER | {"number": str(self.body)}, {"topic": "order.created"}),
            "twilio": ("twilio", "whatsapp", form, {}),
        }
        kind, source, content, facts = contents[self.shape]
        return kind, source, content if isinstance(content, bytes) else body_of(content), facts


def instant(seconds: int) -> str:
    """Seconds after noon as an ISO 8601 text."""
    return datetime.fromtimestamp(NOON.timestamp() + seconds, UTC).isoformat().replace("+00:00", "Z")


def milliseconds(text: str) -> str:
    return str(int(datetime.fromisoformat(text).timestamp() * 1000))


@contextmanager
def memory() -> Iterator[Connection]:
    """An empty warehouse that goes again."""
    with duckdb.connect() as native:
        native.execute("set timezone = 'UTC'")
        yield DuckDBConnection(native)


def land(connection: Connection, logged: Logged, entries: int = 1000) -> list[LandingReport]:
    return list(land_log(connection, logged.log, landed_at=LANDED_AT, bounds=Bounds(entries)))


def empty(logged: Logged) -> None:
    with logged.server.client() as client:
        client.flushall()


DELIVERIES = st.builds(
    Delivery,
    st.sampled_from(SHAPES),
    st.integers(-59, 80_000),
    st.integers(0, 600_000),
    st.sampled_from(["192.0.2.1", "2001:db8::1"]),
    st.just(0),
)
# each example lands in a warehouse and a log of its own
EXAMPLES = settings(
    max_examples=12,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@EXAMPLES
@given(
    runs=st.lists(st.lists(DELIVERIES, min_size=1, max_size=12), min_size=1, max_size=3),
    entries=st.integers(1, 12),
)
def test_however_often_and_whenever_it_is_delivered_it_lands_once(
    logged: Logged, runs: list[list[Delivery]], entries: int
) -> None:
    empty(logged)
    with memory() as connection:
        reports = []
        for run in runs:
            logged.collect(*(delivery.request() for delivery in run))
            reports += land(connection, logged, entries)
        rows = connection.rows("select source || '/' || message_id, known_at from raw.events order by landed_seq")
        refused = connection.rows("select reason, detail, origin from raw.rejected_events")
    assert refused == []
    assert sum(report.conflicts for report in reports) == 0
    first = {delivery.shape: delivery for run in reversed(runs) for delivery in reversed(run)}
    assert len(rows) == len({key for key, _ in rows}) >= len(first)
    times = {
        datetime.fromtimestamp(NOON.timestamp() + each.received, UTC).replace(tzinfo=None) for each in first.values()
    }
    assert {known_at for _, known_at in rows} == times


@EXAMPLES
@given(
    shape=st.sampled_from(NAMED),
    bodies=st.lists(st.integers(0, 3), min_size=2, max_size=10),
    sent=st.lists(st.integers(-59, 80_000), min_size=10, max_size=10),
    entries=st.integers(1, 12),
)
def test_another_body_is_a_conflict_that_is_counted_once_and_kept_with_its_bytes(
    logged: Logged, shape: str, bodies: list[int], sent: list[int], entries: int
) -> None:
    empty(logged)
    deliveries = [Delivery(shape, sent[n], 100_000 + n, "192.0.2.1", body) for n, body in enumerate(bodies)]
    with memory() as connection:
        logged.collect(*(delivery.request() for delivery in deliveries))
        reports = land(connection, logged, entries)
        rejects = connection.rows("select reason, payload, received_at from raw.rejected_events order by received_at")
        events = connection.rows("select count(*) from raw.events")
    others = [delivery for n, delivery in enumerate(deliveries) if delivery.body not in bodies[:n]][1:]
    [(parts,)] = events
    assert sum(report.accepted for report in reports) == parts
    assert sum(report.conflicts for report in reports) == len(others) * parts
    assert {reason for reason, *_ in rejects} <= {"conflicting_body"}
    for (_, payload, _), delivery in zip(rejects, (other for other in others for _ in range(parts)), strict=True):
        body = delivery.request().body
        assert payload == (body if shape not in ("batch", "snowplow") else payload)
        assert payload in body


def exported(folder: Path, name: str, *calls: dict[str, Any]) -> Path:
    """A file of calls as Segment exports them."""
    path = folder / name
    path.write_text("".join(json.dumps(each) + "\n" for each in calls))
    return path


EXPORT = {
    **SEGMENT, "messageId": "browser", "properties": {"n": 0.0, "product_id": "p1"}, "context": {"library": {"name": "weft.js"}},
    "originalTimestamp": "2026-02-20T11:59:00.000Z", "timestamp": "2026-02-20T11:58:57Z", "receivedAt": "2026-02-20T12:00:02Z",
}  # fmt: skip


@pytest.mark.parametrize("first", ["log", "file"])
def test_the_same_event_over_http_and_from_an_export_is_one(
    where: str, logged: Logged, tmp_path: Path, first: str
) -> None:
    mapping = load_mapping("segment").model_copy(update={"source": "web"})
    changed = EXPORT | {"messageId": "timeless", "properties": {"product_id": "p2"}}
    path = exported(tmp_path, "export.ndjson", EXPORT, changed)
    logged.collect(
        Delivery("browser", 5, 10, "192.0.2.1").request(), Delivery("timeless", 5, 10, "192.0.2.1").request()
    )
    with writing(where) as connection:
        ensure_raw_tables(connection)
        for way in ("log", "file") if first == "log" else ("file", "log"):
            if way == "log":
                [report] = land(connection, logged)
            else:
                report = land_file(connection, path=path, mapping=mapping, landed_at=LANDED_AT)
        assert (report.accepted, report.duplicates, report.conflicts) == (0, 1, 1)
        [(kept,)] = connection.rows("select known_at from raw.events where message_id = 'browser'")
    assert kept == datetime(2026, 2, 20, 12, 0, 10 if first == "log" else 2)


def test_files_are_compared_with_files_to_the_letter(tmp_path: Path) -> None:
    mapping = load_mapping("segment").model_copy(update={"source": "web"})
    again = EXPORT | {"receivedAt": "2026-02-20T12:00:03Z"}
    with memory() as connection:
        ensure_raw_tables(connection)
        reports = [
            land_file(connection, path=exported(tmp_path, name, row), mapping=mapping, landed_at=LANDED_AT)
            for name, row in (("a.ndjson", EXPORT), ("b.ndjson", again))
        ]
    assert [(report.accepted, report.conflicts) for report in reports] == [(1, 0), (0, 1)]
