"""Rows of a CSV file: quoted line breaks belong to the row, and a row that is not well formed stays one row.

The reader of the warehouse gives up at the first row it cannot read; so the rows are vetted here, columnar: a line with
balanced, well-placed quotes and as many fields as the header is good. Only the other lines are looked at one by one.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from ingestion.records import (
    NEWLINE,
    QUOTE,
    RETURN,
    ROW_LIMIT_BYTES,
    Fault,
    Positions,
    Rows,
    line_blocks,
    line_bounds,
    line_faults,
)

# a quote that is not closed within so many candidate lines is a broken row, not a long text
OPEN_QUOTE_CANDIDATES = 1000

# the library's own limit of 128 KiB a field is below our limit of a row
csv.field_size_limit(ROW_LIMIT_BYTES)


@dataclass(frozen=True)
class Dialect:
    """How the file is written: its delimiter and how many fields a row has."""

    delimiter: str
    fields: int


def csv_rows(stream: BinaryIO, dialect: Dialect) -> Iterator[Rows]:
    """Data rows of a CSV file, header excluded; blank lines are no rows."""
    number = 1
    is_header_due = True
    for data in _record_blocks(stream):
        starts, ends, faults = _block_records(data, dialect)
        if is_header_due and len(starts):
            starts, ends, faults = starts[1:], ends[1:], faults[1:]
            is_header_due = False
        yield Rows(data, number, starts, ends, faults)
        number += len(starts)


def _record_blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Line blocks, moved so that a quoted text that runs over the end of one stays whole."""
    carried = b""
    for block in line_blocks(stream):
        data = carried + block
        open_at = _open_quote_line(data)
        carried = data[open_at:] if len(data) - open_at <= ROW_LIMIT_BYTES else b""
        if len(carried) < len(data):
            yield data[: len(data) - len(carried)]
    if carried:
        yield carried


def _open_quote_line(data: bytes) -> int:
    """Where the last line starts that opens a quote which the block does not close; the end of the block if none."""
    tail_start = max(0, len(data) - ROW_LIMIT_BYTES)
    if data.find(b'"', tail_start) < 0:
        return len(data)
    starts, ends = line_bounds(data)
    quotes = np.flatnonzero(np.frombuffer(data, np.uint8) == QUOTE)
    odd = np.flatnonzero((np.searchsorted(quotes, ends) - np.searchsorted(quotes, starts)) % 2)
    return int(starts[odd[-1]]) if len(odd) % 2 else len(data)


def _block_records(data: bytes, dialect: Dialect) -> tuple[Positions, Positions, NDArray[np.uint8]]:
    starts, ends = line_bounds(data)
    faults = line_faults(data, starts, ends)
    good, is_odd = _well_formed(data, starts, ends, dialect)
    keep = ~_blank(data, starts, ends)
    swallowed_until = -1
    for index in np.flatnonzero(~good & keep & (faults == Fault.NONE)).tolist():
        if index <= swallowed_until:
            continue
        line = data[starts[index] : ends[index]]
        if _fields(line, strict=True, dialect=dialect) == dialect.fields:
            faults[index] = Fault.REPAIRED  # an inch sign inside a field, say
            continue
        last = _closing_line(data, (starts, ends), index, is_odd, dialect) if is_odd[index] else index
        if last > index:
            keep[index + 1 : last + 1] = False
            ends[index] = ends[last]
            swallowed_until = last
        elif is_odd[index] or _fields(line, strict=False, dialect=dialect) != dialect.fields:
            faults[index] = Fault.BROKEN_CSV
        else:
            faults[index] = Fault.REPAIRED
    return starts[keep], ends[keep], faults[keep]


def _blank(data: bytes, starts: Positions, ends: Positions) -> NDArray[np.bool_]:
    first = np.frombuffer(data, np.uint8)[np.minimum(starts, len(data) - 1)]
    blank: NDArray[np.bool_] = (ends == starts) | ((ends - starts == 1) & (first == RETURN))
    return blank


