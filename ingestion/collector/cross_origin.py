"""Lets pages of any site send events: answers to preflights, and the headers on answers."""

import re
from collections.abc import Iterable

_ORIGIN = re.compile(rb"(?:null|[a-z][a-z0-9+.-]{0,20}://[A-Za-z0-9.\[\]:_-]{1,255})\Z")
_HEADER_NAMES = re.compile(rb"[A-Za-z][\w-]*(?: *, *[A-Za-z][\w-]*)*\Z")
_MOST_HEADER_BYTES = 500
_SECONDS = b"900"
_READABLE = b"retry-after, x-ratelimit-reset, x-request-id"
"""What a page may read of an answer beside its body: when to send again, and what to name when it asks for help."""

Headers = list[tuple[bytes, bytes]]


def header(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    """The first header of a name (lower case), as it was sent."""
    for key, value in headers:
        if key == name:
            return value
    return None


def is_origin(value: bytes) -> bool:
    """Whether the header Origin names a page's origin, or `null`."""
    return _ORIGIN.match(value) is not None


def allowed_origin(origin: bytes | None) -> Headers:
    """The headers that let a page read the answer. `sendBeacon` sends credentials, so the origin is named: a star would not do."""
    if origin is None or not is_origin(origin):
        return [(b"vary", b"origin")]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", _READABLE),
        (b"vary", b"origin"),
    ]


def preflight(headers: Headers, methods: Iterable[str]) -> Headers:
    """The headers of an answer to OPTIONS: whatever headers are asked for are allowed, where they are names of headers."""
    allowed = allowed_origin(header(headers, b"origin"))
    allowed += [
        (b"access-control-allow-methods", ", ".join(sorted(methods)).encode()),
        (b"access-control-max-age", _SECONDS),
    ]
    asked = header(headers, b"access-control-request-headers")
    if asked is not None and len(asked) <= _MOST_HEADER_BYTES and _HEADER_NAMES.match(asked):
        allowed.append((b"access-control-allow-headers", asked))
    return allowed
