"""The warehouse: one writer at a time behind one lock, readers on a served copy, tables in and out as Arrow."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0


def lock_path(warehouse: Path) -> Path:
    """The lock that every writer of this warehouse queues on, an analyst's dbt included."""
    return warehouse.with_name(warehouse.name + ".lock")


@contextmanager
def writer_lock(warehouse: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the writer's lock; yields False at once where `wait` is off and somebody else writes.

    The kernel frees the lock when its process dies, so a killed run never keeps the next one out.
    """
    warehouse.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_path(warehouse), thread_local=False)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS if wait else 0)
    except Timeout:
        if not wait:
            yield False
            return
        log.warning("Another run is writing to the warehouse; waiting for it to finish.")
        lock.acquire()
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def open_writer(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The one writing connection; closed (and the lock freed) at the end of the block."""
    with writer_lock(warehouse), duckdb.connect(str(warehouse)) as connection:
        connection.execute("set timezone = 'UTC'")
        yield connection


@contextmanager
def transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the block or nothing of it."""
    connection.execute("begin")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


def read_table(connection: duckdb.DuckDBPyConnection, table: str, columns: str = "*") -> pa.Table:
    """A whole table as Arrow."""
    return connection.sql(f"select {columns} from {table}").to_arrow_table()


def write_table(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    rows: pa.Table,
    columns: Mapping[str, str],
    *,
    append: bool = False,
) -> None:
    """Write Arrow rows into `schema.table` whose columns and types are given; replaces what was there unless `append`."""
    schema = table.partition(".")[0]
    declared = ", ".join(f"{name} {type_}" for name, type_ in columns.items())
    connection.execute(f"create schema if not exists {schema}")
    connection.execute(f"create table if not exists {table} ({declared})")
    if not append:
        connection.execute(f"delete from {table}")
    names = ", ".join(columns)
    connection.register("rows_to_write", rows)
    try:
        connection.execute(f"insert into {table} ({names}) select {names} from rows_to_write")
    finally:
        connection.unregister("rows_to_write")


def first_row(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object] = ()
) -> tuple[Any, ...] | None:
    """The first row of a query, None where it has none."""
    rows: list[tuple[Any, ...]] = connection.execute(query, list(parameters)).fetchall()
    return rows[0] if rows else None


def scalar(connection: duckdb.DuckDBPyConnection, query: str, parameters: Sequence[object] = ()) -> Any:
    """The first value of the first row of a query, None where it has no row."""
    row = first_row(connection, query, parameters)
    return row[0] if row else None


def row_count(connection: duckdb.DuckDBPyConnection, table: str) -> int:
    """Rows of `schema.table`."""
    return int(scalar(connection, f"select count(*) from {table}"))


def tables_of(connection: duckdb.DuckDBPyConnection, schema: str) -> set[str]:
    """Names of the tables and views of a schema."""
    query = "select table_name from information_schema.tables where table_schema = ?"
    return {name for (name,) in connection.execute(query, [schema]).fetchall()}
