"""Hostile requests, made from a seed: every route, broken heads and broken bodies, as the bytes that go over the socket."""

import base64
import gzip
import hashlib
import hmac
import json
import random
from dataclasses import dataclass

from tests.ingestion.collector.senders import KEY, SECRET, UPLOAD_KEY

CANARIES = ("canary@example.com", "+4915112345678", "tok_live_canary_9f8e7d")
CALLS = ("identify", "track", "page", "screen", "group", "alias", "i", "t", "p", "s", "g", "a")
ID = "0123456789abcdef" * 2
EVENTS = [f"/v1/{call}" for call in CALLS]
EVENTS += ["/v1/batch", "/v1/b", "/v1/import", "/beacon/v1/batch", "/com.snowplowanalytics.snowplow/tp2"]
EVENTS += ["/identify", "/track", "/v1/pos", "/v1/scan", "/v1/visit"]
WEBHOOKS = [f"/webhooks/{vendor}/shop" for vendor in ("shopify", "woocommerce", "twilio")]
UPLOADS = ["/v1/uploads", f"/v1/uploads/{ID}/confirm"]
GETS = ["/pixel/v1/track", "/pixel/v1/page", "/v1/pixel/track", "/v1/pixel/page", "/i"]
GETS += ["/health", "/ready", "/metrics", "/openapi.json", "/weft.js", f"/v1/uploads/{ID}", f"/v1/uploads/{ID}/preview"]
STRANGE = [
    "/nope",
    "/",
    "//",
    "/v1/%2e%2e/%2e%2e/etc/passwd",
    "/webhooks/shopify/%00",
    "/webhooks/nobody/shop",
    "/webhooks/shopify/" + "a" * 900,
]
STRANGE += [
    "/v1/uploads/..%2f..%2fetc",
    "/v1/uploads/" + CANARIES[0],
    "/v1/track/",
    "/V1/TRACK",
    "*",
    "http://other/v1/track",
]
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
TOPICS = (
    b"orders/create",
    b"customers/redact",
    b"products/update",
    b"order.created",
    b"product.deleted",
    b"nonsense\xff",
    b"",
)
FILE_NAMES = (
    "../../x.csv",
    "/etc/x.csv",
    "x\\..\\y.ndjson",
    "CON.csv",
    "a" * 300 + ".csv",
    "x.csv\0.exe",
    "x.exe",
    "x.csv.gz",
    CANARIES[0] + ".csv",
)


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


@dataclass(frozen=True)
class Hostile:
    """One request as it is sent. With `is_framed` it is valid HTTP of one request, so the connection can be used on."""

    sent: bytes
    method: str
    is_framed: bool = True


def hostile(chance: random.Random) -> Hostile:
    """One request."""
    if chance.random() < 0.04:
        return Hostile(chance.choice(BROKEN)(chance), "POST", is_framed=False)
    headers = [chance.choice(HEADERS) for _ in range(chance.choice([0, 0, 0, 1, 1, 2]))]
    group = chance.choice([EVENTS] * 7 + [WEBHOOKS, UPLOADS, GETS, GETS, STRANGE])
    path = chance.choice(group)
    content = b"" if group is GETS else body(chance)
    query = chance.choice([b"", b"", b"verbose=1", b"writeKey=" + KEY.encode(), b"writeKey=" + CANARIES[2].encode()])
    if group is WEBHOOKS:
        headers += signed(chance, path, content)
    elif group is UPLOADS or "uploads" in path:
        headers.append((b"authorization", b"Basic " + base64.b64encode(UPLOAD_KEY.encode())))
        content, more, query = upload(chance, content)
        headers += more
    elif chance.random() < 0.6:
        headers.insert(0, (b"authorization", b"Basic " + base64.b64encode(KEY.encode())))
    if group is not UPLOADS and chance.random() < 0.25:
        data = base64.b64encode(body(chance))[:20_000]
        query += b"&data=" + data + b"&email=" + CANARIES[0].encode() + b"&%ff;=%00&a" * chance.randrange(30)
    method = "GET" if group is GETS else chance.choice(["POST"] * 20 + ["PUT", "OPTIONS", "HEAD", "GET", "TRACE"])
    line = b"%b %b" % (method.encode(), path.encode()) + (b"?" + query if query else b"")
    return Hostile(http(chance, line, headers, content), method)


def http(chance: random.Random, line: bytes, headers: list[tuple[bytes, bytes]], content: bytes) -> bytes:
    """The request's bytes, from its method and target on; the body with its length or in chunks."""
    lines = [line + b" HTTP/1.1", b"host: x"]
    lines += [b"%b: %b" % header for header in headers]
    if content and chance.random() < 0.1:
        half = len(content) // 2
        parts = [part for part in (content[:half], content[half:]) if part]
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        return b"\r\n".join([*lines, b"transfer-encoding: chunked", b"", chunks + b"0\r\n\r\n"])
    if content or line.startswith(b"POST"):
        lines.append(b"content-length: %d" % len(content))
    return b"\r\n".join([*lines, b"", content])


