"""What a client was told to send, and whether that is what the warehouse has: types too, nothing more and nothing less."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.clients.installation import Row

DIFFICULT: dict[str, Any] = {
    "whole": 3,
    "negative": -7,
    "beyond a double": 2**53 + 1,
    "amount": 19.9,
    "whole amount": 5.0,
    "tiny": 1e-7,
    "huge": 1.5e300,
    "yes": True,
    "no": False,
    "digits": "007",
    "empty": "",
    "blank": "  ",
    "spoken": "Grüße, 日本, 😀",
    "quoted": "\"'\\ \n\t\u2028 </script> %00 {{x}}",
    "list": [1, "1", 1.0, None, {"deep": [[]]}],
    "nested": {"a": {"b": {"c": None}}, "": "no name", "a.b": 1},
    "nothing": None,
}
"""Values that a careless hand would change on the way: numbers that lose digits or their type, texts that lose characters."""

IN_JAVASCRIPT: dict[str, Any] = {
    **{name: value for name, value in DIFFICULT.items() if name != "beyond a double"},
    "whole amount": 5,
    "list": [1, "1", 1.5, None, {"deep": [[]]}],
}
"""The same where every number is a double, and a whole one has no point."""


@dataclass(frozen=True)
class Told:
    """One event as it was given to a client. `context` is what has to be in the event's, beside what the client says of itself."""

    message_id: str
    type: str
    event: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    traits: Mapping[str, Any] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    timestamp: datetime | None = None


def is_there_once(told: Sequence[Told], landed: Mapping[str, Row]) -> None:
    """Everything that was told has landed, as it was told, and nothing else."""
    assert len({each.message_id for each in told}) == len(told)
    assert landed.keys() == {each.message_id for each in told}
    for each in told:
        row = landed[each.message_id]
        for name in ("type", "event", "user_id", "anonymous_id"):
            assert getattr(row, name) == getattr(each, name), (each.type, name)
        for name in ("properties", "traits"):
            assert exactly(getattr(row, name)) == exactly(getattr(each, name)), each.type
        assert exactly({name: row.context.get(name) for name in each.context}) == exactly(each.context)
        if each.timestamp is not None:
            _is_dated(row, each.timestamp.astimezone(UTC).replace(tzinfo=None))


def exactly(value: Any) -> str:
    """A value as text in which 1, 1.0, "1" and true differ, and the order of names does not count."""
    return json.dumps(value, sort_keys=True)


def _is_dated(row: Row, told: datetime) -> None:
    millisecond = timedelta(milliseconds=1)
    assert abs(row.original_timestamp - told) < millisecond
    # what the way took is added: nothing where the client's clock is right but the time until it was received
    assert abs((row.occurred_at - told) - (row.received_at - row.sent_at)) < 2 * millisecond
    assert timedelta(seconds=-1) < row.received_at - row.sent_at < timedelta(seconds=30)