def _well_formed(
    data: bytes, starts: Positions, ends: Positions, dialect: Dialect
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Per line: good as it stands; and: an odd number of quotes."""
    characters = np.frombuffer(data, np.uint8)
    delimiters = np.flatnonzero(characters == ord(dialect.delimiter))
    quotes = np.flatnonzero(characters == QUOTE)
    lone_returns = _lone_return_lines(data, characters, starts)
    if not len(quotes):
        count = np.searchsorted(delimiters, ends) - np.searchsorted(delimiters, starts)
        good = count == dialect.fields - 1
        good[lone_returns] = False
        return good, np.zeros(len(starts), np.bool_)
    first_quote = np.searchsorted(quotes, starts)
    is_odd = (np.searchsorted(quotes, ends) - first_quote) % 2 == 1
    line_of = np.searchsorted(starts, delimiters, side="right") - 1
    is_outside = (np.searchsorted(quotes, delimiters) - first_quote[line_of]) % 2 == 0
    count = np.bincount(line_of[is_outside], minlength=len(starts))
    good = (count == dialect.fields - 1) & ~is_odd
    good[_misplaced_quote_lines(characters, quotes, starts, first_quote, dialect)] = False
    good[lone_returns] = False
    return good, is_odd


def _lone_return_lines(data: bytes, characters: NDArray[np.uint8], starts: Positions) -> Positions:
    """Lines with a carriage return inside, which some readers take for a line end."""
    if data.find(b"\r") < 0:
        return np.empty(0, np.int64)
    returns = np.flatnonzero(characters == RETURN)
    following = characters[np.minimum(returns + 1, len(characters) - 1)]
    lone = returns[(following != NEWLINE) & (returns + 1 < len(characters))]
    return np.unique(np.searchsorted(starts, lone, side="right") - 1)


def _misplaced_quote_lines(
    characters: NDArray[np.uint8], quotes: Positions, starts: Positions, first_quote: Positions, dialect: Dialect
) -> Positions:
    """Lines with a quote that opens inside a field or closes before its end."""
    line_of = np.searchsorted(starts, quotes, side="right") - 1
    is_opening = (np.arange(len(quotes)) - first_quote[line_of]) % 2 == 0
    before = characters[np.maximum(quotes - 1, 0)]
    after = np.where(quotes + 1 < len(characters), characters[np.minimum(quotes + 1, len(characters) - 1)], NEWLINE)
    starts_field = (before == ord(dialect.delimiter)) | (before == QUOTE) | (quotes == starts[line_of])
    ends_field = np.isin(after, [ord(dialect.delimiter), QUOTE, NEWLINE, RETURN])
    return np.unique(line_of[np.where(is_opening, ~starts_field, ~ends_field)])


def _closing_line(
    data: bytes, bounds: tuple[Positions, Positions], index: int, is_odd: NDArray[np.bool_], dialect: Dialect
) -> int:
    """The line at which the quote opened in line `index` closes and the row is whole; `index` itself if none."""
    starts, ends = bounds
    reach = int(np.searchsorted(ends, starts[index] + ROW_LIMIT_BYTES, side="right"))
    candidates = index + 1 + np.flatnonzero(is_odd[index + 1 : reach])
    for candidate in candidates[:OPEN_QUOTE_CANDIDATES].tolist():
        if _fields(data[starts[index] : ends[candidate]], strict=True, dialect=dialect) == dialect.fields:
            return int(candidate)
    return index


def _fields(row: bytes, *, strict: bool, dialect: Dialect) -> int:
    """How many fields a row has when it is read alone; 0 where it is not one row."""
    parsed = parsed_rows(row, delimiter=dialect.delimiter, strict=strict)
    return len(parsed[0]) if len(parsed) == 1 else 0


def parsed_rows(row: bytes, *, delimiter: str, strict: bool = False) -> list[list[str]]:
    """The rows in these bytes, read by the standard library; none where it refuses them."""
    try:
        text = row.decode("utf-8")
        return list(csv.reader(StringIO(text, newline=""), delimiter=delimiter, strict=strict))
    except (csv.Error, UnicodeDecodeError):
        return []


def rewritten(row: bytes, delimiter: str) -> bytes:
    """A row with loose quoting, written again in the strict form, on one line."""
    fields = parsed_rows(row, delimiter=delimiter)[0]
    return delimiter.join('"' + field.replace('"', '""') + '"' for field in fields).encode()
