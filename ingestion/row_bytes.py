"""The bytes of chosen rows of a text file, as they were received."""

import json
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ingestion.envelope import RejectReason
from ingestion.file_columns import json_keys
from ingestion.records import Positions
from ingestion.source_files import ReadableFile, all_rows

NOT_OF_A_FILE = (
    pa.field("origin", pa.string()),
    pa.field("request", pa.string()),
    pa.field("received_at", pa.timestamp("us")),
    pa.field("told_apart_by", pa.string()),
)
"""What is known of a row that did not come in a file; null for those that did."""
FETCHED_SCHEMA = pa.schema([
    ("place", pa.int64()), ("row_number", pa.int64()), ("payload", pa.binary()), ("reason", pa.string()),
    ("detail", pa.string()), *NOT_OF_A_FILE,
])  # fmt: skip
FRONT_ROWS = 1000


def fetched_rows(readable: ReadableFile, places: Positions) -> Iterator[pa.RecordBatch]:
    """Batches of FETCHED_SCHEMA for the rows at these sorted 0-based places of the readable file."""
    numbers = readable.row_numbers(places)
    for rows in all_rows(readable.source, readable.shape):
        first, last = np.searchsorted(numbers, [rows.first_number, rows.first_number + len(rows.starts)])
        if first == last:
            continue
        payloads = [rows.row(number - rows.first_number) for number in numbers[first:last]]
        reasons = [why_unreadable(payload) if readable.shape.format == "ndjson" else None for payload in payloads]
        details = [reason and reason.sentence for reason in reasons]
        codes = [reason and reason.value for reason in reasons]
        nothing = [[None] * len(payloads)] * len(NOT_OF_A_FILE)
        columns = [places[first:last], numbers[first:last], payloads, codes, details, *nothing]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, FETCHED_SCHEMA, strict=True)]
        yield pa.record_batch(arrays, schema=FETCHED_SCHEMA)


def front_keys(readable: ReadableFile) -> list[str]:
    """Keys of the JSON objects in the first lines of the file."""
    first = next(all_rows(readable.source, readable.shape), None)
    return json_keys(first.row(index) for index in range(min(len(first.starts), FRONT_ROWS))) if first else []


def why_unreadable(line: bytes) -> RejectReason | None:
    """What the JSON reader does not tell of a line that it could not read; None for a line that it could."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError:
        return RejectReason.NOT_UTF8
    try:
        row = json.loads(text)
        json.dumps(row, ensure_ascii=False).encode("utf-8")  # half a surrogate pair is no text
    except RecursionError:  # too deep for the library, not for the reader
        return None
    except ValueError:
        return RejectReason.BROKEN_JSON
    return None if isinstance(row, dict) else RejectReason.NOT_AN_OBJECT
