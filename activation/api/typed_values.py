"""Published texts as JSON of the type that their column has in the warehouse. Decimals stay text: a float would change money."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

_WHOLE = ("bigint", "integer", "int", "smallint", "hugeint")
_FLOAT = ("float8", "double", "double precision", "real", "float")


def typed(name: str, value: str, types: Mapping[str, str]) -> Any:
    """One value; a text that its type cannot read stays the text."""
    kind = types.get(name, "varchar").lower()
    try:
        if kind in _WHOLE:
            return int(value)
        if kind in _FLOAT:
            number = float(value)
            return number if number - number == 0 else None
        if kind == "boolean":
            return value == "true"
        if kind == "json":
            return json.loads(value)
    except ValueError:
        return value
    return value


def iso(instant: datetime) -> str:
    """ISO 8601 in UTC with its Z."""
    return instant.isoformat() + "Z"
