"""Rows that were refused once, as files that landing reads again: rows of files as they stood there, parts of requests normalised anew.

What told a row apart when it was refused (the occurrence of its bytes in its file, or entry and part of its request) tells it apart again:
so it keeps its id among the rejects, and an id that is derived from its content is the one that another import of its file would give.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.csv_records import Dialect, csv_rows, rewritten
from ingestion.envelope import RejectReason
from ingestion.event_log import Received
from ingestion.file_columns import csv_header
from ingestion.file_errors import FileError
from ingestion.log_chunks import LinesFile, Requests, place_of, request_of, without_long_lines
from ingestion.mapping_grammar import Mapping as FileMapping
from ingestion.normalise import normalise
from ingestion.normalise.parts import whole_body
from ingestion.readable_files import REASON_OF, REMOVED_SCHEMA
from ingestion.readers import FileColumn, FileShape
from ingestion.records import ROW_LIMIT_BYTES, Fault, Positions
from ingestion.row_bytes import FETCHED_SCHEMA, why_unreadable
from ingestion.source_files import ReadableFile, SourceFile

_LINE_ENDS = bytes.maketrans(b"\r\n", b"  ")


@dataclass(frozen=True)
class Reject:
    """One row of raw.rejected_events."""

    reject_id: str
    source: str
    reason: str
    detail: str
    origin: str
    row_number: int
    payload: bytes
    mapping: str
    header: str | None
    request: str | None
    occurrence: int | None

    @property
    def entry(self) -> str:
        """Id of its request in the event log."""
        return self.origin.rpartition("/")[2]

    @property
    def part(self) -> int:
        """Index of the part in its request."""
        return self.row_number - 1

    @property
    def told_apart_by(self) -> str:
        """What its id is made of beside source and bytes."""
        return f"{self.entry}:{self.part}" if self.origin.startswith("log/") else str(self.occurrence or 1)


@dataclass(frozen=True)
class RowsAgain:
    """Refused rows of files with one mapping and one header. `occurrences` says of each place what number its bytes had where."""

    readable: ReadableFile
    rejects: Sequence[Reject]
    occurrences: pa.Table
    sha256: str

    def bytes_of(self, readable: ReadableFile, places: Positions) -> Iterator[pa.RecordBatch]:
        """Batches of FETCHED_SCHEMA for these places: the bytes as they were received."""
        rows = [_fetched(place, self.rejects[place], readable.shape.format) for place in places.tolist()]
        yield pa.RecordBatch.from_pylist(rows, schema=FETCHED_SCHEMA)


def rows_again(rejects: Sequence[Reject], mapping: FileMapping, folder: Path) -> RowsAgain:
    """Write refused rows of files, all with this mapping and the same header, into `folder`. Raises FileError."""
    shape, as_line = _reading(rejects[0].header, mapping, folder)
    standing: list[Reject] = []
    removed = []
    fingerprint = hashlib.sha256()
    with shape.path.open("wb") as out:
        out.write(b"header\n" if shape.format == "csv" else b"")
        for reject in rejects:
            line = as_line(reject.payload)
            fingerprint.update(reject.payload + b"\n")
            if isinstance(line, bytes):
                out.write(line + b"\n")
                standing.append(reject)
            else:
                removed.append({
                    "row_number": reject.row_number,
                    "reason": (line or reject.reason),
                    "payload": reject.payload,
                    "source": reject.source,
                    "detail": line.sentence if line else reject.detail,
                    "origin": reject.origin,
                    "told_apart_by": reject.told_apart_by,
                })  # fmt: skip
    removed_path = folder / "removed.parquet"
    pq.write_table(pa.Table.from_pylist(removed, schema=REMOVED_SCHEMA), removed_path)
    found = shape.path.stat()
    source = SourceFile(shape.path, shape.format, False, found.st_size, found.st_mtime_ns)
    behind = len(standing) + np.arange(1, len(removed) + 1)
    readable = ReadableFile(source, shape, removed_path, behind, len(standing))
    return RowsAgain(readable, standing, _occurrences(standing), fingerprint.hexdigest())


@dataclass
class RequestsAgain:
    """Refused parts of requests, normalised anew: lines of events and products, privacy requests, and what is refused once more."""

    requests: Requests
    events: ReadableFile
    products: ReadableFile
    privacy: Path
    privacy_rows: int
    sha256: str


def requests_again(rejects: Sequence[Reject], bodies: Mapping[str, bytes], folder: Path) -> RequestsAgain:
    """Normalise the parts that were refused, into files in `folder`. `bodies` holds the requests' by origin, where they are not the part.

    Of a request that was refused as a whole each part is taken.
    """
    by_origin: dict[str, list[Reject]] = defaultdict(list)
    for reject in rejects:
        by_origin[reject.origin].append(reject)
    received = {parts[0].entry: _received(parts[0], bodies) for parts in by_origin.values()}
    requests = Requests(Kept(received))
    fingerprint, privacy_rows = hashlib.sha256(), 0
    with ExitStack() as stack:
        events, products = (LinesFile(stack, folder / f"{name}.ndjson") for name in ("events", "products"))
        privacy = stack.enter_context((folder / "privacy.ndjson").open("wb"))
        for parts in by_origin.values():
            entry, request = parts[0].entry, received[parts[0].entry]
            normalized, too_long = without_long_lines(normalise(request, entry))
            whole = whole_body(request)[0]
            wanted = None if any(part.payload == whole for part in parts) else {part.part for part in parts}
            events.add(_lines_of(normalized.events, wanted))
            products.add(_lines_of(normalized.products, wanted))
            asked = _lines_of(normalized.privacy, wanted)
            privacy.write(asked)
            privacy_rows += asked.count(b"\n")
            fingerprint.update(b"".join(part.payload for part in parts))
            refused = [each for each in (*normalized.refused, *too_long) if wanted is None or each.index in wanted]
            events.leave_out(requests.refused_parts([(entry, each) for each in refused]))
    return RequestsAgain(
        requests,
        events.readable(),
        products.readable(),
        folder / "privacy.ndjson",
        privacy_rows,
        fingerprint.hexdigest(),
    )


@dataclass(frozen=True)
class Kept:
    """Requests by the ids that they had in the event log."""

    received: Mapping[str, Received] = field(default_factory=dict)

    def raw(self, ids: Sequence[str]) -> dict[str, Received]:
        """See EventLog."""
        return {entry: self.received[entry] for entry in ids if entry in self.received}


def _received(reject: Reject, bodies: Mapping[str, bytes]) -> Received:
    assert reject.request is not None
    return request_of(reject.request, source=reject.source, body=bodies.get(reject.origin, reject.payload))


def _lines_of(lines: bytes, parts: set[int] | None) -> bytes:
    if parts is None or not lines:
        return lines
    return b"".join(line for line in lines.splitlines(keepends=True) if place_of(line).part in parts)


def _fetched(place: int, reject: Reject, format_: str) -> dict[str, object]:
    reason = why_unreadable(reject.payload) if format_ == "ndjson" else None
    return {
        "place": place,
        "row_number": reject.row_number,
        "payload": reject.payload,
        "reason": reason and reason.value,
        "detail": reason and reason.sentence,
        "origin": reject.origin,
        "told_apart_by": reject.told_apart_by,
    }


def _occurrences(rejects: Sequence[Reject]) -> pa.Table:
    """place, file, row_number, bytes (a fingerprint of them) and occurrence, which of these bytes in the file it was."""
    return pa.table({
        "place": pa.array(range(len(rejects)), pa.int64()),
        "file": pa.array([reject.origin for reject in rejects], pa.string()),
        "row_number": pa.array([reject.row_number for reject in rejects], pa.int64()),
        "bytes": pa.array([hashlib.sha256(reject.payload).hexdigest() for reject in rejects], pa.string()),
        "occurrence": pa.array([reject.occurrence or 1 for reject in rejects], pa.int64()),
    })  # fmt: skip


_AsLine = Callable[[bytes], bytes | RejectReason | None]


def _reading(header: str | None, mapping: FileMapping, folder: Path) -> tuple[FileShape, _AsLine]:
    """How the rows are read, and what makes a row's bytes one line that no other row can suffer from; else why not, None: as before."""
    if header is None:
        return FileShape(folder / "rows.ndjson", "ndjson"), _json_line
    found = csv_header(BytesIO(header.encode() + b"\n"), mapping, "The file of these rows")
    if found is None:
        raise FileError("The header of these rows is empty.")
    columns = tuple(map(FileColumn, found.names))
    shape = FileShape(folder / "rows.csv", "csv", columns, found.delimiter, header=header)
    dialect = Dialect(found.delimiter, len(columns))
    return shape, lambda payload: _csv_line(payload, dialect)


def _json_line(payload: bytes) -> bytes | RejectReason | None:
    if len(payload) > ROW_LIMIT_BYTES:
        return RejectReason.OVERSIZE
    try:
        payload.decode("utf-8")
    except UnicodeDecodeError:
        return RejectReason.NOT_UTF8
    return payload.translate(_LINE_ENDS) if payload.strip() else None


def _csv_line(payload: bytes, dialect: Dialect) -> bytes | RejectReason | None:
    """The row as its file's vetting would pass it on, looked at alone: an open quote must not reach the next row."""
    rows = [
        (block.row(index), Fault(block.faults[index]))
        for block in csv_rows(BytesIO(b"header\n" + payload + b"\n"), dialect)
        for index in range(len(block.starts))
    ]
    if len(rows) != 1:
        return RejectReason.BROKEN_CSV
    [(row, fault)] = rows
    if fault == Fault.REPAIRED:
        return rewritten(row, dialect.delimiter)
    return row if fault == Fault.NONE else REASON_OF[fault]
