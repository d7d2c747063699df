"""Chunks of the event log as files that landing reads: lines of events and products, and what the normaliser refused, with its bytes.

A chunk is bounded by entries and by bytes, so that a backlog of any length lands in bounded memory.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.envelope import RejectReason
from ingestion.event_log import EventLog, Normalized, NormalizedEntry, Received, Refused
from ingestion.normalise import part_bytes, parts_of
from ingestion.readable_files import REMOVED_SCHEMA
from ingestion.readers import FileShape
from ingestion.records import ROW_LIMIT_BYTES, Positions
from ingestion.row_bytes import FETCHED_SCHEMA, fetched_rows
from ingestion.source_files import ReadableFile, SourceFile

PAGE = 100
"""Refused parts whose requests are asked for at once."""
FIRST_PAGE, LONGEST_PAGE, PAGE_BYTES = 16, 200, 4 << 20
"""Entries that are asked for at once, first and at most; by the size of those before, so many that they have about so many bytes."""
NO_REQUEST = "unknown"
"""The kind in the origin of a part whose request is not in the log any more."""


@dataclass(frozen=True)
class Bounds:
    """A chunk ends with the entry that fills one of these: entries, or bytes of lines and of refused requests."""

    entries: int = 20_000
    size: int = 64 << 20


class _Place(msgspec.Struct):
    """Where a line comes from."""

    entry: str
    part: int


_place = msgspec.json.Decoder(_Place)


def place_of(line: bytes) -> _Place:
    """Where a line of `events.normalized` comes from."""
    return _place.decode(line)


class HoldsRequests(Protocol):
    """What gives requests by their ids: the log, or what was kept of it."""

    def raw(self, ids: Sequence[str]) -> dict[str, Received]:
        """See EventLog."""


@dataclass
class Requests:
    """Requests with refused parts, as the log holds them; `bodies` gathers those of which a part alone could not be replayed."""

    log: HoldsRequests
    bodies: dict[str, bytes] = field(default_factory=dict)

    def refused_parts(
        self, entries: Sequence[tuple[str, Refused]], *, source: str | None = None
    ) -> list[dict[str, Any]]:
        """A row (columns of REMOVED_SCHEMA) for each refused part of these entries."""
        found = self.log.raw(sorted({entry for entry, _ in entries}))
        # taken apart once each: all of 2,500 parts may be refused
        parts = {entry: parts_of(received) for entry, received in found.items()}
        return [self._row(entry, refused, found.get(entry), parts.get(entry), source) for entry, refused in entries]

    def bytes_of(self, readable: ReadableFile, places: Positions) -> Iterator[pa.RecordBatch]:
        """Batches of FETCHED_SCHEMA: instead of the lines at these places, the bytes that they were made of, as received.

        All of them before the first is given: whoever reads them does so where no log may fail.
        """
        batches = []
        for lines in fetched_rows(readable, places):
            at = [place_of(line) for line in lines["payload"].to_pylist()]
            wanted = [(each.entry, Refused(each.part, "", "")) for each in at]
            for start in range(0, len(wanted), PAGE):
                rows = self.refused_parts(wanted[start : start + PAGE])
                given = lines.slice(start, PAGE).to_pylist()
                for row, line in zip(rows, given, strict=True):
                    row |= {"place": line["place"], "reason": None, "detail": None}
                    row["payload"] = line["payload"] if row["request"] is None else row["payload"]
                batches.append(pa.RecordBatch.from_pylist(rows, schema=FETCHED_SCHEMA))
        return iter(batches)

    def _row(
        self,
        entry: str,
        refused: Refused,
        received: Received | None,
        parts: Sequence[bytes] | None,
        source: str | None,
    ) -> dict[str, Any]:
        row = {
            "row_number": refused.index + 1,
            "reason": refused.reason,
            "detail": refused.detail,
            "told_apart_by": f"{entry}:{refused.index}",
        }
        if received is None:  # only where somebody took it out of the log behind our back
            return {**row, "payload": b"", "source": source, "origin": origin(NO_REQUEST, entry), "request": None}
        payload = part_bytes(received, refused.index, parts)
        named = origin(received.kind, entry)
        if payload != received.body:
            self.bodies[named] = received.body
        return {
            **row,
            "payload": payload,
            "source": received.source,
            "origin": named,
            "request": request_facts(received),
            "received_at": datetime.fromtimestamp(received.received_at / 1000, UTC).replace(tzinfo=None),
        }


def origin(kind: str, entry: str) -> str:
    """What raw.rejected_events calls a request."""
    return f"log/{kind}/{entry}"


def request_facts(received: Received) -> str:
    """What of a request is needed to normalise it again, without its body, as JSON."""
    return json.dumps(
        {"kind": received.kind, "received_at": received.received_at, "facts": dict(received.facts)}, sort_keys=True
    )


def request_of(facts: str, *, source: str, body: bytes) -> Received:
    """The request again, from what `request_facts` wrote."""
    given = json.loads(facts)
    return Received(given["kind"], source, given["received_at"], body, given["facts"])


class Gap(NamedTuple):
    """Entries between these two were taken out of the log before they were read: the last one read, and the one written before the next."""

    after: str
    until: str


@dataclass(frozen=True)
class Chunk:
    """Entries `first` to `last` as files; `rows` counts lines and refused parts, `sha256` is of the lines of both files."""

    first: str
    last: str
    entries: int
    events: ReadableFile
    products: ReadableFile
    privacy: Path
    privacy_rows: int
    sha256: str
    requests: Requests
    gaps: tuple[Gap, ...] = ()

    @property
    def origin(self) -> str:
        """What raw.landings calls the chunk."""
        return f"log/{self.first}..{self.last}"


class LinesFile:
    """An NDJSON file of lines that is written piece by piece, beside it the rows that were left out."""

    def __init__(self, stack: ExitStack, path: Path) -> None:
        self.path = path
        self.rows = self.size = 0
        self._left_out = 0
        self._may_hold_nul = False
        self._stream = stack.enter_context(path.open("wb"))
        self._removed_path = path.with_suffix(".removed.parquet")
        self._removed_rows = stack.enter_context(pq.ParquetWriter(self._removed_path, REMOVED_SCHEMA))

    def add(self, lines: bytes) -> None:
        """Add whole lines."""
        self._stream.write(lines)
        self.rows += lines.count(b"\n")
        self.size += len(lines)
        self._may_hold_nul = self._may_hold_nul or b"\\u0000" in lines

    def leave_out(self, rows: list[dict[str, Any]]) -> None:
        """Add rows of REMOVED_SCHEMA that are no lines."""
        self._removed_rows.write_table(pa.Table.from_pylist(rows, schema=REMOVED_SCHEMA))
        self._left_out += len(rows)
        self.size += sum(len(row["payload"]) for row in rows)

    def readable(self) -> ReadableFile:
        """The file, once everything was written and closed."""
        found = self.path.stat()
        source = SourceFile(self.path, "ndjson", False, found.st_size, found.st_mtime_ns)
        shape = FileShape(self.path, "ndjson", is_free_of_nul=not self._may_hold_nul)
        # none of them stands between the lines
        behind = self.rows + np.arange(1, self._left_out + 1)
        return ReadableFile(source, shape, self._removed_path, behind, self.rows)


def read_chunk(log: EventLog, after: str, newest: str, folder: Path, bounds: Bounds) -> Chunk:
    """The next chunk behind a position, written into `folder`, of a log that says its newest entry is `newest`, which is behind it.

    Where the log holds nothing behind the position any more, the chunk is empty but for that gap.
    """
    requests, first, last, entries = Requests(log), "", after, 0
    fingerprint, privacy_rows = sha256(), 0
    gaps: list[Gap] = []
    limit = FIRST_PAGE
    with ExitStack() as stack:
        events, products = (LinesFile(stack, folder / f"{name}.ndjson") for name in ("events", "products"))
        privacy = stack.enter_context((folder / "privacy.ndjson").open("wb"))
        while entries < bounds.entries and events.size + products.size < bounds.size:
            page = log.read_normalized(last, limit=min(limit, bounds.entries - entries))
            if not page:
                break
            size = sum(_bytes(entry.normalized) for entry in page)
            limit = max(1, min(LONGEST_PAGE, PAGE_BYTES * len(page) // (size + 1)))
            refused: list[tuple[str, Refused]] = []
            for entry in page:
                if entry.after not in (None, last):
                    gaps.append(Gap(last, str(entry.after)))
                last = entry.id
                lines, too_long = without_long_lines(entry.normalized)
                events.add(lines.events)
                products.add(lines.products)
                privacy.write(lines.privacy)
                privacy_rows += lines.privacy.count(b"\n")
                fingerprint.update(lines.events + lines.products + lines.privacy)
                refused += [(entry.id, each) for each in (*lines.refused, *too_long)]
            for start in range(0, len(refused), PAGE):
                events.leave_out(requests.refused_parts(refused[start : start + PAGE], source=_source_of(page)))
            first = first or page[0].id
            entries += len(page)
    if not entries:
        first, last, gaps = newest, newest, [Gap(after, newest)]
    return Chunk(
        first, last, entries, events.readable(), products.readable(), folder / "privacy.ndjson", privacy_rows,
        fingerprint.hexdigest(), requests, tuple(gaps),
    )  # fmt: skip


def _bytes(normalized: Normalized) -> int:
    return len(normalized.events) + len(normalized.products) + len(normalized.privacy)


def without_long_lines(normalized: Normalized) -> tuple[Normalized, list[Refused]]:
    """Lines that no reader takes are refused instead; hardly any entry is as long as one of them."""
    if len(normalized.events) <= ROW_LIMIT_BYTES and len(normalized.products) <= ROW_LIMIT_BYTES:
        return normalized, []
    refused = []
    kept: dict[str, Any] = {}
    for name in ("events", "products"):
        lines = getattr(normalized, name).splitlines(keepends=True)
        for line in lines:
            if len(line) > ROW_LIMIT_BYTES:
                reason = RejectReason.OVERSIZE
                refused.append(Refused(place_of(line).part, reason.value, reason.sentence))
        kept[name] = b"".join(line for line in lines if len(line) <= ROW_LIMIT_BYTES)
    return replace(normalized, **kept), refused


def _source_of(page: Sequence[NormalizedEntry]) -> str | None:
    """A source of these entries, for a refused part whose request is gone."""
    return next((name.partition("|")[0] for entry in page for name in entry.normalized.counts), None)
