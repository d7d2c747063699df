"""SQL text that types the declared columns and says which rows hold a value that is not of its type."""

from dataclasses import dataclass

from ingestion.envelope import RejectReason
from ingestion.mapping_grammar import ColumnType, FileFormat, Mapping
from ingestion.readers import PAYLOAD
from ingestion.sql_text import quoted_name

RULE = "weft__rule"


@dataclass(frozen=True)
class Rule:
    """Why a row is refused: code and sentence. Its number in the staged rows is its place in the list, from 1."""

    reason: str
    detail: str


class Rules:
    """Rules numbered from 1 in the order in which they are tried; the first that holds refuses the row."""

    def __init__(self) -> None:
        self.listed: list[Rule] = []
        self._branches: list[str] = []

    def add(self, reason: str, condition: str, detail: str | None = None) -> None:
        """The next rule."""
        self.listed.append(Rule(reason, detail or RejectReason(reason).sentence))
        self._branches.append(f"when {condition} then {len(self.listed)}")

    def number(self) -> str:
        """SQL text that yields the number of the first that holds of the rules added since the last call, else null."""
        branches, self._branches = self._branches, []
        return f"(case {' '.join(branches)} end)::usmallint" if branches else "null::usmallint"


def typed_columns(mapping: Mapping, format_: FileFormat, reader: str, rules: Rules) -> str:
    """`select` of the declared columns in their types, with the number of the first broken rule so far."""
    if format_ == "ndjson":
        nothing = " and ".join(f"{quoted_name(name)} is null" for name in mapping.columns)
        # or no JSON object at all: `row_bytes` looks again at the bytes of a refused line
        rules.add(RejectReason.NO_KNOWN_FIELD, nothing)
    cast, selected = [], []
    for position, (name, column_type) in enumerate(mapping.columns.items()):
        raw, typed = quoted_name(name), f"weft__typed_{position}"
        if column_type == "text" or (column_type == "json" and format_ == "ndjson"):
            selected.append(f"{raw}::varchar as {raw}" if format_ == "parquet" else raw)
            continue
        cast.append(f"{raw} as {typed}_given, {_cast(raw, column_type, format_)} as {typed}")
        usable = _usable(typed, column_type)
        selected.append(f"{usable} as {raw}")
        reason = _REASONS.get(column_type, RejectReason.BAD_VALUE)
        is_given = f"{typed}_given is not null" + ("" if format_ == "parquet" else f" and trim({typed}_given) <> ''")
        rules.add(reason, f"{usable} is null and {is_given}", f"{name} is not of type {column_type}.")
    payload = [PAYLOAD] if mapping.keep_payload else []
    # each value is cast once, in a layer of its own
    casts = f"select {', '.join(['*', *cast])} from ({reader})"
    return f"select {', '.join([*selected, *payload, f'{rules.number()} as {RULE}'])} from ({casts})"


def utc_timestamp(expression: str) -> str:
    """A text, date or timestamp as naive UTC, else null; needs the session's time zone to be UTC.

    DuckDB 2.0 drops the offset of a text that it casts to a timestamp without zone.
    """
    return f"timezone('UTC', try_cast({expression} as timestamptz))"


def within_calendar(expression: str) -> str:
    """A timestamp between the years 1 and 9999, else null: what arithmetic and Python can hold."""
    return (
        f"(case when {expression} between timestamp '0001-01-01' and timestamp '9999-12-31 23:59:59.999999' "
        f"then {expression} end)"
    )


_REASONS = {
    "integer": RejectReason.BAD_NUMBER,
    "decimal": RejectReason.BAD_NUMBER,
    "timestamp": RejectReason.BAD_TIMESTAMP,
    "date": RejectReason.BAD_TIMESTAMP,
}


def _cast(raw: str, column_type: ColumnType, format_: FileFormat) -> str:
    if column_type != "timestamp":
        return _plain_cast(raw, column_type)
    if format_ == "parquet":
        return utc_timestamp(raw)
    # with a Z there is no offset to mind, and the plain cast is twice as fast; blanks around it are rare
    quick = f"(case when ends_with({raw}, 'Z') then try_cast({raw} as timestamp) else {utc_timestamp(raw)} end)"
    return f"coalesce({quick}, {utc_timestamp(f'trim({raw})')})"


def _plain_cast(raw: str, column_type: ColumnType) -> str:
    match column_type:
        case "integer":
            # a cast alone would round 3.7 to 4 without a word
            is_whole = f"try_cast({raw} as double) = floor(try_cast({raw} as double))"
            return f"(case when {is_whole} then try_cast({raw} as bigint) end)"
        case "decimal":
            return f"try_cast({raw} as decimal(18, 4))"
        case "json":
            # written anew: DuckDB reads a comma before a closing bracket, which is not JSON
            return f"json(try_cast({raw} as json))"
        case _:
            return f"try_cast({raw} as {column_type})"


def _usable(typed: str, column_type: ColumnType) -> str:
    return within_calendar(typed) if column_type == "timestamp" else typed
