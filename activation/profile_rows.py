"""What is to be published of customers: one row per Redis key, with its fingerprint, and the commands that write it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from activation import keys, resp
from activation.column_text import as_text, plain_table
from activation.fingerprint import ROWS_AT_ONCE, Hashes, column_hashes, combine, string_hashes
from activation.published_features import FIELD, features_by_customer
from activation.set_difference import has_repeats

_BINARY = pa.binary()
AUDIENCES = "audiences"
CUSTOMER_ID = "customer_id"
_IDENTIFIER_COLUMNS = ("identifier_type", "identifier_value", CUSTOMER_ID)
_BYTES_PER_CHUNK = 4 << 20
_FIXED_BYTES_PER_ROW = 256


@dataclass(frozen=True, kw_only=True)
class KeyRows:
    """Rows of one kind of key: `names` are keys without their prefix, `name_hashes` their fingerprints."""

    prefix: str
    table: pa.Table
    names: pa.Array
    name_hashes: Hashes


@dataclass(frozen=True, kw_only=True)
class Fingerprinted:
    """Key rows with a fingerprint of key and value for each."""

    rows: KeyRows
    fingerprints: Hashes


def profile_rows(profiles: pa.Table, features: pa.Table | None = None) -> KeyRows:
    """Check the profiles (customer_id, any typed columns, audiences: list of strings), and put features beside them.

    Grain: one row per customer. Raises ValueError for a missing, null, empty or repeated customer_id and for a column
    whose name starts with `_`."""
    if CUSTOMER_ID not in profiles.column_names:
        raise ValueError("The profiles to publish lack the column customer_id.")
    reserved = [name for name in profiles.column_names if name.startswith("_")]
    if reserved:
        raise ValueError(f"Profile columns must not start with '_': {', '.join(reserved)}.")
    table = plain_table(profiles)
    names = _present(table[CUSTOMER_ID], "customer_id of the profiles").combine_chunks()
    table = table.drop_columns([CUSTOMER_ID])
    hashes = _distinct_hashes(names, "A customer_id stands twice in the profiles to publish.")
    if features is not None:
        table = table.append_column(FIELD, features_by_customer(features, names))
    return KeyRows(prefix=keys.PROFILE_PREFIX, table=table, names=names, name_hashes=hashes)


def identifier_rows(identifiers: pa.Table) -> KeyRows:
    """Check the identifiers (identifier_type, identifier_value, customer_id; merged ids as type customer_id).

    Grain: one row per (type, value). Raises ValueError for a null, an empty value, a repeated identifier or a type that
    no key can hold."""
    missing = [name for name in _IDENTIFIER_COLUMNS if name not in identifiers.column_names]
    if missing:
        raise ValueError(f"The identifiers to publish lack the column {', '.join(missing)}.")
    table = plain_table(identifiers.select(_IDENTIFIER_COLUMNS))
    types, values, customers = (_present(table[name], name) for name in _IDENTIFIER_COLUMNS)
    for kind in pc.unique(types).to_pylist():
        keys.identifier_key(kind.decode(errors="replace"), "")
    names = pc.binary_join_element_wise(types, values, pa.scalar(b":", _BINARY)).combine_chunks()
    hashes = _distinct_hashes(names, "An identifier stands twice in the identifiers to publish.")
    table = pa.table({CUSTOMER_ID: customers})
    return KeyRows(prefix=keys.IDENTIFIER_PREFIX, table=table, names=names, name_hashes=hashes)


def fingerprinted(rows: KeyRows) -> Fingerprinted:
    """Fingerprint key and value of each row; a column's name and type count too, so a change of either resends all."""
    seeds = [
        string_hashes(pa.array([f"{keys.CONTRACT_VERSION} {field.name} {field.type}"])) for field in rows.table.schema
    ]
    hashes, start = rows.name_hashes.copy(), 0
    for batch in rows.table.to_batches(max_chunksize=ROWS_AT_ONCE):
        part = hashes[start : start + len(batch)]
        for column, seed in zip(batch.columns, seeds, strict=True):
            part = combine(part, column_hashes(column) + seed)
        hashes[start : start + len(batch)] = part
        start += len(batch)
    return Fingerprinted(rows=rows, fingerprints=hashes)


