"""Ten thousand hostile requests, made from a seed: no mistake of ours, bounded memory, nothing personal in an answer or a log line."""

import asyncio
import base64
import gzip
import json
import logging
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from ingestion.collector.app import create_app
from ingestion.collector.settings import CollectorSettings
from ingestion.event_log import Received
from tests.ingestion.collector.senders import KEY, Keys, MemoryLog

REQUESTS = 10_500
CANARIES = ("canary@example.com", "+4915112345678", "tok_live_canary_9f8e7d")
PATHS = [
    f"/v1/{call}" for call in ("identify", "track", "page", "screen", "group", "alias", "i", "t", "p", "s", "g", "a")
]
PATHS += [
    "/v1/batch",
    "/v1/b",
    "/v1/import",
    "/beacon/v1/batch",
    "/com.snowplowanalytics.snowplow/tp2",
    "/identify",
    "/track",
]
GETS = ["/pixel/v1/track", "/v1/pixel/page", "/i", "/health", "/ready", "/metrics", "/openapi.json", "/nope"]
ATOMS = [
    b"null", b"true", b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-0", b"9" * 5_000, b"-" + b"9" * 400, b"9223372036854775808",
    b"01", b"1.", b".5", b"0x1", b'""', b'"\\u0000"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\xff\xfe"', b'"\xc0\xaf"', b'"\xed\xa0\x80"',
    b'"\x00"', b'"\n"', b'"\\x"', b'"\\u12"', b'"open', b"'single'", b"{}", b"[]", b"{,}", b"[1,]", b'{"a" 1}', b"{a:1}", b"/* */ 1",
    b'"' + b"\xe2\x80\xae" + b'"', b'"=cmd|calc"', b'"\r\nX-Injected: 1"', b'"\x1b[31m"', b'"${jndi:ldap://x}"',
    b'"\'; drop table events; --"',
]  # fmt: skip
MEMBERS = [
    b"type",
    b"event",
    b"userId",
    b"anonymousId",
    b"messageId",
    b"properties",
    b"traits",
    b"context",
    b"batch",
    b"data",
    b"writeKey",
]
MEMBERS += [b"timestamp", b"sentAt", b"__proto__", b"event_type", b"", b"\xff", b"a" * 300]
HEADERS = [
    (b"content-type", b"application/json; charset=utf-16"),
    (b"content-type", b"multipart/form-data; boundary="),
    (b"content-type", b"\xff"),
    (b"content-encoding", b"gzip"),
    (b"content-encoding", b"br"),
    (b"content-encoding", b"gzip\xff"),
    (b"content-length", b"-1"),
    (b"content-length", b"99999999999999999999999999"),
    (b"content-length", b"\xb2"),
    (b"authorization", b"Basic \xff\xfe"),
    (b"authorization", b"Basic " + base64.b64encode(b"\xff:\xff")),
    (b"authorization", b"Basic " + base64.b64encode(CANARIES[2].encode())),
    (b"authorization", b"Bearer " + CANARIES[2].encode()),
    (b"authorization", b"B" * 60_000),
    (b"user-agent", b"\xe9\x00\x1b[31m " + CANARIES[0].encode()),
    (b"origin", b"https://" + CANARIES[0].encode()),
    (b"access-control-request-headers", CANARIES[1].encode()),
    (b"x-forwarded-for", b"\xff, " + CANARIES[0].encode()),
    (b"host", b"\xff"),
    (b"x-request-id", CANARIES[2].encode()),
    (b"cookie", CANARIES[2].encode()),
    (b"expect", b"100-continue"),
]
KEY_HEADER = (b"authorization", b"Basic " + base64.b64encode(KEY.encode()))


def value(chance: random.Random, depth: int) -> bytes:
    kind = chance.random()
    if depth <= 0 or kind < 0.5:
        return chance.choice([*ATOMS, *(json.dumps(canary).encode() for canary in CANARIES)])
    if kind < 0.6:
        return b"[" + b",".join(value(chance, depth - 1) for _ in range(chance.randrange(4))) + b"]"
    return event(chance, depth - 1)


def event(chance: random.Random, depth: int) -> bytes:
    members = [b'"%b": %b' % (chance.choice(MEMBERS), value(chance, depth)) for _ in range(chance.randrange(5))]
    return b"{" + b", ".join(members * chance.choice([1, 1, 2])) + b"}"


