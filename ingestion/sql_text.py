"""Small pieces of DuckDB SQL text: quoted names, quoted values, JSON built without null members."""

from collections.abc import Iterable, Sequence

Tree = str | bool | int | float | dict[str, "Tree"] | list["Tree"]


def quoted_name(name: str) -> str:
    """A column name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(value: str) -> str:
    """A value as an SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def text_list(values: Iterable[str]) -> str:
    """Values as an SQL list of string literals in round brackets, for `in`."""
    return "(" + ", ".join(quoted_text(value) for value in values) + ")"


def json_object(members: dict[str, Tree]) -> str:
    """SQL text of a JSON object as VARCHAR, null members dropped; '{}' if none is left."""
    if not members:
        return "'{}'"
    parts = [f"{quoted_text(_json_key(key))} || {_json_value(value)}" for key, value in members.items()]
    return f"('{{' || concat_ws(',', {', '.join(parts)}) || '}}')"


def json_list(items: Sequence[str]) -> str:
    """SQL text of a JSON list as VARCHAR; items are SQL texts that yield JSON text, null items dropped."""
    return f"('[' || concat_ws(',', {', '.join(items)}) || ']')" if items else "'[]'"


def _json_key(key: str) -> str:
    escaped = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}":'


def _json_value(value: Tree) -> str:
    """SQL text that yields JSON text, or null where there is nothing to say."""
    if isinstance(value, dict):
        return f"nullif({json_object(value)}, '{{}}')"
    if isinstance(value, list):
        return f"nullif({json_list([_json_value(item) for item in value])}, '[]')"
    if isinstance(value, bool):
        return quoted_text("true" if value else "false")
    if isinstance(value, int | float):
        return quoted_text(str(value))
    return f"nullif(to_json({value})::varchar, 'null')"