def _present(column: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    values = column.cast(pa.string()) if not pa.types.is_binary(column.type) else column
    values = values.cast(_BINARY)
    if values.null_count or pc.any(pc.equal(pc.binary_length(values), 0)).as_py():
        raise ValueError(f"A {what} to publish is missing.")
    return values


def _distinct_hashes(names: pa.Array, complaint: str) -> Hashes:
    hashes = string_hashes(names)
    if has_repeats(hashes):
        raise ValueError(complaint)
    return hashes


def profile_commands(rows: KeyRows, chosen: pa.Array, *, stamp: bytes, replacing: bool) -> Iterator[pa.Array]:
    """Chunks of binary arrays: per chosen row the commands that make its hash; `stamp` holds _version and _as_of.

    `replacing`: DEL comes before HSET, so that a field that became null goes; the two belong in one transaction."""
    for positions in _chunks(rows, chosen):
        names = rows.names.take(positions)
        part = rows.table.take(positions)
        columns = {name: as_text(_one_array(part[name])) for name in part.column_names}
        if AUDIENCES in columns:
            columns[AUDIENCES] = columns[AUDIENCES].fill_null(b"[]")
        key = resp.bulk_pieces(names, prefix=rows.prefix.encode())
        delete = [resp.header(b"DEL", 2), *key] if replacing else []
        yield resp.joined([*delete, *_hset_head(columns, len(names)), *key, *_fields(columns), stamp])


def identifier_commands(rows: KeyRows, chosen: pa.Array) -> Iterator[pa.Array]:
    """Chunks of binary arrays: per chosen row the SET that maps the identifier to its customer."""
    for positions in _chunks(rows, chosen):
        key = resp.bulk_pieces(rows.names.take(positions), prefix=rows.prefix.encode())
        value = resp.bulk_pieces(_one_array(rows.table[CUSTOMER_ID].take(positions)))
        yield resp.joined([resp.header(b"SET", 3), *key, *value])


def removal_commands(names: pa.Array, prefix: str) -> pa.Array:
    """One binary array: an UNLINK for each key."""
    return resp.joined([resp.header(b"UNLINK", 2), *resp.bulk_pieces(names, prefix=prefix.encode())])


def stamp_fields(version: int, as_of: str) -> bytes:
    """The last two fields of each profile written by this publication."""
    values = (b"_version", str(version).encode(), b"_as_of", as_of.encode())
    return b"".join(resp.bulk(value) for value in values)


def _hset_head(columns: dict[str, pa.Array], rows: int) -> list[resp.Piece]:
    """`HSET` and its number of arguments: name, key, stamp, and two for each field that is not null."""
    always = 6 + 2 * sum(1 for column in columns.values() if not column.null_count)
    nullable = [column for column in columns.values() if column.null_count]
    if not nullable:
        return [resp.header(b"HSET", always)]
    counts = np.full(rows, always, np.int64)
    for column in nullable:
        counts += 2 * column.is_valid().to_numpy(zero_copy_only=False)
    return [b"*", resp.decimal_text(pa.array(counts)), b"\r\n" + resp.bulk(b"HSET")]


def _fields(columns: dict[str, pa.Array]) -> list[resp.Piece]:
    pieces: list[resp.Piece] = []
    for name, column in columns.items():
        field = resp.bulk(name.encode())
        if not column.null_count:
            pieces += [field, *resp.bulk_pieces(column)]
        elif column.null_count < len(column):
            present = resp.joined([field, *resp.bulk_pieces(column.fill_null(b""))])
            pieces.append(pc.if_else(column.is_valid(), present, pa.scalar(b"", _BINARY)))
    return pieces


def built_ahead(chunks: Iterator[pa.Array]) -> Iterator[pa.Array]:
    """The same chunks, each next one built in a thread while the one before is sent (Arrow works without the GIL)."""
    with ThreadPoolExecutor(1, thread_name_prefix="weft-commands") as builder:
        following = builder.submit(next, chunks, None)
        while (chunk := following.result()) is not None:
            following = builder.submit(next, chunks, None)
            yield chunk


def _chunks(rows: KeyRows, chosen: pa.Array) -> Iterator[pa.Array]:
    """Runs of chosen row numbers whose text stays near a few MB, however long single values are."""
    sizes = np.full(rows.table.num_rows, _FIXED_BYTES_PER_ROW, np.int64)
    for column in rows.table.columns:
        if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
            sizes += pc.binary_length(column).fill_null(0).to_numpy()
    ends = np.cumsum(sizes[chosen.to_numpy()]) // _BYTES_PER_CHUNK
    for numbers in np.split(chosen.to_numpy(), np.flatnonzero(np.diff(ends)) + 1):
        if len(numbers):
            yield pa.array(numbers)


def _one_array(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
