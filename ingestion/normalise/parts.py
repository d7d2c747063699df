"""A request's body taken apart: content encoding, byte order mark and UTF-8, without ever holding more than a bounded body."""

import re
import zlib
from collections.abc import Sequence

from ingestion.envelope import RejectReason
from ingestion.event_log import Received
from ingestion.normalise.lines import PartRefusedError

BODY_BYTES = 8 << 20  # of a decoded body; the collector takes less
EVENT_BYTES = 32 << 10  # Segment's "32 KB" as its own clients count them

_BOM = b"\xef\xbb\xbf"
# an escaped pair, or one escape: a surrogate without its other half is what a text cut in the middle of an emoji leaves
_ESCAPES = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[dD][89a-fA-F][0-9a-fA-F]{2}|.)", re.S
)


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
    return (readable_body(received) or received.facts.get("query", "").encode(),)


def without_lone_surrogates(json_text: bytes) -> bytes:
    """JSON text in which half a surrogate pair is U+FFFD, as a browser would show it: no reader takes the half."""
    return _ESCAPES.sub(_mended, json_text)


def _mended(escape: re.Match[bytes]) -> bytes:
    found = escape[0]
    return rb"\ufffd" if len(found) == 6 else found


def _inflated(body: bytes) -> bytes:
    # 32 + 15: a gzip or a zlib header
    inflater = zlib.decompressobj(wbits=47)
    try:
        content = inflater.decompress(body, BODY_BYTES + 1)
        if inflater.unconsumed_tail or len(content) > BODY_BYTES:
            raise PartRefusedError(RejectReason.OVERSIZE, "The body is larger than 8 MiB once it is decompressed.")
        content += inflater.flush()
    except zlib.error:
        raise PartRefusedError(RejectReason.UNREADABLE, "The body is not the gzip that its header promises.") from None
    if not inflater.eof:
        raise PartRefusedError(RejectReason.UNREADABLE, "The body's gzip ends too early.")
    return content
