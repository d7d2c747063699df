"""Cut a text file into rows, block by block with NumPy, and find the rows that no reader must meet.

A row keeps its place (1-based, blank lines and a CSV header not counted) and its exact bytes, so that what is refused
can be shown as it was received. Memory is bounded by the block, whatever the file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

Positions = NDArray[np.int64]

BLOCK_BYTES = 8 << 20
ROW_LIMIT_BYTES = 1 << 20
# of a row longer than this only the front is kept: one endless line must not fill the memory
KEPT_BYTES = 32 << 20
NEWLINE, RETURN, QUOTE = 10, 13, 34
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Fault(IntEnum):
    """What is wrong with a row; REPAIRED rows are good once they are written again."""

    NONE = 0
    OVERSIZE = 1
    NOT_UTF8 = 2
    BROKEN_CSV = 3
    REPAIRED = 4


@dataclass(frozen=True)
class Rows:
    """Rows of one block: `data[starts[i]:ends[i]]` is row `first_number + i` without its line end."""

    data: bytes
    first_number: int
    starts: Positions
    ends: Positions
    faults: NDArray[np.uint8]

    def row(self, index: int) -> bytes:
        """The bytes of one row."""
        return self.data[self.starts[index] : self.ends[index]].removesuffix(b"\r")


def line_blocks(stream: BinaryIO) -> Iterator[bytes]:
    """Blocks that end at the end of a line; a line longer than KEPT_BYTES is a block of its own, cut there."""
    rest = b""
    chunk = stream.read(max(BLOCK_BYTES, len(BYTE_ORDER_MARK))).removeprefix(BYTE_ORDER_MARK)
    while chunk:
        end = chunk.rfind(b"\n") + 1
        if end:
            yield rest + chunk[:end]
            rest = chunk[end:]
        elif len(rest) + len(chunk) <= KEPT_BYTES:
            rest += chunk
        else:
            yield (rest + chunk)[:KEPT_BYTES]
            rest = _after_next_newline(stream)
        chunk = stream.read(BLOCK_BYTES)
    if rest:
        yield rest


def _after_next_newline(stream: BinaryIO) -> bytes:
    while chunk := stream.read(BLOCK_BYTES):
        if newline := chunk.find(b"\n") + 1:
            return chunk[newline:]
    return b""


def line_rows(stream: BinaryIO) -> Iterator[Rows]:
    """Rows of a file with one row per line (NDJSON)."""
    number = 1
    for data in line_blocks(stream):
        starts, ends = line_bounds(data)
        kept = ~_blank(data, starts, ends)
        starts, ends = starts[kept], ends[kept]
        yield Rows(data, number, starts, ends, line_faults(data, starts, ends))
        number += len(starts)


def line_bounds(data: bytes) -> tuple[Positions, Positions]:
    """Start and end (newline excluded) of every line of a block."""
    newlines = np.flatnonzero(np.frombuffer(data, np.uint8) == NEWLINE).astype(np.int64)
    ends = newlines if data.endswith(b"\n") else np.append(newlines, len(data))
    starts = np.concatenate([np.zeros(1, np.int64), newlines + 1])[: len(ends)]
    return starts, ends


def line_faults(data: bytes, starts: Positions, ends: Positions) -> NDArray[np.uint8]:
    """Fault of every row by its size and its bytes."""
    faults = np.where(ends - starts > ROW_LIMIT_BYTES, Fault.OVERSIZE, Fault.NONE).astype(np.uint8)
    if _is_utf8(data):
        return faults
    high = np.flatnonzero(np.frombuffer(data, np.uint8) >= 0x80)
    suspects = np.unique(np.searchsorted(starts, high, side="right") - 1)
    for index in suspects[suspects >= 0]:
        if faults[index] == Fault.NONE and not _is_utf8(data[starts[index] : ends[index]]):
            faults[index] = Fault.NOT_UTF8
    return faults


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _blank(data: bytes, starts: Positions, ends: Positions) -> NDArray[np.bool_]:
    blank: NDArray[np.bool_] = ends == starts
    if not len(starts):
        return blank
    first = np.frombuffer(data, np.uint8)[np.minimum(starts, len(data) - 1)]
    for index in np.flatnonzero(~blank & (first <= 32)):
        blank[index] = not data[starts[index] : ends[index]].strip(b" \t\r\v\f")
    return blank
