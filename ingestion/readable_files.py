"""Files as the warehouse can read them: where they lie, or a copy without the rows that no reader must meet.

A well-formed file is read where it lies. A file with a byte order mark, oversized rows, broken CSV rows or gzip is
copied once into a temporary folder; the rows left out go into a Parquet file beside it, with their bytes.
"""

import os
import shutil
from contextlib import ExitStack
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
from ingestion.source_files import ReadableFile, SourceFile, all_rows

REMOVED_SCHEMA = pa.schema([("row_number", pa.int64()), ("reason", pa.string()), ("payload", pa.binary())])
_REASON_OF = {
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
            return ReadableFile(source, FileShape(source.path, "parquet", parquet_columns(source.path)))
        return _readable_text(source, mapping, workspace)
    except (OSError, EOFError) as error:  # gzip says a broken stream so
        raise FileError(f"{source.path.name} cannot be read: {error}.") from error


def _readable_text(source: SourceFile, mapping: Mapping, workspace: Path) -> ReadableFile | None:
    if source.format == "csv":
        return _readable_csv(source, mapping, workspace)
    shape = FileShape(source.path, "ndjson")
    if source.is_compressed or source.format == "json" or _needs_line_copy(source.path):
        return _copied(source, shape, workspace)
    if not _ends_with_newline(source.path):
        return ReadableFile(source, FileShape(_with_last_newline(source.path, workspace), "ndjson"))
    return ReadableFile(source, shape)


def _readable_csv(source: SourceFile, mapping: Mapping, workspace: Path) -> ReadableFile | None:
    with source.open() as stream:
        header = csv_header(stream, mapping, source.path.name)
    if header is None:
        return None
    shape = FileShape(source.path, "csv", tuple(map(FileColumn, header.names)), header.delimiter)
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


def _needs_line_copy(path: Path) -> bool:
    """A byte order mark, or a stretch without a line end that only an oversized row can have."""
    window = ROW_LIMIT_BYTES // 2
    with path.open("rb") as stream:
        if stream.read(len(BYTE_ORDER_MARK)) == BYTE_ORDER_MARK:
            return True
        stream.seek(0)
        while block := stream.read(window * 16):
            if any(block.find(b"\n", at, at + window) < 0 for at in range(0, len(block) - window + 1, window)):
                return True
    return False


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read(1) == b"\n"


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
    readable = FileShape(copy, shape.format, shape.columns, shape.delimiter)
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
    reasons = [_REASON_OF[Fault(fault)].value for fault in rows.faults[bad]]
    payloads = [rows.row(int(index)) for index in bad]
    return pa.table([bad + rows.first_number, reasons, payloads], schema=REMOVED_SCHEMA)
