"""The vectorised fingerprints against the rule written down in fingerprint.py, one value at a time."""

import hashlib
from datetime import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from activation.fingerprint import checksum, column_hashes, string_hashes
from activation.set_difference import has_repeats, not_shared

WRAP = 2**64


def mixed(value: int) -> int:
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 % WRAP
    value = (value ^ value >> 27) * 0x94D049BB133111EB % WRAP
    return value ^ value >> 31


def reference(text: bytes) -> int:
    if len(text) > 512:
        return mixed(len(text) ^ int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "little"))
    value = len(text)
    for start in range(0, len(text), 8):
        word = int.from_bytes(text[start : start + 8].ljust(8, b"\0"), "little")
        value = (value ^ word) * 0x9E3779B97F4A7C15 % WRAP
        value ^= value >> 32
    return mixed(value)


@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(0, 5))
def test_strings_hash_as_the_rule_says(texts: list[bytes], skipped: int) -> None:
    values = pa.array(texts, pa.binary()).slice(skipped)
    assert string_hashes(values).tolist() == [reference(text) for text in texts[skipped:]]


def test_long_strings_hash_as_the_rule_says() -> None:
    texts = [b"x" * size for size in (511, 512, 513, 1_000_000)]
    assert string_hashes(pa.array(texts)).tolist() == [reference(text) for text in texts]


def test_a_checksum_ignores_order_and_notices_a_change() -> None:
    ids = [f"c{number}" for number in range(1_000)]
    total = checksum(string_hashes(pa.array(ids)))
    assert checksum(string_hashes(pa.array(ids[::-1]))) == total
    assert checksum(string_hashes(pa.array([*ids[1:], "c1000"]))) != total
    assert checksum(string_hashes(pa.array([], pa.string()))) == "0" * 16


def test_a_million_ids_have_a_million_fingerprints() -> None:
    hashes = string_hashes(pa.array(np.arange(1_000_000)).cast(pa.string()))
    assert not has_repeats(hashes)
    high_bits = np.bincount((hashes >> np.uint64(56)).astype(np.int64), minlength=256)
    assert high_bits.min() > 3_600, "the fingerprints are spread evenly"


VALUES: list[tuple[pa.DataType, list[Any]]] = [
    (pa.int64(), [1, -1, 0, 2**62, None]),
    (pa.uint64(), [1, 2**64 - 1, None]),
    (pa.int8(), [1, -1, None]),
    (pa.bool_(), [True, False, None]),
    (pa.float64(), [0.1, -0.1, float("inf"), None]),
    (pa.float32(), [0.5, 1.5, None]),
    (pa.decimal128(38, 4), [Decimal("1.5"), Decimal("-1.5"), Decimal(10) ** 30, None]),
    (pa.timestamp("us"), [datetime(2026, 1, 1), datetime(2026, 1, 2), None]),
    (pa.date32(), [datetime(2026, 1, 1).date(), datetime(2026, 1, 2).date(), None]),
    (pa.string(), ["a", "b", "", None]),
    (pa.list_(pa.string()), [["a"], ["b"], ["a", "b"], ["a", "a"], [], ["ab"]]),
    (pa.struct([("a", pa.int64())]), [{"a": 1}, {"a": 2}, None]),
]


@pytest.mark.parametrize(
    ("kind", "values"), VALUES, ids=lambda value: str(value) if isinstance(value, pa.DataType) else ""
)
def test_different_values_of_a_type_have_different_fingerprints_wherever_they_stand(
    kind: pa.DataType, values: list[Any]
) -> None:
    column = pa.array(values, kind)
    hashes = column_hashes(column).tolist()
    assert len(set(hashes)) == len(values)
    backwards = column_hashes(pa.array(values[::-1], kind)).tolist()
    assert backwards == hashes[::-1]
    assert column_hashes(column.slice(1)).tolist() == hashes[1:]


def test_the_order_in_an_audience_list_does_not_count() -> None:
    first, second = column_hashes(pa.array([["a", "b", "c"], ["c", "a", "b"]]))
    assert first == second


@given(st.sets(st.integers(0, 2**64 - 1)), st.sets(st.integers(0, 2**64 - 1)), st.sets(st.integers(0, 2**64 - 1)))
def test_not_shared_is_the_symmetric_difference(left: set[int], right: set[int], both: set[int]) -> None:
    ours, theirs = (np.array(sorted(side | both), np.uint64) for side in (left, right))
    in_ours, in_theirs = not_shared(ours, theirs)
    assert set(ours[in_ours].tolist()) == (left | both) - (right | both)
    assert set(theirs[in_theirs].tolist()) == (right | both) - (left | both)
