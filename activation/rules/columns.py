"""What a rule may name: columns of profiles and events with their types, and audiences. The caller reads them from the warehouse."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Kind = Literal["text", "whole", "decimal", "float", "boolean", "instant"]

_NULLS = ("is_null", "is_not_null")
_EQUALS = ("eq", "ne")
_NUMBERS = (*_EQUALS, "in", "not_in", "lt", "lte", "gt", "gte", "between", *_NULLS)
OPERATORS: Mapping[Kind, tuple[str, ...]] = {
    "text": (*_EQUALS, "in", "not_in", "contains", "starts_with", "has_any", *_NULLS),
    "whole": _NUMBERS,
    "decimal": _NUMBERS,
    "float": _NUMBERS,
    "boolean": (*_EQUALS, *_NULLS),
    "instant": (
        *_EQUALS,
        "lt",
        "lte",
        "gt",
        "gte",
        "between",
        "within_last_days",
        "at_least_days_ago",
        *_NULLS,
    ),
}
"""What can be asked of a column, by the kind of its values."""

ACCEPTS: Mapping[Kind, str] = {
    "text": "a text",
    "whole": "a whole number",
    "decimal": "a number",
    "float": "a number",
    "boolean": "true or false",
    "instant": 'a date ("2026-01-31") or an instant in UTC ("2026-01-31T12:00:00Z")',
}

_KINDS: tuple[tuple[str, Kind], ...] = (
    (r"(?:character )?varchar.*|character varying.*|text", "text"),
    (r"tinyint|smallint|integer|bigint|int[248]?", "whole"),
    (r"decimal.*|numeric.*", "decimal"),
    (r"double|double precision|real|float[48]?", "float"),
    (r"boolean", "boolean"),
    (r"date|timestamp.*", "instant"),
)
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_PERSONAL = re.compile(
    r"^name$|(^|_)(e_?mail|phone|mobile|user_id|loyalty_id|customer_id|anonymous_id|device_id|cookie"
    r"|(first|last|full|given|family|sur)_?name|address|street|postcode|postal_code|zip|birth\w*|ip|iban|vat\w*|ssn|passport"
    r"|order_id|message_id)($|_(?!count))"
)


@dataclass(frozen=True)
class Column:
    """One column that a rule may name. The values of a personal one decide, and are shown nowhere."""

    name: str
    kind: Kind
    is_personal: bool = False


@dataclass(frozen=True)
class Known:
    """Everything a rule may name."""

    profiles: Mapping[str, Column]
    events: Mapping[str, Column]
    audiences: frozenset[str]


def column(name: str, warehouse_type: str, *, is_personal: bool = False) -> Column | None:
    """The column as rules see it; None where its type (a list, JSON) or its name cannot be used in a condition."""
    for pattern, kind in _KINDS:
        if _NAME.fullmatch(name) and re.fullmatch(pattern, warehouse_type.lower()):
            return Column(name, kind, is_personal or bool(_PERSONAL.search(name)))
    return None
