"""Files as the warehouse can read them: where they lie, or a copy without the rows that no reader must meet.

A well-formed file is read where it lies. A file with a byte order mark, oversized rows, broken CSV rows or gzip is
copied once into a temporary folder; the rows left out go into a Parquet file beside it, with their bytes.
"""

import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.csv_records import rewritten
from ingestion.envelope import RejectReason
from ingestion.file_columns import csv_header, parquet_columns
from ingestion.file_errors import FileError
from ingestion.mapping_grammar import Mapping
from ingestion.readers import FileColumn, FileShape
from ingestion.records import BYTE_ORDER_MARK, ROW_LIMIT_BYTES, Fault, Rows
from ingestion.row_bytes import NOT_OF_A_FILE
from ingestion.source_files import ReadableFile, SourceFile, all_rows

REMOVED_SCHEMA = pa.schema([
    ("row_number", pa.int64()), ("reason", pa.string()), ("payload", pa.binary()), ("source", pa.string()),
    ("detail", pa.string()), *NOT_OF_A_FILE,
])  # fmt: skip
REASON_OF = {
    Fault.OVERSIZE: RejectReason.OVERSIZE,
    Fault.NOT_UTF8: RejectReason.NOT_UTF8,
    Fault.BROKEN_CSV: RejectReason.BROKEN_CSV,
}


def readable_file(source: SourceFile, mapping: Mapping, workspace: Path) -> ReadableFile | None:
    """The file as the warehouse can read it, None where it is empty; copies go into `workspace`.

    Raises FileError with one sentence where the file cannot be read at all.
    """
    if source.bytes == 0:
        return None
    try:
        if source.format == "parquet":
            columns = parquet_columns(source.path)
            return ReadableFile(source, FileShape(_plain_path(source.path, workspace), "parquet", columns))
        return _readable_text(source, mapping, workspace)
    except (OSError, EOFError) as error:  # gzip says a broken stream so
        raise FileError(f"{source.path.name} cannot be read: {error}.") from error


def _plain_path(path: Path, workspace: Path) -> Path:
    """A path that the warehouse cannot take for a pattern: `orders[1].csv` would be looked up as orders1.csv."""
    if not set(str(path)) & set("*?[]{}"):
        return path
    link = workspace / "source"
    link.symlink_to(path.absolute())
    return link


def _readable_text(source: SourceFile, mapping: Mapping, workspace: Path) -> ReadableFile | None:
    if source.format == "csv":
        return _readable_csv(source, mapping, workspace)
    look = _LookAtLines() if source.is_compressed or source.format == "json" else _look_at_lines(source.path)
    path = _plain_path(source.path, workspace)
    if look.needs_copy:
        return _copied(source, FileShape(path, "ndjson"), workspace)
    if not look.ends_with_newline:
        path = _with_last_newline(source.path, workspace)
    return ReadableFile(source, FileShape(path, "ndjson", is_free_of_nul=not look.may_hold_nul))


def _readable_csv(source: SourceFile, mapping: Mapping, workspace: Path) -> ReadableFile | None:
    with source.open() as stream:
        header = csv_header(stream, mapping, source.path.name)
    if header is None:
        return None
    columns = tuple(map(FileColumn, header.names))
    shape = FileShape(_plain_path(source.path, workspace), "csv", columns, header.delimiter, header=header.line)
    # of a single column a blank line could be a row
    if not source.is_compressed and header.is_plain and len(header.names) > 1:
        rows = _rows_without_fault(source, shape)
        if rows is not None:
            return ReadableFile(source, shape, rows=rows)
    return _copied(source, shape, workspace)


def _rows_without_fault(source: SourceFile, shape: FileShape) -> int | None:
    """How many rows the file has, None at the first faulty one."""
    count = 0
    for rows in all_rows(source, shape):
        if rows.faults.any():
            return None
        count += len(rows.starts)
    return count


