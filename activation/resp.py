"""Redis commands as bytes, built for whole columns at once (RESP: redis.io/docs/reference/protocol-spec).

Arrow keeps the values of a binary array back to back in one buffer, so an array that holds one row's commands per
value *is* the byte stream of all of them: nothing is joined or copied before it goes to the socket.
"""

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_BINARY = pa.binary()
_EMPTY = pa.scalar(b"", _BINARY)
Piece: TypeAlias = bytes | pa.Array


def command(*arguments: str | int | bytes) -> bytes:
    """One whole command, e.g. command("COPY", a, b)."""
    parts = [argument if isinstance(argument, bytes) else str(argument).encode() for argument in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(bulk(part) for part in parts)


def bulk(text: bytes) -> bytes:
    """One argument of a command."""
    return b"$%d\r\n%b\r\n" % (len(text), text)


def header(name: bytes, argument_count: int) -> bytes:
    """What a command starts with: its number of arguments (the name included) and its name."""
    return b"*%d\r\n%b" % (argument_count, bulk(name))


def joined(pieces: Sequence[Piece]) -> pa.Array:
    """One binary array: row by row all pieces one after the other. At least one piece is an array; no nulls."""
    folded: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and folded and isinstance(folded[-1], bytes):
            folded[-1] += piece
        else:
            folded.append(piece)
    arguments = [pa.scalar(piece, _BINARY) if isinstance(piece, bytes) else piece for piece in folded]
    return pc.binary_join_element_wise(*arguments, _EMPTY)


def decimal_text(numbers: pa.Array) -> pa.Array:
    """Integers as their decimal digits, binary."""
    return numbers.cast(pa.string()).cast(_BINARY)


def bulk_pieces(values: pa.Array, *, prefix: bytes = b"") -> list[Piece]:
    """Pieces of the argument `prefix + value` for each row of a binary array without nulls."""
    lengths = pc.binary_length(values)
    extremes = pc.min_max(lengths).as_py()
    if extremes["min"] == extremes["max"] and len(values):
        return [b"$%d\r\n%b" % (extremes["min"] + len(prefix), prefix), values, b"\r\n"]
    return [b"$", decimal_text(pc.add(lengths, len(prefix))), b"\r\n" + prefix, values, b"\r\n"]


def row_slices(rows: pa.Array, rows_each: int) -> Iterator[tuple[int, memoryview]]:
    """(number of rows, their bytes back to back, not copied) for each run of at most `rows_each` rows."""
    offsets = np.frombuffer(rows.buffers()[1], np.int32)[rows.offset : rows.offset + len(rows) + 1]
    data = memoryview(rows.buffers()[2] or b"")
    for start in range(0, len(rows), rows_each):
        stop = min(start + rows_each, len(rows))
        yield stop - start, data[int(offsets[start]) : int(offsets[stop])]
