"""Reads a request's body with the bytes counted as they come, and takes gzip off without trusting it."""

import zlib

from starlette.requests import ClientDisconnect, Request

from ingestion.collector.answers import Refusal
from ingestion.collector.routing import sent_headers

_GZIP_OVERHEAD = 1_024
_MOST_GZIP_MEMBERS = 64
_GZIP_WINDOW = 31


class BodyMemory:
    """How many bytes of bodies lie in memory that are not whole yet, or wait for the log, out of how many at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0

    def take(self, size: int) -> None:
        """Count bytes. Raises Refusal (503) where there is no room for them."""
        if self._held + size > self._most:
            raise Refusal(
                503, "busy", "Too much is being received at this moment; try again.", headers={"retry-after": "1"}
            )
        self._held += size

    def give_back(self, size: int) -> None:
        """The bytes are not held any more."""
        self._held -= size


def too_large(limit: int, status: int) -> Refusal:
    """The refusal of a body above a limit (bytes)."""
    return Refusal(
        status,
        "too_large",
        f"The body is larger than {limit:,} bytes; nothing of it was taken. Send it in smaller parts.",
    )


async def read_body(request: Request, *, limit: int, memory: BodyMemory, too_large_status: int = 413) -> bytes:
    """The body as it was sent, at most `limit` bytes (a little more where it is gzip, whose content is looked at next).

    Raises Refusal where it is larger, and ClientDisconnect where its sender went away.
    """
    headers = sent_headers(request)
    if b"content-encoding" in headers:
        limit += _GZIP_OVERHEAD
    announced = headers.get(b"content-length")
    if announced is not None and announced.isdigit() and int(announced[:20]) > limit:
        raise too_large(limit, too_large_status)
    message = await request.receive()
    if message["type"] == "http.request" and not message.get("more_body", False):
        body: bytes = message.get("body", b"")
        if len(body) > limit:
            raise too_large(limit, too_large_status)
        return body
    return await _read_on(request, message, limit, memory, too_large_status)


async def _read_on(request: Request, message: object, limit: int, memory: BodyMemory, too_large_status: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    try:
        while True:
            assert isinstance(message, dict)
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            part = message.get("body", b"")
            if size + len(part) > limit:
                raise too_large(limit, too_large_status)
            memory.take(len(part))
            size += len(part)
            parts.append(part)
            if not message.get("more_body", False):
                return b"".join(parts)
            message = await request.receive()
    finally:
        memory.give_back(size)


def encoding_of(request: Request) -> str:
    """`gzip`, or nothing where the body is plain. Raises Refusal (415) for any other content encoding."""
    encoding = sent_headers(request).get(b"content-encoding", b"").strip().lower()
    if encoding in (b"", b"identity"):
        return ""
    if encoding in (b"gzip", b"x-gzip"):
        return "gzip"
    raise Refusal(415, "unsupported_encoding", "Of the content encodings only gzip is understood.")


def plain(body: bytes, encoding: str, *, limit: int, too_large_status: int = 413) -> bytes:
    """The body without its content encoding. Raises Refusal: 400 where that is broken, else where more than `limit` bytes come out."""
    if encoding != "gzip":
        return body
    parts: list[bytes] = []
    room = limit
    try:
        for _ in range(_MOST_GZIP_MEMBERS):
            member = zlib.decompressobj(_GZIP_WINDOW)
            part = member.decompress(body, room + 1)
            room -= len(part)
            if room < 0:
                raise too_large(limit, too_large_status)
            parts.append(part)
            if not member.eof:
                break
            body = member.unused_data
            if not body:
                return b"".join(parts)
    except zlib.error as error:
        raise _broken_gzip() from error
    raise _broken_gzip()


def _broken_gzip() -> Refusal:
    return Refusal(400, "invalid_gzip", "The body is said to be gzip and is not, or is cut off.")
