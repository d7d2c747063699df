"""Segment's six calls and batches over HTTP, from any SDK that speaks its protocol (RudderStack's, our own tracker).

The same event in a file, through ingestion/mappings/segment.yml, becomes the same envelope.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from ingestion.envelope import EventType, RejectReason
from ingestion.event_log import Normalized, Received
from ingestion.normalise.consent import consent_of
from ingestion.normalise.identifiers import promoted
from ingestion.normalise.lines import (
    EventLine,
    Outcome,
    PartRefusedError,
    object_of,
    refused_whole,
    text_of,
    time_of,
)
from ingestion.normalise.parts import EVENT_BYTES, decoded_body, decoded_json, whole_body

BATCH_EVENTS = 2_500
_TYPES = frozenset(type_.value for type_ in EventType)
_BATCHES = frozenset({"batch", "b", "import"})
_LETTERS = {"i": "identify", "t": "track", "p": "page", "s": "screen", "g": "group", "a": "alias"}
_LONGEST_LIBRARY = 100
# what a client that retries may send differently, or that says nothing of the event
_NOT_CANONICAL = ("sentAt", "writeKey", "integrations")
# libraries that run on the person's own device: there, the address of the request is the person's
_ON_DEVICE = ("analytics.js", "weft.js", "javascript", "ios", "android", "swift", "kotlin", "react-native", "flutter")


class _Batch(msgspec.Struct, gc=False):
    batch: list[msgspec.Raw] | msgspec.UnsetType = msgspec.UNSET
    context: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    integrations: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    sent_at: Any = msgspec.field(default=None, name="sentAt")


class _Call(msgspec.Struct, rename="camel"):
    type: Any = None
    message_id: Any = None
    event: Any = None
    name: Any = None
    category: Any = None
    user_id: Any = None
    snake_user_id: Any = msgspec.field(default=None, name="user_id")
    anonymous_id: Any = None
    snake_anonymous_id: Any = msgspec.field(default=None, name="anonymous_id")
    group_id: Any = None
    previous_id: Any = None
    properties: Any = None
    traits: Any = None
    context: Any = None
    integrations: Any = None
    timestamp: Any = None
    original_timestamp: Any = None
    sent_at: Any = None


_batch = msgspec.json.Decoder(_Batch)
_call = msgspec.json.Decoder(_Call)
_object = msgspec.json.Decoder(dict[str, Any])
_anything = msgspec.json.Decoder()


class Shared(NamedTuple):
    """What all calls of a request share. `call` is the call that its path names, None for a batch; `is_on_device` where the request is
    known to come from the person's own device, so that its address is the person's."""

    facts: Mapping[str, str]
    call: str | None = None
    is_on_device: bool = False
    context: Mapping[str, Any] = MappingProxyType({})
    integrations: Mapping[str, Any] = MappingProxyType({})
    sent_at: str | None = None


def split(received: Received) -> Sequence[bytes]:
    """The calls of a batch, or the one call."""
    try:
        _, calls = _taken_apart(received)
    except PartRefusedError:
        return whole_body(received)
    return [bytes(call) for call in calls]


def normalise(received: Received, entry: str) -> Normalized:
    """Every call of the request."""
    try:
        shared, calls = _taken_apart(received)
    except PartRefusedError as error:
        return refused_whole(received, error.reason, error.detail)
    outcome = Outcome(received, entry)
    return outcome.add_each(calls, partial(add_call, outcome, shared)).result()


def _taken_apart(received: Received) -> tuple[Shared, Sequence[bytes | msgspec.Raw]]:
    body = decoded_body(received)
    path = received.facts.get("path", "batch")
    on_device = "origin" in received.facts  # browsers name the page's origin, servers have none
    if path not in _BATCHES:
        return Shared(received.facts, call=_LETTERS.get(path, path), is_on_device=on_device), [body]
    batch = decoded_json(_batch, body)
    if batch.batch is msgspec.UNSET:  # one call with its type, which is how a refused call of a batch is sent again
        return Shared(received.facts, is_on_device=on_device), [body]
    if len(batch.batch) > BATCH_EVENTS:
        raise PartRefusedError(RejectReason.BATCH_TOO_LARGE)
    context, integrations = _shared("context", batch.context), _shared("integrations", batch.integrations)
    shared = Shared(received.facts, None, on_device, context, integrations, time_of(batch.sent_at))
    return shared, batch.batch


def _shared(name: str, content: msgspec.Raw | msgspec.UnsetType) -> dict[str, Any]:
    """What a batch says for all of its calls; it is no larger than a call may be, because each of them will hold it."""
    if content is msgspec.UNSET:
        return {}
    if len(memoryview(content)) > EVENT_BYTES:
        raise PartRefusedError(RejectReason.OVERSIZE, f"The batch's {name} is larger than 32 KB.")
    return object_of(name, decoded_json(_anything, content))


def add_call(outcome: Outcome, shared: Shared, part: int, content: bytes | msgspec.Raw) -> None:
    """Add one call as JSON. Raises PartRefusedError."""
    if len(memoryview(content)) > EVENT_BYTES:
        raise PartRefusedError(RejectReason.OVERSIZE, "The event is larger than 32 KB.")
    call = decoded_json(_call, content)
    line = _line(call, shared)
    is_timed = line.original_timestamp is not None
    canonical = _canonical(content, line.type) if line.message_id is None and is_timed else None
    outcome.add(part, line, canonical=canonical)


def _line(call: _Call, shared: Shared) -> EventLine:
    type_ = _type(call, shared)
    name = text_of(call.event) or text_of(call.name)
    user_id = text_of(call.user_id) or text_of(call.snake_user_id)
    anonymous_id = text_of(call.anonymous_id) or text_of(call.snake_anonymous_id)
    properties, traits = object_of("properties", call.properties), object_of("traits", call.traits)
    context = {**shared.context, **object_of("context", call.context)}
    on_person = context.get("traits")
    about_person = on_person if isinstance(on_person, dict) else {}
    if type_ == EventType.TRACK and name is None:
        raise PartRefusedError(RejectReason.MISSING_EVENT_NAME)
    if type_ == EventType.GROUP:  # its traits are the group's: a company's e-mail is not the person's
        properties = properties | {
            "group_id": _needed(call.group_id, "A group call needs a groupId."),
            "traits": traits,
        }
        traits = about_person
    elif type_ == EventType.ALIAS:
        properties = properties | {"previous_id": _needed(call.previous_id, "An alias call needs a previousId.")}
        user_id = _needed(user_id, "An alias call needs a userId.")
        anonymous_id = anonymous_id or properties["previous_id"]
    elif call.category is not None and type_ in (EventType.PAGE, EventType.SCREEN):
        properties = {"category": call.category} | properties
    if user_id is None and anonymous_id is None:
        raise PartRefusedError(RejectReason.NO_ID)
    consent = consent_of(context, shared.facts)
    original, occurred = _times(call)
    return EventLine(
        type=type_,
        event=name,
        message_id=text_of(call.message_id),
        user_id=user_id,
        anonymous_id=anonymous_id,
        identifiers=promoted({} if type_ == EventType.GROUP else traits, about_person, properties, context),
        properties=properties,
        traits=traits if call.traits is not None else about_person,
        context=_completed(context, call, shared),
        consent=consent,
        original_timestamp=original,
        occurred_at=occurred,
        sent_at=time_of(call.sent_at) or shared.sent_at,
    )


def _type(call: _Call, shared: Shared) -> str:
    type_: str = shared.call or (call.type.lower() if isinstance(call.type, str) else "")
    if type_ not in _TYPES:
        raise PartRefusedError(RejectReason.UNKNOWN_TYPE)
    return type_


def _needed(value: object, sentence: str) -> str:
    text = text_of(value)
    if text is None:
        raise PartRefusedError(RejectReason.NO_ID, sentence)
    return text


def _times(call: _Call) -> tuple[str | None, str | None]:
    """When it happened by the client's clock, and where the sender corrected that itself (an export sent again), so corrected."""
    timestamp, original = time_of(call.timestamp), time_of(call.original_timestamp)
    if original is None or original == timestamp:
        return timestamp, None
    return original, timestamp


def _completed(context: dict[str, Any], call: _Call, shared: Shared) -> dict[str, Any]:
    """The context with what the request says of the person's own device, and with the integrations where they choose any."""
    integrations = {**shared.integrations, **object_of("integrations", call.integrations)}
    if integrations and integrations != {"All": True}:
        context = context | {"integrations": integrations}
    if shared.is_on_device or _is_on_device(context):
        seen = {"ip": shared.facts.get("ip"), "userAgent": shared.facts.get("user_agent")}
        context = {name: value for name, value in seen.items() if value} | context
    return context


def _is_on_device(context: Mapping[str, Any]) -> bool:
    library = context.get("library")
    name = library.get("name") if isinstance(library, dict) else None
    return isinstance(name, str) and _names_device(name[:_LONGEST_LIBRARY])


@lru_cache(maxsize=1_000)
def _names_device(library: str) -> bool:
    return any(word in library.lower() for word in _ON_DEVICE)


def _canonical(content: bytes | msgspec.Raw, type_: str) -> bytes:
    """The call with its keys in order, without what differs when the same call is sent again."""
    call = decoded_json(_object, content)
    for name in _NOT_CANONICAL:
        call.pop(name, None)
    return msgspec.json.encode(call | {"type": type_}, order="sorted")
