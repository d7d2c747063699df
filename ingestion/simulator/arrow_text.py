"""Text columns built without a Python loop: joining, ids from random bytes, money, times."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.simulator.arrays import Flags, Ints, Strings

_HEX = np.frombuffer("".join(f"{i:02x}" for i in range(256)).encode(), dtype="S2")
_UUID_DASHES = (8, 12, 16, 20)


def joined(*parts: str | Strings) -> Strings:
    """Concatenates columns and constants row by row; a null part counts as the empty text. At least one is a column."""
    return pc.binary_join_element_wise(*parts, "", null_handling="skip")


def _fixed_width(characters: npt.NDArray[np.uint8]) -> Strings:
    rows, width = characters.shape
    offsets = np.arange(rows + 1, dtype=np.int32) * width
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(characters))]
    return pa.StringArray.from_buffers(rows, buffers[1], buffers[2])


def hex_ids(rng: np.random.Generator, count: int, size: int = 16) -> Strings:
    """`count` random ids of 2 x `size` hexadecimal digits."""
    digits = _HEX[rng.integers(0, 256, (count, size), dtype=np.uint8)]
    return _fixed_width(digits.view(np.uint8).reshape(count, 2 * size))


def uuids(rng: np.random.Generator, count: int) -> Strings:
    """`count` random ids written like a UUID."""
    digits = _HEX[rng.integers(0, 256, (count, 16), dtype=np.uint8)].view(np.uint8).reshape(count, 32)
    return _fixed_width(np.insert(digits, _UUID_DASHES, ord("-"), axis=1))


def letters(rng: np.random.Generator, count: int, size: int) -> Strings:
    """`count` random texts of `size` lower-case letters."""
    return _fixed_width(rng.integers(ord("a"), ord("z") + 1, (count, size), dtype=np.uint8))


def digits(rng: np.random.Generator, count: int, size: int) -> Strings:
    """`count` random texts of `size` digits."""
    return _fixed_width(rng.integers(ord("0"), ord("9") + 1, (count, size), dtype=np.uint8))


def picked(values: Strings | list[str] | list[str | None], index: Ints, *, only: Flags | None = None) -> Strings:
    """values[index] row by row; null where `only` is false."""
    source = values if isinstance(values, pa.Array) else pa.array(values, pa.string())
    return source.take(pa.array(index, mask=None if only is None else ~only))


def where(flags: Flags, yes: str | Strings | None, no: str | Strings | None) -> Strings:
    """yes where the flag is true, else no."""
    sides = [pa.scalar(side, pa.string()) if side is None or isinstance(side, str) else side for side in (yes, no)]
    return pc.if_else(pa.array(flags), *sides)


def money_text(cents: Ints) -> Strings:
    """Cents as text with two decimals: 1230 gives 12.30 (of at most 1e18 cents)."""
    words = np.empty((cents.size, 2), np.int64)
    words[:, 0] = cents
    words[:, 1] = cents >> 63
    decimals = pa.Array.from_buffers(pa.decimal128(20, 2), cents.size, [None, pa.py_buffer(words)])
    return decimals.cast(pa.string())


def number_text(values: Ints) -> Strings:
    """Whole numbers as text."""
    return pa.array(values).cast(pa.string())


def timestamps(micros: Ints) -> pa.Array:
    """Microseconds since 1970 as naive timestamps."""
    return pa.array(micros).view(pa.timestamp("us"))


def second_text(micros: Ints) -> Strings:
    """Microseconds since 1970 as '2026-07-01 12:30:05'; anything below the second is cut."""
    return pa.array(micros // 1_000_000).view(pa.timestamp("s")).cast(pa.string())


def grouped_text(parts: Strings, group: Ints, groups: int) -> Strings:
    """The parts of each group joined by a comma: `group` is sorted, and a group without parts gives the empty text."""
    offsets = np.searchsorted(group, np.arange(groups + 1)).astype(np.int32)
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), parts), ",")
