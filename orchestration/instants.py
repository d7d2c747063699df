"""Instants as Weft writes them."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """This instant as naive UTC, the form that every timestamp of Weft has."""
    return datetime.now(UTC).replace(tzinfo=None)
