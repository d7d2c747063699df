"""The cheap look at what was sent: is it JSON, is it an object, how many events are in it. What is in the events is not looked at."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from ingestion.collector.answers import Refusal
from ingestion.collector.settings import Limits
from ingestion.near_json import mended

_NOTHING = msgspec.Raw(b"null")
_BAD_REQUEST = 400


class Single(msgspec.Struct, gc=False):
    """A body that is one event."""

    writeKey: msgspec.Raw = _NOTHING


class Batch(msgspec.Struct, gc=False):
    """A body with a list of events."""

    batch: list[msgspec.Raw]
    writeKey: msgspec.Raw = _NOTHING


class SnowplowPayload(msgspec.Struct, gc=False):
    """A body of Snowplow's `tp2`."""

    data: list[msgspec.Raw]


_Shape = TypeVar("_Shape", Single, Batch, SnowplowPayload)
_single = msgspec.json.Decoder(Single).decode
_batch = msgspec.json.Decoder(Batch).decode
_snowplow = msgspec.json.Decoder(SnowplowPayload).decode


def single(body: bytes) -> Single:
    """The body as one event. Raises Refusal (400) where it is no JSON object."""
    return _decoded(_single, body)


def batch(body: bytes, limits: Limits) -> Batch:
    """The body as a batch. Raises Refusal (400): no JSON object, no list `batch`, or too many events.

    One that is too large is taken with the others: refused with all of its batch, a library would drop a hundred good ones with it.
    """
    shape = _decoded(_batch, body)
    _count(shape.batch, limits)
    return shape


def snowplow(body: bytes, limits: Limits) -> int:
    """How many events a Snowplow payload holds. Raises Refusal (400): no JSON object, no list `data`, or too many events."""
    return _count(_decoded(_snowplow, body).data, limits)


def _count(events: list[msgspec.Raw], limits: Limits) -> int:
    if len(events) > limits.batch_events:
        raise Refusal(
            400, "too_many_in_batch", f"A batch may hold {limits.batch_events:,} events; nothing of this one was taken."
        )
    return len(events)


def write_key(shape: Single | Batch) -> str | None:
    """The write key in a body; None where there is none."""
    try:
        key: str | None = msgspec.json.decode(shape.writeKey, type=str | None)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return key


def _decoded(decode: Callable[[bytes], _Shape], body: bytes) -> _Shape:
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        raise _unexpected() from error
    except RecursionError as error:
        raise _broken() from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        better = mended(body)
        if better == body:
            raise _broken() from error
        return _decoded(decode, better)


def _broken() -> Refusal:
    return Refusal(_BAD_REQUEST, "invalid_json", "The body is not valid JSON, or nested too deep to be read.")


def _unexpected() -> Refusal:
    return Refusal(
        _BAD_REQUEST,
        "unexpected_shape",
        "The body is JSON, but no object, or it lacks the list of events (`batch`, Snowplow: `data`).",
    )
