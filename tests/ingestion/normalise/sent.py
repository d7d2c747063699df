"""What the tests of shapes share: requests as the collector puts them into the log, and the lines that they become."""

import json
from typing import Any

from ingestion.event_log import Normalized, Received
from ingestion.normalise import normalise

RECEIVED_AT = 1_770_000_000_123
NOON = "2026-02-02T02:40:00.123Z"


def received(kind: str, body: Any = b"", **facts: str) -> Received:
    """A request of the source `shop`; what is not bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Received(kind, "shop", RECEIVED_AT, content, facts)


def lines_of(normalized: Normalized) -> list[dict[str, Any]]:
    """The event lines as objects."""
    return [json.loads(line) for line in normalized.events.splitlines()]


def line_of(request: Received, entry: str = "5-0") -> dict[str, Any]:
    """The only line of a request."""
    normalized = normalise(request, entry)
    assert not normalized.refused
    (line,) = lines_of(normalized)
    return line


def reason_of(request: Received) -> str:
    """Why the only part of a request was refused."""
    normalized = normalise(request, "5-0")
    assert not normalized.events
    (refused,) = normalized.refused
    return refused.reason


def identifiers(line: dict[str, Any]) -> list[tuple[str, str]]:
    """Type and value of a line's identifiers."""
    return [(each["type"], each["value"]) for each in line.get("identifiers", [])]