@dataclass(frozen=True)
class _LookAtLines:
    """What a look at the bytes tells of an NDJSON file; without a look, the worst."""

    needs_copy: bool = True
    may_hold_nul: bool = True
    ends_with_newline: bool = False


def _look_at_lines(path: Path) -> _LookAtLines:
    """A copy is needed for a byte order mark, or a stretch without a line end that only an oversized row can have."""
    window = ROW_LIMIT_BYTES // 2
    may_hold_nul, last = False, b""
    with path.open("rb") as stream:
        needs_copy = stream.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK
        stream.seek(0)
        while not needs_copy and (block := stream.read(window * 16)):
            starts = range(0, len(block) - window + 1, window)
            needs_copy = any(block.find(b"\n", at, at + window) < 0 for at in starts)
            # JSON can write a NUL only as an escape; most blocks have no backslash, which is found ten times faster
            is_in_block = b"\\" in block and b"\\u0000" in block
            may_hold_nul = may_hold_nul or is_in_block or b"\\u0000" in last + block[:5]
            last = block[-5:]
    return _LookAtLines(needs_copy, may_hold_nul, ends_with_newline=last.endswith(b"\n"))


def _with_last_newline(path: Path, workspace: Path) -> Path:
    """DuckDB 2.0 with two threads may hand out a last line without a line end first (seen in 1 of 3 runs)."""
    copy = Path(shutil.copyfile(path, workspace / "readable.ndjson"))
    with copy.open("ab") as stream:
        stream.write(b"\n")
    return copy


def _copied(source: SourceFile, shape: FileShape, workspace: Path) -> ReadableFile:
    """Write the good rows, one per line end, and set the others aside."""
    copy = workspace / f"readable.{shape.format}"
    removed_path = workspace / "removed.parquet"
    removed_numbers = []
    count = 0
    with ExitStack() as stack:
        out = stack.enter_context(copy.open("wb"))
        removed = stack.enter_context(pq.ParquetWriter(removed_path, REMOVED_SCHEMA))
        if shape.format == "csv":
            out.write(_plain_header(shape) + b"\n")
        for rows in all_rows(source, shape):
            _write_good_rows(out, rows, shape.delimiter)
            count += len(rows.starts)
            bad = _bad_rows(rows)
            if bad.num_rows:
                removed.write_table(bad)
                removed_numbers.append(bad["row_number"].to_numpy())
    numbers = np.concatenate(removed_numbers) if removed_numbers else np.empty(0, np.int64)
    readable = FileShape(copy, shape.format, shape.columns, shape.delimiter, header=shape.header)
    return ReadableFile(source, readable, removed_path, numbers, count - len(numbers))


def _plain_header(shape: FileShape) -> bytes:
    """One line that stands for the header; the reader skips it."""
    return shape.delimiter.join(f"c{position}" for position in range(len(shape.columns))).encode()


def _write_good_rows(out: BinaryIO, rows: Rows, delimiter: str) -> None:
    if len(rows.starts) and not rows.faults.any() and (rows.starts[1:] == rows.ends[:-1] + 1).all():
        out.write(rows.data[rows.starts[0] : rows.ends[-1]] + b"\n")
        return
    for index in range(len(rows.starts)):
        if rows.faults[index] == Fault.NONE:
            out.write(rows.row(index) + b"\n")
        elif rows.faults[index] == Fault.REPAIRED:
            out.write(rewritten(rows.row(index), delimiter) + b"\n")


def _bad_rows(rows: Rows) -> pa.Table:
    bad = np.flatnonzero((rows.faults != Fault.NONE) & (rows.faults != Fault.REPAIRED))
    reasons = [REASON_OF[Fault(fault)].value for fault in rows.faults[bad]]
    payloads = [rows.row(int(index)) for index in bad]
    given = [bad + rows.first_number, reasons, payloads]
    # what is null says nothing beyond the file and its mapping
    nulls = [pa.nulls(len(bad), field.type) for field in list(REMOVED_SCHEMA)[len(given) :]]
    return pa.table([*given, *nulls], schema=REMOVED_SCHEMA)
