"""Source files: what a file is, its rows with their bytes, and what the warehouse's reader is given of it."""

import gzip
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from ingestion.csv_records import Dialect, csv_rows
from ingestion.file_errors import FileError
from ingestion.json_documents import json_rows
from ingestion.mapping_grammar import FileFormat, Mapping
from ingestion.readers import FileShape
from ingestion.records import Positions, Rows, line_rows

_FORMATS: dict[str, FileFormat] = {
    ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "json", ".parquet": "parquet",
}  # fmt: skip


@dataclass(frozen=True)
class SourceFile:
    """A file as it lies there."""

    path: Path
    format: FileFormat
    is_compressed: bool
    bytes: int
    modified_ns: int

    @property
    def has_changed(self) -> bool:
        """Somebody wrote to it since it was looked at."""
        now = self.path.stat()
        return (now.st_size, now.st_mtime_ns) != (self.bytes, self.modified_ns)

    def open(self) -> BinaryIO:
        """The file's content, decompressed."""
        return cast(BinaryIO, gzip.open(self.path, "rb")) if self.is_compressed else self.path.open("rb")


@dataclass(frozen=True)
class ReadableFile:
    """What the warehouse's reader is given: a shape without broken rows, and what was left out.

    `rows` is how many rows the warehouse must find in it, where they were counted.
    """

    source: SourceFile
    shape: FileShape
    removed_path: Path | None = None
    removed_numbers: Positions = field(default_factory=lambda: np.empty(0, np.int64))
    rows: int | None = None

    def row_numbers(self, read: Positions) -> Positions:
        """1-based row numbers in the source file of the rows at these 0-based places in the readable one."""
        left_out_before = self.removed_numbers - np.arange(1, len(self.removed_numbers) + 1)
        return read + 1 + np.searchsorted(left_out_before, read, side="right")


def source_file(path: Path, mapping: Mapping) -> SourceFile:
    """Look at a file; raises FileError with one sentence where it is missing or of an unknown kind."""
    if not path.exists():
        raise FileError(f"The file {path} does not exist.")
    if not path.is_file():
        raise FileError(f"{path} is not a file.")
    is_compressed = path.suffix.lower() == ".gz"
    ending = Path(path.stem if is_compressed else path.name).suffix.lower()
    format_ = mapping.format or _FORMATS.get(ending)
    if format_ is None:
        raise FileError(
            f"{path.name} ends in none of {', '.join(_FORMATS)} (or these with .gz); "
            "rename it or give the mapping a format."
        )
    found = path.stat()
    return SourceFile(path, format_, is_compressed and format_ != "parquet", found.st_size, found.st_mtime_ns)


def file_sha256(path: Path) -> str:
    """sha256 of the file's bytes, read as a stream."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def all_rows(source: SourceFile, shape: FileShape) -> Iterator[Rows]:
    """Every row of a text file with its bytes, in order."""
    with source.open() as stream:
        if shape.format == "csv":
            yield from csv_rows(stream, Dialect(shape.delimiter, len(shape.columns)))
        elif source.format == "json":
            yield from json_rows(stream, source.path.name)
        else:
            yield from line_rows(stream)
