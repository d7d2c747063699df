"""Who may send, how much at a time and in a second, and what a sender is told where the log takes nothing."""

import base64
import gzip
import json
import logging

import pytest

from ingestion.collector.app import create_app
from ingestion.collector.settings import CollectorSettings, KeyFacts, KeysUnreadableError, Limits
from ingestion.event_log import LogError, LogFullError, LogUnavailableError, UnsafeLogError
from tests.ingestion.collector.senders import KEY, REVOKED_KEY, SLOW_KEY, UPLOAD_KEY, Client, Keys, MemoryLog

EVENT = b'{"userId": "u-1", "event": "x"}'


def basic(user: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(user.encode()).decode()}


@pytest.mark.parametrize("user", [KEY, KEY + ":", KEY + ":ignored"])
def test_the_key_is_the_user_of_basic_authentication_with_or_without_colon(client: Client, user: str) -> None:
    assert client.post("/v1/track", content=EVENT, headers=basic(user)).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer token"}, basic(":")], ids=["none", "bearer", "no user"]
)
def test_or_the_key_is_in_the_body(client: Client, headers: dict[str, str]) -> None:
    for path, body in (("/v1/track", {"writeKey": KEY}), ("/v1/batch", {"batch": [], "writeKey": KEY})):
        assert client.post(path, json=body, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        basic("wk_unknown"),
        basic(REVOKED_KEY),
        basic(KEY + " "),
        basic("k" * 10_000),
        {"authorization": "Basic"},
        {"authorization": "Basic %%%"},
        {"authorization": "Basic Zm9v="},
        {"authorization": "Basic \xff\xfe"},
        {"authorization": "Basic " + base64.b64encode(b"\xff\xfe").decode()},
        {"authorization": "\xe9"},
    ],
    ids=range(11),
)
def test_missing_unknown_revoked_and_broken_keys_are_refused_alike(
    client: Client, log: MemoryLog, headers: dict[str, str]
) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = client.post("/v1/track", content=EVENT, headers=raw)
    assert answer.status_code == 401
    body = answer.json()
    body.pop("request_id")
    assert body == {
        "success": False,
        "code": "invalid_write_key",
        "message": "The write key is missing, unknown or revoked; send it as the user of HTTP Basic authentication.",
    }
    assert not answer.headers["www-authenticate"].startswith("Basic"), "a browser would ask the shopper for a password"
    assert log.entries == []


@pytest.mark.parametrize("key", ["5", "null", "{}", '"\\ud800"', "1e999", '"wk_unknown"'], ids=range(6))
def test_what_is_no_key_in_a_body_is_refused(client: Client, key: str) -> None:
    assert client.post("/v1/track", content=b'{"writeKey": %b}' % key.encode()).status_code == 401


def test_a_key_for_uploads_sends_no_events(client: Client, log: MemoryLog) -> None:
    assert client.post("/v1/track", content=EVENT, headers=basic(UPLOAD_KEY)).status_code == 403
    assert log.entries == []


def test_a_key_is_looked_up_once_in_a_while_and_a_revoked_one_ends_soon(keys: Keys, log: MemoryLog) -> None:
    slow, at_once = (
        Client(create_app(CollectorSettings(keys=keys, key_cache_seconds=seconds), log)) for seconds in (60.0, 0.0)
    )
    for _ in range(5):
        assert slow.post("/v1/track", content=EVENT, headers=basic(KEY)).status_code == 200
        assert slow.post("/v1/track", content=EVENT, headers=basic("nobody")).status_code == 401
    assert keys.asked == 2
    keys.revoked.add(KEY)
    assert at_once.post("/v1/track", content=EVENT, headers=basic(KEY)).status_code == 401
    slow.close()
    at_once.close()


def test_the_key_ring_is_never_shown_a_key() -> None:
    seen: list[str] = []

    class Ring:
        async def source_of(self, key_hash: str) -> KeyFacts | None:
            seen.append(key_hash)
            return None

    client = Client(create_app(CollectorSettings(keys=Ring()), MemoryLog()))
    client.post("/v1/track", content=EVENT, headers=basic(KEY))
    client.close()
    assert [len(digest) for digest in seen] == [64]
    assert KEY not in str(seen)


