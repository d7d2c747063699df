"""Which columns a file has, and whether they are those the mapping needs."""

import json
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.csv_records import parsed_rows
from ingestion.file_errors import FileError
from ingestion.mapping_grammar import Mapping
from ingestion.readers import FileColumn
from ingestion.records import BYTE_ORDER_MARK, ROW_LIMIT_BYTES

DELIMITERS = (",", ";", "\t", "|")
COLUMN_LIMIT = 5000
NAMES_SHOWN = 40


@dataclass(frozen=True)
class CsvHeader:
    """Names of all columns (made unique), the delimiter, whether the header is the first, plain line, and that line itself."""

    names: tuple[str, ...]
    delimiter: str
    is_plain: bool
    line: str


def csv_header(stream: BinaryIO, mapping: Mapping, file_name: str) -> CsvHeader | None:
    """Read the header, None where the file holds nothing; the delimiter is the one that shows most mapped columns."""
    given = stream.read(ROW_LIMIT_BYTES)
    front = given.removeprefix(BYTE_ORDER_MARK)
    if front.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileError(f"{file_name} is UTF-16 text; save it as UTF-8.")
    text = front.lstrip(b"\r\n")
    if not text.strip():
        return None
    line = text.split(b"\n", 1)[0].rstrip(b"\r")
    if line.count(b'"') % 2:
        raise FileError(f"The header of {file_name} has a quote that is not closed on its line.")
    if b"\r" in line:
        raise FileError(f"{file_name} ends its lines with carriage returns alone; save it with line feeds.")
    choices = (mapping.delimiter,) if mapping.delimiter else DELIMITERS
    headers = [(delimiter, _header_names(line, delimiter, file_name)) for delimiter in choices]
    wanted = {name.casefold() for name in mapping.columns}
    delimiter, names = max(headers, key=lambda header: (_mapped(header[1], wanted), len(header[1])))
    require_columns(mapping, names, file_name)
    is_plain = len(front) == len(given) and text == front
    return CsvHeader(_unique(names, wanted, file_name), delimiter, is_plain, line.decode("utf-8"))


def _mapped(names: Iterable[str], wanted: set[str]) -> int:
    return len(wanted & {name.casefold() for name in names})


def _header_names(line: bytes, delimiter: str, file_name: str) -> list[str]:
    rows = parsed_rows(line, delimiter=delimiter)
    if not rows:
        raise FileError(f"The header of {file_name} is not UTF-8 text in CSV.")
    return [name.strip() for name in rows[0]]


def _unique(names: Iterable[str], wanted: Collection[str], file_name: str) -> tuple[str, ...]:
    """A name that stands twice is an error where the mapping uses it, else it gets a number."""
    unique: dict[str, str] = {}
    for position, name in enumerate(names, start=1):
        if name.casefold() in unique and name.casefold() in wanted:
            raise FileError(f"The header of {file_name} has the column '{name}' twice; the mapping cannot tell which.")
        fresh = name or f"column_{position}"
        while fresh.casefold() in unique:
            fresh = f"{fresh}_{position}"
        unique[fresh.casefold()] = fresh
    if len(unique) > COLUMN_LIMIT:
        raise FileError(f"{file_name} has {len(unique)} columns; more than {COLUMN_LIMIT} cannot be landed.")
    return tuple(unique.values())


def parquet_columns(path: Path) -> tuple[FileColumn, ...]:
    """The columns of a Parquet file."""
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise FileError(f"{path.name} is not a Parquet file, or it is damaged.") from error
    return tuple(
        FileColumn(
            column.name,
            is_instant=pa.types.is_timestamp(column.type) and column.type.tz is not None,
            is_float=pa.types.is_floating(column.type),
        )
        for column in schema
    )


def require_columns(mapping: Mapping, present: Iterable[str], file_name: str) -> None:
    """Raises FileError naming the mapped columns that the file lacks, and those it has."""
    names = list(present)
    held = {name.casefold() for name in names}
    missing = [name for name in mapping.required_columns if name.casefold() not in held]
    if missing:
        more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
        raise FileError(
            f"{file_name} lacks {'the column' if len(missing) == 1 else 'the columns'} {', '.join(missing)} that the "
            f"mapping {mapping.name} reads; it has {', '.join(names[:NAMES_SHOWN]) or 'no columns'}{more}."
        )


def json_keys(lines: Iterable[bytes]) -> list[str]:
    """Keys of the JSON objects among these lines, in order of appearance."""
    keys: dict[str, None] = {}
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict):
            keys.update(dict.fromkeys(row))
    return list(keys)