def signed(chance: random.Random, path: str, content: bytes) -> list[tuple[bytes, bytes]]:
    """A webhook's headers; most signatures fit."""
    secret = SECRET.encode() if chance.random() < 0.8 else b"wrong"
    signature = base64.b64encode(hmac.digest(secret, content, hashlib.sha256))
    topic = chance.choice(TOPICS)
    if "shopify" in path:
        return [(b"x-shopify-hmac-sha256", signature), (b"x-shopify-topic", topic)]
    if "woocommerce" in path:
        return [(b"x-wc-webhook-signature", signature), (b"x-wc-webhook-topic", topic)]
    return [
        (b"x-twilio-signature", chance.choice([signature, b"\xff", b"a" * 10_000])),
        (b"content-type", b"application/x-www-form-urlencoded"),
    ]


def upload(chance: random.Random, content: bytes) -> tuple[bytes, list[tuple[bytes, bytes]], bytes]:
    """Body, headers and query of an upload: a file as it is, or in a form that may be broken."""
    name = chance.choice(FILE_NAMES)
    query = b"name=" + "".join(f"%{byte:02x}" for byte in name.encode()).encode()
    query += chance.choice(
        [b"", b"&id=" + ID.encode(), b"&id=../../x", b"&mapping=segment", b"&mapping=../../etc/passwd"]
    )
    if chance.random() < 0.5:
        return content, [(b"content-type", chance.choice([b"text/csv", b"application/x-ndjson", b"\xff"]))], query
    disposition = b'form-data; name="file"; filename="%b"' % name.encode().replace(b"\0", b"")
    form = b"--b\r\nContent-Disposition: %b\r\n\r\n%b\r\n--b--\r\n" % (disposition, content)
    form = chance.choice([form, form[: len(form) // 2], form.replace(b"--b--", b"--b"), form * 2, b"--b\r\n" * 50])
    return form, [(b"content-type", b"multipart/form-data; boundary=b")], query


def _smuggled(chance: random.Random) -> bytes:
    inner = b"POST /v1/track HTTP/1.1\r\nhost: x\r\n\r\n" + chance.choice(ATOMS)
    framing = chance.choice([
        b"content-length: 4\r\ntransfer-encoding: chunked", b"content-length: 3\r\ncontent-length: 30",
        b"transfer-encoding: chunked\r\ntransfer-encoding: identity", b"transfer-encoding: xchunked", b"transfer-encoding : chunked",
        b"content-length: +5", b"content-length: 0x5", b"content-length: 5, 5", b"host: y\r\ncontent-length: 5",
    ])  # fmt: skip
    return b"POST /v1/track HTTP/1.1\r\nhost: x\r\n%b\r\n\r\n0\r\n\r\n%b" % (framing, inner)


def _bare_line_feeds(chance: random.Random) -> bytes:
    return b"GET /health HTTP/1.1\nhost: x\nx-%d: %b\n\n" % (chance.randrange(10**6), CANARIES[0].encode())


def _header_bomb(chance: random.Random) -> bytes:
    count = chance.randrange(101, 400)
    return (
        b"GET /health HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: a\r\n" % number for number in range(count)) + b"\r\n"
    )


def _long_head(chance: random.Random) -> bytes:
    return b"GET /%b HTTP/1.1\r\nhost: x\r\n\r\n" % (b"a" * chance.randrange(33_000, 60_000))


def _noise(chance: random.Random) -> bytes:
    # a first byte that begins no method, so that nobody waits for the rest
    return bytes([chance.randrange(128, 256)]) + chance.randbytes(chance.randrange(20, 200)) + b"\r\n\r\n"


def _broken_chunk(chance: random.Random) -> bytes:
    size = chance.choice([b"zz", b"-1", b"ffffffffffffffffff", b"5;" + b"a" * 40_000, b" 5"])
    return b"POST /v1/track HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n%b\r\n%d\r\n0\r\n\r\n" % (
        size,
        chance.randrange(10**5, 10**6),
    )


BROKEN = (_smuggled, _bare_line_feeds, _header_bomb, _long_head, _noise, _broken_chunk)


def giants() -> list[Hostile]:
    """A few that are large: a million members, bombs, JSON that is 100,000 levels deep and more."""
    chance = random.Random(1)
    key = (b"authorization", b"Basic " + base64.b64encode(KEY.encode()))
    bodies = [
        b"{" + b",".join(b'"%d":1' % number for number in range(1_000_000)) + b"}",
        b'{"batch":[' + b"0," * 249_000 + b"0]}",
        b"[" * 499_000,
        b'{"a":' * 100_000,
        b'{"a":"' + b"\\ud800" * 80_000 + b'"}',
        b'{"a":' + b"9" * 490_000 + b"}",
        b" " * 50_000_000,
    ]
    made = []
    for content in bodies:
        packed = gzip.compress(content, 1, mtime=0)
        for path in (b"/v1/batch", b"/v1/track", b"/v1/pos", b"/com.snowplowanalytics.snowplow/tp2"):
            if len(content) < 10_000_000:
                made.append(Hostile(http(chance, b"POST " + path, [key], content), "POST", is_framed=False))
            zipped = [key, (b"content-encoding", b"gzip")]
            made.append(Hostile(http(chance, b"POST " + path, zipped, packed), "POST", is_framed=False))
    return made
