"""Segment calls over HTTP."""

from collections.abc import Sequence

from ingestion.envelope import RejectReason
from ingestion.event_log import Normalized, Received
from ingestion.normalise.lines import refused_whole
from ingestion.normalise.parts import whole_body


def split(received: Received) -> Sequence[bytes]:
    """The members of a batch, or the one call."""
    return whole_body(received)


def normalise(received: Received, entry: str) -> Normalized:
    """Every call of the request."""
    return refused_whole(received, RejectReason.UNREADABLE)
