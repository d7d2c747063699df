"""Unmodified Python clients: what they put on the wire becomes every event that they were told of, once."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import pytest

from ingestion.event_log import Received
from ingestion.normalise import normalise
from tests.ingestion.normalise.sent import RECEIVED_AT, identifiers, lines_of

SEGMENT_CALLS = ["identify", "track", "page", "screen", "group", "alias"]


class Recorder:
    """A server that answers 200 and keeps what it was sent, as the collector puts it into the log."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                recorder.keep(self, self.rfile.read(int(self.headers["content-length"])))

            def do_GET(self) -> None:
                recorder.keep(self, b"")

            def log_message(self, format: str, *args: Any) -> None:
                """A test's output needs no access log."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}"

    def keep(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        address = urlsplit(handler.path)
        path = address.path.rsplit("/", 1)[-1]
        kind = "segment" if address.path.startswith("/v1/") else "snowplow"
        facts = {"path": path, "query": address.query, "encoding": handler.headers.get("content-encoding", "")}
        self.received.append(Received(kind, "shop", RECEIVED_AT, body, facts))
        handler.send_response(200)
        handler.send_header("content-length", "2")
        handler.end_headers()
        handler.wfile.write(b"{}")

    def lines(self) -> list[dict[str, Any]]:
        """All lines of all requests, of which none may be refused."""
        lines = []
        for number, request in enumerate(self.received):
            normalized = normalise(request, f"{number}-0")
            assert not normalized.refused
            lines += lines_of(normalized)
        return lines


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    recorder = Recorder()
    thread = threading.Thread(target=recorder.server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield recorder
    recorder.server.shutdown()
    recorder.server.server_close()
    thread.join()


def call_all(client: Any) -> None:
    client.identify("u1", {"email": "ann@example.com", "age": 30}, anonymous_id="a1")
    client.track("u1", "Order Completed", {"order_id": "o1", "total": 19.9, "currency": "EUR"})
    client.page("u1", "Docs", "Home", {"url": "https://shop.example"})
    client.screen("u1", "Shop", "Cart")
    client.group("u1", "g1", {"name": "ACME", "email": "office@example.com"})
    client.alias("a1", "u1")
    client.flush()
    client.join()


@pytest.mark.parametrize("gzip", [True, False])
@pytest.mark.parametrize("library", ["segment.analytics.client", "rudderstack.analytics.client"])
def test_segments_and_rudderstacks_python_clients(recorder: Recorder, library: str, gzip: bool) -> None:
    module = pytest.importorskip(library)
    call_all(module.Client("key", host=recorder.url, gzip=gzip, upload_interval=0.05, timeout=5))
    lines = recorder.lines()
    assert sorted(line["type"] for line in lines) == sorted(SEGMENT_CALLS)
    of = {line["type"]: line for line in lines}
    assert identifiers(of["identify"]) == [("email", "ann@example.com")]
    assert of["identify"]["traits"] == {"email": "ann@example.com", "age": 30}
    assert of["track"]["properties"] == {"order_id": "o1", "total": 19.9, "currency": "EUR"}
    assert (of["page"]["event"], of["page"]["properties"]["category"]) == ("Home", "Docs")
    assert identifiers(of["group"]) == [] and of["group"].get("traits", {}) == {}
    assert (of["alias"]["user_id"], of["alias"]["anonymous_id"]) == ("u1", "a1")
    assert len({line["message_id"] for line in lines}) == len(lines)
    assert all(line["sent_at"] and line["original_timestamp"] for line in lines)
    assert all("ip" not in line["context"] for line in lines)


@pytest.mark.parametrize("method", ["post", "get"])
@pytest.mark.parametrize("encode_base64", [True, False])
def test_snowplows_python_tracker(recorder: Recorder, method: str, encode_base64: bool) -> None:
    snowplow = pytest.importorskip("snowplow_tracker")
    emitter = snowplow.Emitter("127.0.0.1", protocol="http", port=recorder.port, method=method, batch_size=1)
    subject = snowplow.Subject().set_user_id("u1").set_domain_user_id("cookie-1").set_lang("de")
    tracker = snowplow.Tracker("sp", emitter, app_id="shop", subject=subject, encode_base64=encode_base64)
    described = snowplow.SelfDescribingJson(
        "iglu:com.acme/stock_asked/jsonschema/1-0-0", {"sku": "ü>?~", "email": "ann@example.com"}
    )
    tracker.track(snowplow.PageView("https://shop.example/?utm_source=news", "Home"))
    tracker.track(snowplow.PagePing("https://shop.example/", "Home", min_x=0, max_x=10))
    tracker.track(snowplow.StructuredEvent("shop", "add-to-basket", "green", value=2))
    tracker.track(snowplow.SelfDescribing(described))
    tracker.track(snowplow.ScreenView("id-1", "Cart"))
    tracker.flush()
    lines = recorder.lines()
    assert [(line["type"], line.get("event")) for line in lines] == [
        ("page", "Home"), ("track", "Page Pinged"), ("track", "add-to-basket"), ("track", "stock_asked"), ("screen", "Cart"),
    ]  # fmt: skip
    assert {(line["user_id"], line["anonymous_id"]) for line in lines} == {("u1", "cookie-1")}
    assert lines[3]["properties"] == {"sku": "ü>?~", "email": "ann@example.com"}
    assert identifiers(lines[3]) == [("email", "ann@example.com")]
    assert len({line["message_id"] for line in lines}) == len(lines)
    assert all(line["original_timestamp"] and line["sent_at"] for line in lines)
