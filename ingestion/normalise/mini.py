"""The short routes: `POST /identify` and `POST /track`, for scripts, tills and whoever has no SDK at hand.

identify: user_id, email, phone, anonymous_id, traits; whatever else stands beside them is a trait as well
track:    event_type, properties, occurred_at, and one of user_id, anonymous_id, email, phone
"""

from typing import Any

import msgspec

from ingestion.envelope import RejectReason
from ingestion.event_log import Normalized, Received
from ingestion.normalise.consent import consent_of
from ingestion.normalise.identifiers import promoted
from ingestion.normalise.lines import EventLine, Outcome, PartRefusedError, object_of, text_of, time_of
from ingestion.normalise.parts import EVENT_BYTES, decoded_body, decoded_json

_IDENTIFIERS = ("email", "phone", "loyalty_id")
_IDS = frozenset({"user_id", "anonymous_id", "message_id"})
_PARTS = frozenset({"type", "event_type", "traits", "properties", "context", "occurred_at", "sent_at"})
_KEYS = frozenset({"writeKey", "write_key"})
_NOT_CANONICAL = _KEYS | {"sent_at"}
_object = msgspec.json.Decoder(dict[str, Any])


def normalise(received: Received, entry: str) -> Normalized:
    """The one event of the request."""
    outcome = Outcome(received, entry)
    return outcome.add_each([received], lambda part, _: _add(outcome, part)).result()


def _add(outcome: Outcome, part: int) -> None:
    received = outcome.received
    body = decoded_body(received)
    if len(body) > EVENT_BYTES:
        raise PartRefusedError(RejectReason.OVERSIZE, "The event is larger than 32 KB.")
    sent = decoded_json(_object, body)
    is_track = received.facts.get("path", "track") == "track"
    line = _line(sent, is_track=is_track, facts=dict(received.facts))
    canonical = None
    if line.message_id is None and line.original_timestamp is not None:
        told = {name: value for name, value in sent.items() if name not in _NOT_CANONICAL} | {"type": line.type}
        canonical = msgspec.json.encode(told, order="sorted")
    outcome.add(part, line, canonical=canonical)


def _line(sent: dict[str, Any], *, is_track: bool, facts: dict[str, str]) -> EventLine:
    event = text_of(sent.get("event_type")) if is_track else None
    if is_track and event is None:
        raise PartRefusedError(RejectReason.MISSING_EVENT_NAME, "A track event needs its name in event_type.")
    context = object_of("context", sent.get("context"))
    given_identifiers = {name: sent[name] for name in _IDENTIFIERS if sent.get(name) is not None}
    traits = object_of("traits", sent.get("traits"))
    if not is_track:
        traits = {name: value for name, value in sent.items() if name not in _IDS | _PARTS | _KEYS} | traits
    properties = object_of("properties", sent.get("properties"))
    user_id, anonymous_id = text_of(sent.get("user_id")), text_of(sent.get("anonymous_id"))
    # what stands beside the event names its person; what stands in its properties may be all there is
    identifiers = promoted(given_identifiers, traits, properties, context)
    if user_id is None and anonymous_id is None and not identifiers:
        raise PartRefusedError(RejectReason.NO_ID, "The event needs a user_id, an anonymous_id, an email or a phone.")
    return EventLine(
        type="track" if is_track else "identify",
        event=event,
        message_id=text_of(sent.get("message_id")),
        user_id=user_id,
        anonymous_id=anonymous_id,
        identifiers=identifiers,
        properties=properties,
        traits=traits,
        context=context,
        consent=consent_of(context, facts),
        original_timestamp=time_of(sent.get("occurred_at")),
        sent_at=time_of(sent.get("sent_at")),
    )
