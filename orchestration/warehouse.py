"""The warehouse as the platform sees it: one writer at a time, readers on whole builds, tables in and out as Arrow.

DuckDB and PostgreSQL stand behind the same two protocols; SQL written against them is standard SQL with `?` for values.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import pyarrow as pa

BATCH_ROWS = 65_536
"""Rows that are read at a time where a table may be of any size."""

KEEP_BUILDS = 3
"""Whole builds that stay readable: the one that is served, and those that a publication in progress may still read."""


class Connection(Protocol):
    """One open connection. Values go in as parameters, marked `?`."""

    @property
    def dialect(self) -> str:
        """duckdb or postgres."""

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run one statement whose answer nobody reads."""

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""

    def arrow(self, sql: str) -> pa.Table:
        """All rows of a query as Arrow."""

    def batches(self, sql: str, *, size: int = BATCH_ROWS) -> Iterator[pa.Table]:
        """The rows of a query in parts of about `size` rows, none of them empty; other statements may run in between."""

    def transaction(self) -> AbstractContextManager[None]:
        """All of the block or nothing of it."""

    def append(self, table: str, rows: pa.Table) -> None:
        """Add Arrow rows to an existing table, by the names of their columns."""

    def schema(self, name: str) -> str:
        """What the schema `name` is called in the warehouse: a served build may be in schemas of its own."""


class Warehouse(Protocol):
    """Where events, models and builds are."""

    @property
    def dialect(self) -> str:
        """duckdb or postgres."""

    def writer(self) -> AbstractContextManager[Connection]:
        """The one writing connection: waits for whoever writes now, and lets the next one in when it closes."""

    def idle_writer(self) -> AbstractContextManager[Connection | None]:
        """The writing connection where nobody writes and there is a warehouse, else None; waits for nobody."""

    def dbt_turn(self) -> AbstractContextManager[None]:
        """What the platform holds while its own dbt process writes."""

    def serve_newest_build(self, *, wait: bool = True) -> str | None:
        """Let readers see the newest whole build; its id where it is a new one.

        None where it is served already, where there is none, or where `wait` is off and somebody writes right now.
        """

    def served_build(self) -> str | None:
        """Id of the build that readers see."""

    def open_served(self, build_id: str | None = None) -> AbstractContextManager[Connection]:
        """A read-only connection to a served build, by default the current one. Raises NothingServedError."""

    def size_bytes(self) -> int | None:
        """How big the warehouse is; None where there is none yet."""

    def is_being_written(self) -> bool:
        """Whether somebody writes right now; waits for nobody."""


TEXT = 'varchar collate "C"'
"""Text ordered by its bytes, on every warehouse and whatever the database's own collation is."""

SQL_TYPES = {
    pa.string(): "varchar",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.float64(): "float8",
    pa.bool_(): "boolean",
    pa.timestamp("us"): "timestamp",
}
"""Column types of tables that come as Arrow."""


def write_table(
    connection: Connection,
    table: str,
    rows: pa.Table,
    columns: Mapping[str, str],
    *,
    append: bool = False,
) -> None:
    """Write Arrow rows into `schema.table` whose columns and types are given; replaces what was there unless `append`."""
    create_table(connection, table, columns)
    if not append:
        connection.execute(f"delete from {table}")
    connection.append(table, rows.select(list(columns)))


def create_table(connection: Connection, table: str, columns: Mapping[str, str], *, temporary: bool = False) -> None:
    """Create `schema.table` (and its schema) where it is missing; a temporary one, without a schema, lasts as long as the session."""
    declared = ", ".join(f"{name} {TEXT if type_.lower() == 'varchar' else type_}" for name, type_ in columns.items())
    if temporary:
        connection.execute(f"create temporary table {table} ({declared})")
        return
    connection.execute(f"create schema if not exists {table.partition('.')[0]}")
    connection.execute(f"create table if not exists {table} ({declared})")


def add_columns(connection: Connection, table: str, columns: Mapping[str, str]) -> None:
    """Add to a table, which exists, those of the columns that it lacks; they hold nothing yet."""
    present = connection.arrow(f"select * from {table} where 1 = 0").column_names
    for name, type_ in columns.items():
        if name not in present:
            connection.execute(f"alter table {table} add column {name} {TEXT if type_.lower() == 'varchar' else type_}")


def first_row(connection: Connection, query: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
    """The first row of a query, None where it has none."""
    rows = connection.rows(query, parameters)
    return rows[0] if rows else None


def scalar(connection: Connection, query: str, parameters: Sequence[object] = ()) -> Any:
    """The first value of the first row of a query, None where it has no row."""
    row = first_row(connection, query, parameters)
    return row[0] if row else None


def row_count(connection: Connection, table: str) -> int:
    """Rows of `schema.table`."""
    return int(scalar(connection, f"select count(*) from {table}"))


def tables_of(connection: Connection, schema: str, *, with_views: bool = True) -> set[str]:
    """Names of the tables and views of a schema. What is a view of a big table in a served build still counts as a table."""
    query = "select table_name from information_schema.tables where table_schema = ?"
    names = {name for (name,) in connection.rows(query, [connection.schema(schema)])}
    if with_views:
        return names
    return names & {name for (name,) in connection.rows(f"{query} and table_type = 'BASE TABLE'", [schema])}


NEWEST_BUILD = "select build_id, as_of from control.builds order by completed_at desc limit 1"
