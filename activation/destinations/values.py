"""Values of profiles as JSON APIs take them, and the key of a record."""

import hashlib
import math
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa


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
