"""The commands of a whole publication as RESP text made by DuckDB: the bytes that Weft sends, without its transactions."""

from collections.abc import Iterator
from typing import Final

import duckdb
import pyarrow as pa

STAMP: Final = {"_version": "1", "_as_of": "2026-12-31T00:00:00.000000Z"}

IDENTIFIERS: Final = """
    select '*3' || {nl} || {set} || {key} || {customer_id} as command
    from (select 'weft:id:' || identifier_type || ':' || identifier_value as key, customer_id from identifiers_customers)
"""

MEMBERS: Final = """
    select '*' || (2 + count(*)) || {nl} || {sadd} || {key} || string_agg({customer_id}, '') as command
    from (
        select
            'weft:audience:' || audience || ':v1' as key, customer_id,
            row_number() over (partition by audience) // 1000 as part
        from members_customers
    )
    group by key, part
"""


def publication(connection: duckdb.DuckDBPyConnection) -> Iterator[memoryview]:
    """Chunks of the byte stream that writes all profiles, identifiers and audience sets (values are ASCII)."""
    for query in (_profiles(connection), _filled(IDENTIFIERS), _filled(MEMBERS)):
        for batch in connection.sql(query).to_arrow_reader(50_000):
            texts = batch.column(0).cast(pa.large_string())
            offsets = memoryview(texts.buffers()[1]).cast("q")
            yield memoryview(texts.buffers()[2])[offsets[texts.offset] : offsets[texts.offset + len(texts)]]


def _profiles(connection: duckdb.DuckDBPyConnection) -> str:
    described = connection.execute("select * exclude (customer_id, audiences) from customers limit 0").description or []
    audiences = """'["' || array_to_string(audiences, '","') || '"]'"""
    named = [(name, f"cast({name} as varchar)") for name, *_ in described] + [("audiences", audiences)]
    fields = [_literal(name) + ", " + _argument(value) for name, value in named]
    stamp = [_literal(name) + ", " + _literal(value) for name, value in STAMP.items()]
    count = 2 + 2 * len(fields) + 2 * len(stamp)
    head = [f"'*{count}' || {_NEW_LINE}", _literal("HSET"), _argument("'weft:profile:' || customer_id")]
    # one concat of all parts: a chain of || would copy the row at every step
    return f"select concat({', '.join([*head, *fields, *stamp])}) as command from customers"


def _filled(query: str) -> str:
    return query.format(
        nl=_NEW_LINE,
        set=_literal("SET"),
        sadd=_literal("SADD"),
        key=_argument("key"),
        customer_id=_argument("customer_id"),
    )


_NEW_LINE: Final = "'\r\n'"


def _argument(expression: str) -> str:
    return f"concat('$', strlen({expression}), {_NEW_LINE}, {expression}, {_NEW_LINE})"


def _literal(text: str) -> str:
    return f"'${len(text)}\r\n{text}\r\n'"
