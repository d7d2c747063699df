"""SQL text that reads a file's columns as the mapping declares them.

Rows come out in the order of the file and none is missing: a line that is not JSON is a row of nulls. So the position
of a row in the result is its position in the file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ingestion.mapping_grammar import ColumnType, FileFormat, Mapping
from ingestion.sql_text import quoted_name, quoted_text

PAYLOAD = "weft__payload"


@dataclass(frozen=True)
class FileColumn:
    """One column that a file has; instants and floats need care when they are read from Parquet."""

    name: str
    is_instant: bool = False
    is_float: bool = False


@dataclass(frozen=True)
class FileShape:
    """What the SQL needs to know of a file: where it lies, its format, and its columns (none for NDJSON).

    `is_free_of_nul` is known of a file that was searched for NUL characters; only others pay for taking them out.
    """

    path: Path
    format: FileFormat
    columns: tuple[FileColumn, ...] = ()
    delimiter: str = ","
    is_free_of_nul: bool = False
    header: str | None = None
    """The header line of a CSV file."""


def reader_sql(mapping: Mapping, shape: FileShape) -> str:
    """`select` of every declared column under its own name, and of the row as JSON where the payload is kept."""
    if shape.format == "ndjson":
        return _ndjson_sql(mapping, shape.path)
    source = _csv_source(shape) if shape.format == "csv" else _parquet_source(shape.path)
    held = {column.name.casefold(): column for column in shape.columns}
    selected = [
        f"{_value(held[name.casefold()]) if name.casefold() in held else 'null::varchar'} as {quoted_name(name)}"
        for name in mapping.columns
    ]
    if mapping.keep_payload:
        members = ", ".join(f"{quoted_name(column.name)} := {_value(column)}" for column in shape.columns)
        selected.append(f"to_json(struct_pack({members})) as {PAYLOAD}")
    return f"select {', '.join(selected)} from {source}"


def row_as_json_sql(shape: FileShape, rows: str) -> str:
    """The rows of a Parquet file whose 0-based numbers the query `rows` yields, as JSON; columns as in `row_bytes`."""
    members = ", ".join(f"{quoted_name(column.name)} := {_value(column)}" for column in shape.columns)
    return (
        f"select file_row_number as place, file_row_number + 1 as row_number, "
        f"encode(to_json(struct_pack({members}))::varchar) as payload, null as reason, null as detail, "
        f"null as origin, null as request, null::timestamp as received_at, null as told_apart_by "
        f"from {_parquet_source(shape.path)} where file_row_number in ({rows})"
    )


def reading_json_keys(path: Path, names: Sequence[str]) -> str:
    """How many lines of an NDJSON file have a value under each name."""
    columns = ", ".join(f"{quoted_text(name)}: 'VARCHAR'" for name in names)
    counts = ", ".join(f"count({quoted_name(name)})" for name in names)
    return (
        f"select {counts} from read_json({quoted_text(str(path))}, format = 'newline_delimited', "
        f"ignore_errors = true, columns = {{{columns}}})"
    )


def _value(column: FileColumn) -> str:
    name = quoted_name(column.name)
    if column.is_instant:
        return f"timezone('UTC', {name})"
    # a data frame writes a missing number as NaN
    return f"case when isnan({name}) then null else {name} end" if column.is_float else name


def _parquet_source(path: Path) -> str:
    # a folder that is called day=1 is no column
    return f"read_parquet({quoted_text(str(path))}, hive_partitioning = false)"


def _csv_source(shape: FileShape) -> str:
    columns = ", ".join(f"{quoted_text(column.name)}: 'VARCHAR'" for column in shape.columns)
    return (
        f"read_csv({quoted_text(str(shape.path))}, auto_detect = false, header = false, skip = 1, "
        f"delim = {quoted_text(shape.delimiter)}, quote = '\"', escape = '\"', strict_mode = false, "
        f"max_line_size = 4194304, hive_partitioning = false, columns = {{{columns}}})"
    )


def _ndjson_sql(mapping: Mapping, path: Path) -> str:
    spec = {name: _json_type(column_type) for name, column_type in mapping.columns.items()}
    names = [quoted_name(name) for name in mapping.columns]
    if not mapping.keep_payload:
        columns = ", ".join(f"{quoted_text(name)}: '{type_}'" for name, type_ in spec.items())
        return (
            f"select {', '.join(names)} from read_json({quoted_text(str(path))}, format = 'newline_delimited', "
            f"ignore_errors = true, hive_partitioning = false, columns = {{{columns}}})"
        )
    # DuckDB reads a comma before a closing bracket, which is not JSON; such a line is written anew
    strict = f"(case when regexp_matches({PAYLOAD}, ',\\s*[]}}]') then json({PAYLOAD}) else {PAYLOAD} end)"
    structure = "{" + ", ".join(f'{quoted_name(name)}: "{type_}"' for name, type_ in spec.items()) + "}"
    return (
        f"select {', '.join(f'weft__row.{name}' for name in names)}, {strict} as {PAYLOAD} from ("
        f"select json as {PAYLOAD}, json_transform(json, {quoted_text(structure)}) as weft__row "
        f"from read_ndjson_objects({quoted_text(str(path))}, ignore_errors = true, hive_partitioning = false))"
    )


def _json_type(column_type: ColumnType) -> str:
    return "JSON" if column_type == "json" else "VARCHAR"
