"""Typed Arrow columns to the text that Redis holds: stable, the same on every machine; null stays null (= absent).

integer 12 · decimal 12.3400 (all digits of its scale, never an exponent) · float shortest text that reads back equal,
NaN is null · boolean true/false · date 2026-10-01 · timestamp 2026-10-01T12:00:00.000000Z (UTC, microseconds) ·
list of strings: sorted JSON list · other nested values: JSON · string and binary: as they are.
"""

import json
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

type_ = pa.types
_BINARY = pa.binary()


def plain_table(table: pa.Table) -> pa.Table:
    """The same columns in types as_text takes: dictionaries and extension types unpacked, views and large types plain.

    Raises ValueError for a column of a type that has no text here (intervals, for one) and for a null in a list."""
    for number, field in enumerate(table.schema):
        column = table.column(number)
        if isinstance(field.type, pa.BaseExtensionType):
            column = pa.chunked_array([chunk.storage for chunk in column.chunks], field.type.storage_type)
        wanted = _plain_type(column.type)
        try:
            as_text(pa.nulls(0, wanted))
            column = column.cast(wanted)
        except pa.ArrowException as error:
            raise ValueError(f"Column {field.name!r} has the type {field.type}, which cannot be published.") from error
        if type_.is_list(wanted) and any(chunk.flatten().null_count for chunk in column.chunks):
            raise ValueError(f"A list in column {field.name!r} holds a null; leave it out of the list.")
        table = table.set_column(number, field.name, column)
    return table


def as_text(values: pa.Array) -> pa.Array:
    """One plain column as a binary array of its texts, same length; see the module's head for the form of each type."""
    kind = values.type
    if type_.is_timestamp(kind):
        return _timestamps(values)
    if type_.is_decimal(kind):
        return _decimals(values)
    if type_.is_list(kind) and type_.is_string(kind.value_type):
        return json_lists(values)
    if type_.is_nested(kind):
        return _json(values)
    if type_.is_floating(kind):
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)
    return (values if type_.is_binary(kind) else values.cast(pa.string())).cast(_BINARY)


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if type_.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if type_.is_large_string(kind) or type_.is_string_view(kind):
        return pa.string()
    if type_.is_large_binary(kind) or type_.is_binary_view(kind) or type_.is_fixed_size_binary(kind):
        return _BINARY
    if type_.is_list(kind) or type_.is_large_list(kind) or type_.is_fixed_size_list(kind):
        return pa.list_(_plain_type(kind.value_type))
    return kind


def json_lists(values: pa.Array) -> pa.Array:
    """Each list of strings as a sorted JSON list, `["a","b"]`; a null list stays null.

    Each distinct string is escaped once, so a column that draws on few names (audiences) costs little."""
    lists = _sorted_lists(values)
    encoded = lists.flatten().dictionary_encode()
    escaped = pa.array([json.dumps(text, ensure_ascii=False) for text in encoded.dictionary.to_pylist()], pa.string())
    quoted = pa.ListArray.from_arrays(_offsets_from_zero(lists), escaped.take(encoded.indices))
    joined = pc.binary_join(quoted.cast(pa.list_(_BINARY)), pa.scalar(b",", _BINARY))
    texts = pc.binary_join_element_wise(_constant(b"["), joined, _constant(b"]"), _constant(b""))
    return texts if not values.null_count else pc.if_else(values.is_valid(), texts, pa.scalar(None, _BINARY))


def _constant(text: bytes) -> pa.Scalar:
    return pa.scalar(text, _BINARY)


def _offsets_from_zero(lists: pa.ListArray) -> pa.Array:
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())


def _sorted_lists(values: pa.ListArray) -> pa.ListArray:
    elements = values.flatten()
    offsets, encoded = _offsets_from_zero(values), elements.dictionary_encode()
    ranks = np.empty(len(encoded.dictionary), np.int64)
    ranks[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(ranks))
    row = np.repeat(np.arange(len(values)), np.diff(offsets.to_numpy()))
    order = row * max(len(ranks), 1) + ranks[encoded.indices.to_numpy(zero_copy_only=False)]
    if len(order) and np.any(np.diff(order) < 0):
        elements = elements.take(pa.array(np.argsort(order, kind="stable")))
    return pa.ListArray.from_arrays(offsets, elements)


def _timestamps(values: pa.Array) -> pa.Array:
    naive_utc = values.cast(pa.timestamp("us", values.type.tz), safe=False).view(pa.int64()).view(pa.timestamp("us"))
    text = pc.replace_substring(naive_utc.cast(pa.string()), " ", "T").cast(_BINARY)
    return pc.binary_join_element_wise(text, _constant(b"Z"), _constant(b""))


def _decimals(values: pa.Array) -> pa.Array:
    texts = values.cast(pa.string())
    has_exponent = pc.match_substring(texts, "E").fill_null(False)
    if pc.any(has_exponent).as_py():
        plain = [f"{Decimal(text):f}" for text in texts.filter(has_exponent).to_pylist()]
        texts = pc.replace_with_mask(texts, has_exponent, pa.array(plain, pa.string()))
    return texts.cast(_BINARY)


def _json(values: pa.Array) -> pa.Array:
    texts = [
        None if value is None else json.dumps(value, ensure_ascii=False, sort_keys=True, default=str).encode()
        for value in values.to_pylist()
    ]
    return pa.array(texts, _BINARY)
