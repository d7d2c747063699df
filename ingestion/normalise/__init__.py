"""What each kind of request becomes: one pure function a kind, from the bytes as received to lines of `events.normalized`.

The same request always gives the same lines: nothing here reads a clock or the network. What an operator says of a source of
webhooks or receipts (source_settings) is part of the shape.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ingestion.envelope import RejectReason
from ingestion.event_log import Normalized, Received
from ingestion.normalise import mini, pixel, pos, scans, segment, shopify, snowplow, twilio, woocommerce
from ingestion.normalise.lines import refused_whole
from ingestion.normalise.parts import whole_body


class Shape(NamedTuple):
    """How one kind of request is read; `split` gives the bytes of its parts in the order of their indexes."""

    normalise: Callable[[Received, str], Normalized]
    split: Callable[[Received], Sequence[bytes]] = whole_body


KINDS: dict[str, Shape] = {
    "segment": Shape(segment.normalise, segment.split),
    "pixel": Shape(pixel.normalise),
    "mini": Shape(mini.normalise),
    "snowplow": Shape(snowplow.normalise, snowplow.split),
    "shopify": Shape(shopify.normalise),
    "woocommerce": Shape(woocommerce.normalise),
    "twilio": Shape(twilio.normalise),
    "pos": Shape(pos.normalise, pos.split),
    "scan": Shape(scans.normalise),
    "visit": Shape(scans.normalise),
}


def normalise(received: Received, entry: str) -> Normalized:
    """What becomes of a request that has this entry's id in `events.raw`; what cannot be read is refused, with the reason."""
    shape = KINDS.get(received.kind)
    if shape is None:
        return refused_whole(
            received, RejectReason.UNREADABLE, "This version of Weft does not read requests of this kind."
        )
    return shape.normalise(received, entry)


def parts_of(received: Received) -> Sequence[bytes]:
    """The bytes of a request's parts in the order of their indexes, without its content encoding."""
    shape = KINDS.get(received.kind)
    return shape.split(received) if shape else whole_body(received)


def part_bytes(received: Received, index: int, parts: Sequence[bytes] | None = None) -> bytes:
    """The bytes of one part of a request; the whole body where that cannot be taken apart. `parts` are those of the request, if known."""
    parts = parts_of(received) if parts is None else parts
    return parts[index] if 0 <= index < len(parts) else whole_body(received)[0]
