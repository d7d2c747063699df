"""A query with its values written out, for a file that people review: the only place where a value becomes SQL text."""

from collections.abc import Callable
from datetime import datetime
from decimal import Decimal

from activation.rules.fragments import Sql
from activation.rules.tree import Ago, Value


def written_out(query: Sql, ago: Callable[[int], str]) -> str:
    """The text of a query with a literal for each `?`. `ago` writes the instant so many days before the as-of."""
    parts = query.text.split("?")
    assert len(parts) == len(query.values) + 1, "the text has a ? for each value and no other"
    written = [parts[0]]
    for value, part in zip(query.values, parts[1:], strict=True):
        written += [ago(value.days) if isinstance(value, Ago) else literal(value), part]
    return "".join(written)


def literal(value: Value) -> str:
    """One value as a literal that stands inside a cast. Text that dbt would take for a template of its own is taken apart."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float):
        return f"'{value!r}'"
    if isinstance(value, datetime):
        return f"'{value.isoformat(sep=' ')}'"
    assert isinstance(value, str), "an Ago is written by `ago`"
    # {{, {% and {# would begin a template, wherever in the file they stand
    quoted = "'" + value.replace("'", "''").replace("{", "{' || '") + "'"
    return f"({quoted})" if "{" in value else quoted
