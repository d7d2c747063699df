"""Pieces of SQL with their bound values: the text of a piece never holds a value, and its values come in the order of its `?`."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from activation.rules.tree import Ago, Value


@dataclass(frozen=True)
class Sql:
    """SQL text with a `?` for each of `values`. `Ago` values become instants when a run's as-of is known."""

    text: str
    values: tuple[Value, ...] = ()

    def bound(self, as_of: datetime) -> list[object]:
        """The values as a connection takes them."""
        return [value.before(as_of) if isinstance(value, Ago) else value for value in self.values]


def sql(template: str, *parts: Sql) -> Sql:
    """A template with a {} for each part. Templates are written in this package; nothing of a rule is ever one."""
    return Sql(template.format(*(part.text for part in parts)), tuple(value for part in parts for value in part.values))


def joined(separator: str, parts: Iterable[Sql]) -> Sql:
    """Pieces with a separator between them."""
    parts = list(parts)
    return Sql(separator.join(part.text for part in parts), tuple(value for part in parts for value in part.values))


def value(of: Value) -> Sql:
    """One bound value, typed, so that both warehouses compare it alike."""
    return Sql(f"cast(? as {_type(of)})", (of,))


def _type(of: Value) -> str:
    if isinstance(of, bool):
        return "boolean"
    if isinstance(of, Ago | datetime):
        return "timestamp"
    if isinstance(of, Decimal):
        return "decimal(38, 10)"
    if isinstance(of, float):
        return "float8"
    return "bigint" if isinstance(of, int) else "varchar"
