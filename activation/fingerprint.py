"""64-bit fingerprints of Arrow columns, vectorised: they detect change and damage, not forgery.

One string: h = length; for each 8-byte little-endian word w, zero padded: h = (h ^ w) * M, h ^= h >> 32; then
h = mix(h), mix being the finaliser of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators,
OOPSLA 2014) and M = 0x9E3779B97F4A7C15. A string longer than 512 bytes stands for its 8-byte BLAKE2b digest (with its
own length as h). All arithmetic is modulo 2^64.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from activation.column_text import as_text

type_ = pa.types
Hashes = npt.NDArray[np.uint64]
_M = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_NULL = np.uint64(0x6A09E667F3BCC909)
_LONGEST_IN_WORDS = 512
ROWS_AT_ONCE = 16_384
"""Small enough for all temporary arrays to stay in the cache, and in memory the process has already."""


def mix(values: Hashes) -> Hashes:
    """Finaliser of splitmix64 over an array; a bijection of 64-bit integers."""
    values = (values ^ (values >> np.uint64(30))) * _MIX_1
    values = (values ^ (values >> np.uint64(27))) * _MIX_2
    return values ^ (values >> np.uint64(31))


def combine(left: Hashes, right: Hashes) -> Hashes:
    """Order-dependent combination of two fingerprints per row."""
    return mix(left * _M ^ right)


def checksum(hashes: Hashes) -> str:
    """Order-independent checksum of a set: the sum of its fingerprints modulo 2^64, as 16 hex digits."""
    return f"{int(hashes.sum(dtype=np.uint64)):016x}"


def string_hashes(values: pa.Array | pa.ChunkedArray) -> Hashes:
    """Fingerprint of each string or binary value, by the rule in this module's head; a null gets its own constant."""
    if isinstance(values, pa.ChunkedArray):
        return np.concatenate([string_hashes(chunk) for chunk in values.chunks] or [np.empty(0, np.uint64)])
    values = values.cast(pa.large_binary())
    if not len(values):
        return np.empty(0, np.uint64)
    offsets = np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values) + 1]
    data = np.frombuffer(values.buffers()[2] or b"", np.uint8)
    hashes = np.empty(len(values), np.uint64)
    for start in range(0, len(values), ROWS_AT_ONCE):
        stop = min(start + ROWS_AT_ONCE, len(values))
        hashes[start:stop] = _block_hashes(data, offsets[start : stop + 1])
    if values.null_count:
        hashes[values.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return hashes


def _block_hashes(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> Hashes:
    text, lengths = data[offsets[0] : offsets[-1]], np.diff(offsets)
    starts = offsets[:-1] - offsets[0]
    hashes = _word_hashes(text, starts, np.where(lengths > _LONGEST_IN_WORDS, 0, lengths))
    for row in np.flatnonzero(lengths > _LONGEST_IN_WORDS):
        digest = hashlib.blake2b(text[starts[row] : starts[row] + lengths[row]].tobytes(), digest_size=8).digest()
        hashes[row] = np.uint64(lengths[row]) ^ np.uint64(int.from_bytes(digest, "little"))
    return mix(hashes)


def _word_hashes(text: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> Hashes:
    hashes = lengths.astype(np.uint64)
    padded = np.zeros(len(text) + 8, np.uint8)
    padded[: len(text)] = text
    # Overlapping view: words[i] is the 8-byte word that starts at byte i.
    words = np.ndarray((len(padded) - 7,), dtype="<u8", buffer=padded.data, strides=(1,))
    longest, shortest = int(lengths.max()), int(lengths.min())
    rows: npt.NDArray[np.int64] | slice = slice(None)
    for begin in range(0, longest, 8):
        left = lengths - begin
        if begin >= shortest:
            rows = np.flatnonzero(left > 0)
        mixed = words[starts[rows] + begin]
        if begin + 8 > shortest:
            used = np.minimum(left[rows], 8).astype(np.uint64)
            mixed &= ~np.uint64(0) >> (np.uint64(64) - used * np.uint64(8))
        mixed = (hashes[rows] ^ mixed) * _M
        hashes[rows] = mixed ^ (mixed >> np.uint64(32))
    return hashes


def column_hashes(values: pa.Array) -> Hashes:
    """Fingerprint of each value of a plain column (column_text.plain_table): equal values of a type have equal ones."""
    kind = values.type
    if type_.is_list(kind) and type_.is_string(kind.value_type):
        return _list_hashes(values)
    if type_.is_decimal128(kind):
        pairs = np.frombuffer(values.buffers()[1], np.uint64).reshape(-1, 2)[
            values.offset : values.offset + len(values)
        ]
        hashes = combine(pairs[:, 0], pairs[:, 1])
    elif type_.is_boolean(kind) or type_.is_integer(kind) or type_.is_temporal(kind):
        hashes = mix(_integers(values))
    elif type_.is_floating(kind):
        hashes = mix(values.cast(pa.float64()).fill_null(0.0).to_numpy(zero_copy_only=False).view(np.uint64))
    else:
        return string_hashes(as_text(values))
    if values.null_count:
        hashes[values.is_null().to_numpy(zero_copy_only=False)] = _NULL
    return hashes


def _integers(values: pa.Array) -> Hashes:
    kind = values.type
    if type_.is_temporal(kind):
        values = values.view(pa.int32() if kind.bit_width == 32 else pa.int64())
    elif not type_.is_unsigned_integer(kind):
        values = values.cast(pa.int64())
    filled: npt.NDArray[Any] = values.fill_null(0).to_numpy(zero_copy_only=False)
    return filled.astype(np.int64, copy=False).view(np.uint64) if filled.dtype != np.uint64 else filled


def _list_hashes(values: pa.ListArray) -> Hashes:
    """Sum of the elements' fingerprints: lists here are sets (an audience list is sorted before it is written)."""
    encoded = values.flatten().dictionary_encode()
    elements = string_hashes(encoded.dictionary)[encoded.indices.to_numpy(zero_copy_only=False)]
    lengths = pc.list_value_length(values).fill_null(0).to_numpy(zero_copy_only=False)
    ends = np.cumsum(lengths)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(elements, dtype=np.uint64)])
    return mix(sums[ends] - sums[ends - lengths] + lengths.astype(np.uint64))
