"""A request's body taken apart: content encoding, byte order mark, UTF-8 and JSON, without ever holding more than a bounded body."""

import zlib
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from ingestion.envelope import RejectReason
from ingestion.event_log import Received
from ingestion.near_json import mended
from ingestion.normalise.lines import PartRefusedError

BODY_BYTES = 8 << 20  # of a decoded body; the collector takes less
EVENT_BYTES = 32 << 10  # Segment's "32 KB" as its own clients count them

_BOM = b"\xef\xbb\xbf"
_GZIP_OR_ZLIB = 32 + 15

_Decoded = TypeVar("_Decoded")


def decoded_body(received: Received) -> bytes:
    """The body without content encoding and byte order mark. Raises PartRefusedError."""
    body = received.body
    if received.facts.get("encoding", "").lower() in ("gzip", "x-gzip", "deflate"):
        body = _inflated(body)
    if len(body) > BODY_BYTES:
        raise PartRefusedError(RejectReason.OVERSIZE, "The body is larger than 8 MiB.")
    return body.removeprefix(_BOM)


def readable_body(received: Received) -> bytes:
    """The decoded body, or as received where it cannot be decoded."""
    try:
        return decoded_body(received)
    except PartRefusedError:
        return received.body


def whole_body(received: Received) -> Sequence[bytes]:
    """The parts of a request that has but one: its body, or its query where it was called without a body."""
    return (readable_body(received) or received.facts.get("query", "").encode(errors="replace"),)


def decoded_json(decoder: "msgspec.json.Decoder[_Decoded]", content: bytes | msgspec.Raw) -> _Decoded:
    """The JSON as the decoder's type. Raises PartRefusedError for whatever is wrong with it."""
    try:
        return decoder.decode(content)
    except UnicodeDecodeError:
        raise PartRefusedError(RejectReason.NOT_UTF8, "The event has bytes that are not UTF-8.") from None
    except RecursionError:
        raise PartRefusedError(RejectReason.TOO_DEEP) from None
    except msgspec.ValidationError as error:
        if "out of range" in str(error):
            raise PartRefusedError(RejectReason.BAD_NUMBER) from None
        raise PartRefusedError(RejectReason.NOT_AN_OBJECT) from None
    except msgspec.DecodeError:
        better = mended(bytes(content))
        if better == content:
            raise PartRefusedError(RejectReason.BROKEN_JSON, "The body is not valid JSON.") from None
    return decoded_json(decoder, better)


def _inflated(body: bytes) -> bytes:
    parts: list[bytes] = []
    room = BODY_BYTES
    try:
        while body:  # a file of gzip may hold several, one behind the other
            inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
            parts.append(inflater.decompress(body, room + 1))
            room -= len(parts[-1])
            if room < 0:
                raise PartRefusedError(RejectReason.OVERSIZE, "The body is larger than 8 MiB once it is decompressed.")
            if not inflater.eof:
                raise PartRefusedError(RejectReason.UNREADABLE, "The body's gzip ends too early.")
            body = inflater.unused_data
    except zlib.error:
        raise PartRefusedError(RejectReason.UNREADABLE, "The body is not the gzip that its header promises.") from None
    return b"".join(parts)
