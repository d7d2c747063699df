"""Calls as a picture's address: RudderStack's `/pixel/v1/track?event=...&properties.price=...` and Segment's `?data=<base64>`."""

from collections.abc import Mapping
from typing import Any

import msgspec

from ingestion.event_log import Normalized, Received
from ingestion.normalise import segment
from ingestion.normalise.base64_text import from_base64
from ingestion.normalise.lines import Outcome
from ingestion.normalise.parts import decoded_json
from ingestion.normalise.queries import nested, parameters

_OBJECTS = ("properties", "traits", "context", "integrations")
_anything = msgspec.json.Decoder()


def normalise(received: Received, entry: str) -> Normalized:
    """The one call of the request; a picture is loaded by the person's own device."""
    outcome = Outcome(received, entry)
    shared = segment.Shared(received.facts, call=received.facts.get("path", "track"), is_on_device=True)
    return outcome.add_each(
        [received], lambda part, sent: segment.add_call(outcome, shared, part, _call(sent))
    ).result()


def _call(received: Received) -> bytes:
    given = parameters(received)
    if "data" in given:
        return from_base64("data", given["data"])
    call: Mapping[str, Any] = nested(given)
    read = {
        name: decoded_json(_anything, value.encode()) for name in _OBJECTS if isinstance(value := call.get(name), str)
    }
    return msgspec.json.encode({**call, **read})
