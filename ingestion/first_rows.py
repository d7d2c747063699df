"""A small file with the first rows of a large one, as they stand there, for a look at it."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pyarrow.parquet as pq

from ingestion.file_columns import csv_header
from ingestion.file_errors import FileError
from ingestion.mapping_grammar import Mapping
from ingestion.readers import FileColumn, FileShape
from ingestion.records import BYTE_ORDER_MARK, ROW_LIMIT_BYTES
from ingestion.source_files import SourceFile, all_rows

JSON_BYTES = 32 << 20
"""A JSON document is read whole before its first row is known."""


def first_rows(source: SourceFile, mapping: Mapping, workspace: Path, *, limit: int) -> tuple[Path, bool]:
    """Write the first `limit` rows into `workspace`; returns the file, and whether those were all. Raises FileError."""
    sample = workspace / f"sample.{source.format}"
    if source.bytes == 0:
        sample.touch()
        return sample, True
    if source.format == "parquet":
        return sample, _parquet(source, sample, limit)
    if source.format == "json" and source.bytes > JSON_BYTES:
        raise FileError("A JSON document of this size cannot be previewed; one object a line (.ndjson) can.")
    shape = FileShape(source.path, "csv" if source.format == "csv" else "ndjson")
    head = b""
    if source.format == "csv":
        with source.open() as stream:
            header = csv_header(stream, mapping, "The file")
            stream.seek(0)
            head = _first_line(stream.read(ROW_LIMIT_BYTES))
        if header is None:
            sample.touch()
            return sample, True
        shape = FileShape(source.path, "csv", tuple(map(FileColumn, header.names)), header.delimiter)
    rows = list(islice(_rows(source, shape), limit + 1))
    with sample.open("wb") as out:
        out.writelines(row + b"\n" for row in ([head] if head else []) + rows[:limit])
    return sample, len(rows) <= limit


def _parquet(source: SourceFile, sample: Path, limit: int) -> bool:
    try:
        with pq.ParquetFile(source.path) as file, pq.ParquetWriter(sample, file.schema_arrow) as out:
            batch = next(file.iter_batches(batch_size=limit), None)
            if batch is not None:
                out.write_batch(batch)
            return bool(file.metadata.num_rows <= limit)
    except (OSError, ValueError) as error:
        raise FileError("The file is not Parquet, or it is damaged.") from error


def _first_line(front: bytes) -> bytes:
    return front.removeprefix(BYTE_ORDER_MARK).lstrip(b"\r\n").split(b"\n", 1)[0].rstrip(b"\r")


def _rows(source: SourceFile, shape: FileShape) -> Iterator[bytes]:
    for rows in all_rows(source, shape):
        for index in range(len(rows.starts)):
            yield rows.row(index)