def test_keys_that_cannot_be_looked_up_make_senders_wait_and_are_asked_for_again(log: MemoryLog) -> None:
    class Ring(Keys):
        async def source_of(self, key_hash_: str) -> KeyFacts | None:
            found = await super().source_of(key_hash_)
            if self.asked == 1:
                raise KeysUnreadableError
            return found

    client = Client(create_app(CollectorSettings(keys=Ring()), log))
    answers = [client.post("/v1/track", content=EVENT, headers=basic(KEY)) for _ in range(2)]
    client.close()
    assert [answer.status_code for answer in answers] == [503, 200]
    assert (answers[0].json()["code"], answers[0].headers["retry-after"]) == ("keys_unreadable", "5")


def test_a_source_above_its_limit_waits_and_others_do_not(client: Client, log: MemoryLog) -> None:
    batch = json.dumps({"batch": [{}] * 30}).encode()
    assert client.post("/v1/batch", content=batch, headers=basic(SLOW_KEY)).status_code == 200, "a batch is never cut"
    refused = client.post("/v1/track", content=EVENT, headers=basic(SLOW_KEY))
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many_events")
    assert refused.headers["retry-after"] == refused.headers["x-ratelimit-reset"] == "4"
    assert client.post("/v1/track", content=EVENT, headers=basic(KEY)).status_code == 200
    assert [entry.source for entry in log.entries] == ["slow", "shop"]


def sized(size: int) -> bytes:
    body = b'{"userId": "u-1", "pad": "'
    return body + b"x" * (size - len(body) - 2) + b'"}'


