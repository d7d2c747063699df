"""Values of profiles as JSON APIs take them, the key of a record, and an answer's words without what was sent."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa

SHORTEST_HIDDEN = 3
"""A value shorter than this says nothing of anybody, and taking it out would make words unreadable."""


def rows(members: pa.Table, fields: Mapping[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(customer id, destination's field: value) of every member; `fields` are destination field: column."""
    columns = [members[column].to_pylist() for column in fields.values()]
    for customer, *values in zip(members["customer_id"].to_pylist(), *columns, strict=True):
        yield customer, dict(zip(fields, map(json_value, values), strict=True))


def json_value(value: Any) -> Any:
    """As JSON has it: instants in UTC with a Z, decimals as numbers, lists of the same."""
    if isinstance(value, datetime):
        utc = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        return utc.isoformat(timespec="milliseconds") + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, list | tuple):
        return [json_value(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def text_value(value: Any) -> str:
    """As text: nothing for null, true and false, lists joined by semicolons."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ";".join(text_value(each) for each in value)
    return str(value)


def record_key(column: str, value: str) -> str:
    """What the ledger calls a record that is known there by `value` of `column`: personal data only as its SHA-256."""
    return value if column == "customer_id" else hashlib.sha256(f"{column}\n{value}".encode()).hexdigest()


def without(payload: Mapping[str, Any], words: str) -> str:
    """What a destination said, without any value that it was sent."""
    told = {text_value(value) for value in payload.values() if not isinstance(value, bool)}
    for value in sorted(told, key=len, reverse=True):
        if len(value) >= SHORTEST_HIDDEN:
            words = words.replace(value, "…").replace(value.lower(), "…")
    return words
