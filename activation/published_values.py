"""Instants and numbers as the Redis contract writes and reads them."""

from datetime import UTC, datetime

_LARGEST_EXACT_IN_LUA = 2**53


def instant_text(instant: datetime) -> str:
    """ISO 8601 with microseconds and Z, e.g. 2026-10-01T12:00:00.000000Z; a naive instant is UTC."""
    utc = instant.astimezone(UTC) if instant.tzinfo else instant
    return utc.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def instant(written: str) -> datetime:
    """The naive UTC instant that instant_text wrote."""
    return datetime.fromisoformat(written.removesuffix("Z"))


def text(value: bytes | str | None) -> str:
    """A reply of Redis as text, whatever the client decodes itself; bytes that are no UTF-8 show as U+FFFD."""
    if value is None:
        return ""
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value


def check_numbers(**numbers: int) -> None:
    """Raise ValueError unless each number is one that Redis compares exactly: 0 to 2^53."""
    for name, number in numbers.items():
        if not 0 <= number <= _LARGEST_EXACT_IN_LUA:
            raise ValueError(f"{name} is {number}; it must lie between 0 and 2^53.")