def batch_of(size: int, event: bytes = sized(20_000)) -> bytes:
    room = size - len(b'{"batch": []}')
    events = [event] * ((room - 100) // (len(event) + 1))
    events.append(sized(room - sum(len(event) + 1 for event in events)))
    body = b'{"batch": [%b]}' % b",".join(events)
    assert len(body) == size
    return body


@pytest.mark.parametrize(("size", "status"), [(32_767, 200), (32_768, 200), (32_769, 400), (50_000, 400)])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_an_event_may_have_32_kilobytes(
    client: Client, log: MemoryLog, size: int, status: int, is_compressed: bool
) -> None:
    for path, expected in (("/v1/track", status), ("/track", 413 if status == 400 else 200)):
        body, headers = sized(size), basic(KEY)
        if is_compressed:
            body, headers = gzip.compress(body, mtime=0), headers | {"content-encoding": "gzip"}
        assert client.post(path, content=body, headers=headers).status_code == expected
    assert len(log.entries) == (2 if status == 200 else 0)


@pytest.mark.parametrize(("size", "is_taken"), [(32_768, True), (32_769, False)])
def test_in_a_batch_a_larger_one_alone_is_put_aside(client: Client, log: MemoryLog, size: int, is_taken: bool) -> None:
    event = b'{"type": "identify", ' + sized(size - len(b'"type": "identify", '))[1:]
    body = b'{"batch": [%b, %b]}' % (event, sized(100).replace(b"{", b'{"type": "identify", '))
    answer = client.post("/v1/batch?verbose=1", content=body, headers=basic(KEY))
    assert answer.status_code == 200
    assert [(result["ok"], result.get("reason")) for result in answer.json()["results"]] == [
        (is_taken, None if is_taken else "oversize"), (True, None),
    ]  # fmt: skip
    [entry] = log.entries
    assert entry.body == body


@pytest.mark.parametrize(("size", "status"), [(511_999, 200), (512_000, 200), (512_001, 400)])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_batch_may_have_500_kilobytes(
    client: Client, log: MemoryLog, size: int, status: int, is_compressed: bool
) -> None:
    body, headers = batch_of(size), basic(KEY)
    if is_compressed:
        body, headers = gzip.compress(body, mtime=0), headers | {"content-encoding": "gzip"}
    assert client.post("/v1/batch", content=body, headers=headers).status_code == status
    assert len(log.entries) == (status == 200)


@pytest.mark.parametrize(("size", "status"), [(1_048_576, 200), (1_048_577, 400)])
@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_snowplow_payload_may_have_a_mebibyte(
    client: Client, log: MemoryLog, size: int, status: int, is_compressed: bool
) -> None:
    body, headers = b'{"data": [{"e": "pv", "url": "' + b"x" * (size - 34) + b'"}]}', {}
    assert len(body) == size
    if is_compressed:
        body, headers = gzip.compress(body, mtime=0), {"content-encoding": "gzip"}
    answer = client.post("/com.snowplowanalytics.snowplow/tp2", content=body, headers=headers)
    assert answer.status_code == status, "on a 413 its trackers send the same again for ever"
    assert len(log.entries) == (status == 200)


@pytest.mark.parametrize(("count", "status"), [(2_499, 200), (2_500, 200), (2_501, 400)])
def test_a_batch_may_have_2500_events(client: Client, log: MemoryLog, count: int, status: int) -> None:
    body = json.dumps({"batch": [{}] * count, "data": [{}] * count}).encode()
    for path in ("/v1/batch", "/com.snowplowanalytics.snowplow/tp2"):
        assert client.post(path, content=body, headers=basic(KEY)).status_code == status
    assert len(log.entries) == (2 if status == 200 else 0)


def test_a_body_without_a_length_is_counted_as_it_comes(client: Client, log: MemoryLog) -> None:
    sent = 0

    async def endless() -> object:
        nonlocal sent
        while True:
            sent += 10_000
            yield b"x" * 10_000

    assert client.post("/v1/track", content=endless(), headers=basic(KEY)).status_code == 400
    assert sent <= 60_000
    assert log.entries == []


def test_what_is_being_received_has_a_bound_of_its_own(keys: Keys, log: MemoryLog) -> None:
    client = Client(create_app(CollectorSettings(keys=keys, limits=Limits(bodies_in_memory_bytes=25_000)), log))

    async def parts() -> object:
        yield b'{"a": "'
        yield b"x" * 30_000
        yield b'"}'

    answer = client.post("/v1/track", content=parts(), headers=basic(KEY))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert client.post("/v1/track", content=EVENT, headers=basic(KEY)).status_code == 200, "the room was given back"
    client.close()


@pytest.mark.parametrize("path", ["/v1/batch", "/v1/track", "/track", "/com.snowplowanalytics.snowplow/tp2"])
def test_a_gzip_bomb_is_not_unpacked(client: Client, log: MemoryLog, path: str) -> None:
    bomb = gzip.compress(b"[" * 300_000_000 if path == "/v1/batch" else b"0" * 30_000_000, 9, mtime=0)
    answer = client.post(path, content=bomb, headers=basic(KEY) | {"content-encoding": "gzip"})
    assert answer.json()["code"] == "too_large"
    many = gzip.compress(b"", mtime=0) * 1_000
    assert client.post(path, content=many, headers=basic(KEY) | {"content-encoding": "gzip"}).status_code == 400
    assert log.entries == []


FAILURES = {"log_full": LogFullError, "log_unavailable": LogUnavailableError, "log_unsafe": UnsafeLogError}


@pytest.mark.parametrize("code", FAILURES)
def test_nothing_is_acknowledged_that_the_log_did_not_take(client: Client, log: MemoryLog, code: str) -> None:
    failure: LogError = FAILURES[code]("canary@example.com")
    log.failure = failure
    for method, path, content in (
        ("POST", "/v1/track", EVENT),
        ("POST", "/v1/batch?verbose=1", b'{"batch": []}'),
        ("POST", f"/beacon/v1/batch?writeKey={KEY}", b'{"batch": []}'),
        ("POST", "/track", EVENT),
        ("POST", "/com.snowplowanalytics.snowplow/tp2", b'{"data": []}'),
        ("GET", "/i?e=pv", b""),
        ("GET", f"/pixel/v1/track?writeKey={KEY}", b""),
        ("GET", "/ready", b""),
    ):
        answer = client.request(method, path, content=content, headers=basic(KEY))
        assert (answer.status_code, answer.json()["code"]) == (503, code)
        assert int(answer.headers["retry-after"]) >= 1
        assert "canary" not in answer.text
    assert client.get("/health").status_code == 200
    assert "weft_collector_log_ready 0.0" in client.get("/metrics").text
    log.failure = None
    assert client.get("/ready").status_code == 200
    assert client.post("/v1/track", content=EVENT, headers=basic(KEY)).status_code == 200


def test_a_mistake_of_ours_is_an_answer_and_a_line_without_what_was_sent(
    client: Client, log: MemoryLog, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails(received: object) -> str:
        raise KeyError("canary@example.com")

    log.append = fails  # type: ignore[method-assign, assignment]
    with caplog.at_level(logging.DEBUG):
        answer = client.post("/v1/track", content=EVENT, headers=basic(KEY))
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "canary" not in answer.text + caplog.text
    assert "KeyError" in caplog.text


def test_metrics_count_requests_events_and_refusals(client: Client) -> None:
    client.post("/v1/batch", json={"batch": [1, 2, 3]}, headers=basic(KEY))
    client.post("/v1/track", content=EVENT, headers=basic(SLOW_KEY))
    client.post("/v1/track", content=b"{", headers=basic(KEY))
    client.get("/nobody@example.com")
    lines = client.get("/metrics").text.splitlines()
    for line in (
        'weft_collector_requests_total{route="/v1/batch",status="200"} 1.0',
        'weft_collector_requests_total{route="other",status="404"} 1.0',
        'weft_collector_events_total{kind="segment",source="shop"} 3.0',
        'weft_collector_events_total{kind="segment",source="slow"} 1.0',
        'weft_collector_refused_total{code="invalid_json"} 1.0',
        "weft_collector_log_entries_total 2.0",
        'weft_collector_request_seconds_count{route="/v1/track"} 2.0',
    ):
        assert line in lines
    assert "example.com" not in "".join(lines)


def test_sources_of_metrics_are_bounded() -> None:
    from ingestion.collector.metrics import Metrics

    metrics = Metrics()
    for number in range(1_500):
        metrics.appended(f"source {number}", "segment", 1)
    text = metrics.text().decode()
    assert text.count("weft_collector_events_total{") == 1_001
    assert 'weft_collector_events_total{kind="segment",source="other"} 500.0' in text


def test_the_access_log_is_off_unless_asked_for_and_then_shows_no_address_query_or_key(
    keys: Keys, log: MemoryLog, caplog: pytest.LogCaptureFixture
) -> None:
    for is_logged in (False, True):
        client = Client(create_app(CollectorSettings(keys=keys, is_access_logged=is_logged), log))
        caplog.clear()
        with caplog.at_level(logging.INFO, logger="weft"):
            client.get(f"/pixel/v1/track?writeKey={KEY}&userId=canary@example.com", headers={"user-agent": "canary"})
            client.get("/canary%0d%0a%1b{}")
            client.post("/v1/track", content=EVENT)
        client.close()
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == (3 if is_logged else 0)
        for line in lines:
            assert set(json.loads(line)) <= {"request", "route", "status", "ms", "refused"}
            assert not any(word in line for word in ("canary", KEY, "203.0.113.9"))


def test_without_a_source_for_snowplow_its_routes_are_not_there(keys: Keys, log: MemoryLog) -> None:
    client = Client(create_app(CollectorSettings(keys=keys), log))
    assert client.post("/com.snowplowanalytics.snowplow/tp2", json={"data": []}).status_code == 404
    assert client.get("/i?e=pv").status_code == 404
    client.close()
    assert log.entries == []


def test_another_path_for_snowplow(keys: Keys, log: MemoryLog) -> None:
    settings = CollectorSettings(keys=keys, snowplow_source="web", snowplow_paths=("/com.shop/events",))
    client = Client(create_app(settings, log))
    assert client.post("/com.shop/events", json={"data": []}).status_code == 200
    client.close()


@pytest.mark.parametrize(
    ("connection", "forwarded", "expected"),
    [
        ("198.51.100.7", "10.9.9.9", "198.51.100.7"),
        ("10.0.0.1", "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.5, 10.0.0.2", "203.0.113.5"),
        ("10.0.0.1", "canary@example.com", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1"),
    ],
)
def test_a_forwarded_address_is_believed_of_trusted_proxies_only(
    keys: Keys, log: MemoryLog, connection: str, forwarded: str, expected: str
) -> None:
    from ipaddress import ip_network

    settings = CollectorSettings(keys=keys, trusted_proxies=(ip_network("10.0.0.0/8"),))
    client = Client(create_app(settings, log), address=connection)
    client.post("/v1/track", content=EVENT, headers=basic(KEY) | {"x-forwarded-for": forwarded})
    client.close()
    assert log.entries[0].facts["ip"] == expected