def body(chance: random.Random) -> bytes:
    kind = chance.random()
    if kind < 0.55:
        made = event(chance, 3)
    elif kind < 0.8:
        made = b'{"%b": [%b]}' % (
            chance.choice([b"batch", b"data"]),
            b",".join(value(chance, 2) for _ in range(chance.randrange(6))),
        )
    elif kind < 0.9:
        made = chance.choice(ATOMS)
    elif kind < 0.97:
        made = chance.randbytes(chance.randrange(200))
    else:
        depth = chance.choice([600, 1_100, 15_000, 100_000])
        made = b'{"batch": [' * 1 + chance.choice([b"[", b'{"a":']) * depth
    if chance.random() < 0.15:
        made = chance.choice(
            [b"\xef\xbb\xbf" + made, made + b"}", made[: len(made) // 2], made.decode("latin-1").encode("utf-16")]
        )
    if chance.random() < 0.1:
        made = gzip.compress(made, 1, mtime=0)
        made = chance.choice([made, made[:-3], made * 2, made + b"x"])
    return made


def hostile(chance: random.Random) -> dict[str, Any]:
    headers = [chance.choice(HEADERS) for _ in range(chance.randrange(3))]
    if chance.random() < 0.6:
        headers.insert(0, KEY_HEADER)
    query = chance.choice([b"", b"", b"verbose=x", b"writeKey=" + KEY.encode(), b"writeKey=" + CANARIES[2].encode()])
    if chance.random() < 0.25:
        data = base64.b64encode(body(chance))[:20_000]
        query += b"&data=" + data + b"&email=" + CANARIES[0].encode() + b"&%ff;=%00&a" * chance.randrange(30)
    is_get = chance.random() < 0.2
    path = chance.choice(GETS if is_get else PATHS)
    method = "GET" if is_get else chance.choice(["POST"] * 20 + ["PUT", "OPTIONS", "HEAD", "GET", "TRACE"])
    return {
        "method": method,
        "path": path,
        "query": query,
        "headers": headers,
        "content": b"" if is_get else body(chance),
    }


def giants() -> list[dict[str, Any]]:
    """A few that are large: a million members, bombs, a body without end."""
    keys = b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}"
    bodies = [
        keys,
        b'{"batch":[' + b"0," * 249_000 + b"0]}",
        b"[" * 499_000,
        b'{"a":"' + b"\\ud800" * 80_000 + b'"}',
        b'{"a":' + b"9" * 490_000 + b"}",
    ]
    made = []
    for content in bodies:
        for path in ("/v1/batch", "/v1/track", "/com.snowplowanalytics.snowplow/tp2"):
            plain = {"method": "POST", "path": path, "query": b"", "headers": [KEY_HEADER], "content": content}
            packed = gzip.compress(content, 1, mtime=0)
            made += [plain, plain | {"content": packed, "headers": [KEY_HEADER, (b"content-encoding", b"gzip")]}]
    return made


def memory_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


class ForgettingLog(MemoryLog):
    """Counts by status only: what it keeps would look like memory of the collector."""

    async def append(self, received: Received) -> str:
        assert all(isinstance(fact, str) and "\x00" not in fact for fact in received.facts.values())
        assert KEY not in str(received.facts)
        return "1-0"


async def ask(transport: httpx.ASGITransport, request: dict[str, Any]) -> httpx.Response:
    url = httpx.URL("http://collector" + request["path"], query=request["query"])
    made = httpx.Request(
        request["method"], url, headers=[(b"host", b"x"), *request["headers"]], content=request["content"]
    )
    made.stream = httpx.ByteStream(request["content"])
    response = await transport.handle_async_request(made)
    await response.aread()
    return response


def test_ten_thousand_hostile_requests(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(20_260_101)
    requests = [hostile(chance) for _ in range(REQUESTS)] + giants()
    settings = CollectorSettings(keys=Keys(), snowplow_source="snowplow", is_access_logged=True)
    transport = httpx.ASGITransport(create_app(settings, ForgettingLog()), raise_app_exceptions=True)
    statuses: Counter[int] = Counter()
    before = memory_bytes()

    async def all_of_them() -> None:
        for request in requests:
            response = await ask(transport, request)
            statuses[response.status_code] += 1
            shown = response.text + str(response.headers)
            assert response.status_code < 500, request["path"]
            assert not any(canary in shown for canary in CANARIES), request["path"]
            assert "x-injected" not in response.headers

    with caplog.at_level(logging.DEBUG, logger="weft"):
        asyncio.run(all_of_them())
    assert memory_bytes() - before < 50_000_000
    assert statuses[200] > 1_000 < statuses[400], "both what is taken and what is refused"
    assert {401, 405, 413, 415} <= set(statuses)
    for record in caplog.records:
        line = record.getMessage()
        assert record.levelno < logging.ERROR, line
        assert not any(canary in line for canary in (*CANARIES, KEY))
        assert "\n" not in line
        if record.name == "weft.collector.access":
            assert set(json.loads(line)) <= {"request", "route", "status", "ms", "refused"}
