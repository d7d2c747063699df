"""Land files in a PostgreSQL warehouse: the same rows, verdicts and books as on DuckDB, in one transaction of PostgreSQL.

DuckDB reads, types, checks and settles a file in a scratch database of its own, to which only those rows of PostgreSQL
are brought that the settlement compares with. What is new is copied into PostgreSQL under an advisory lock. JSON columns
have the type json: it keeps the text as it came, which is what the same key with another body is told by.
"""

import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
from psycopg2.extensions import connection as PostgresConnection

from ingestion.envelope import EVENTS, EXCHANGE_RATES, RAW_TABLES, Table
from ingestion.landing_report import LandingReport
from ingestion.mappings import Mapping
from ingestion.sql_text import quoted_text
from orchestration.failpoints import OnStep, failpoints
from orchestration.landing import EXCHANGE_RATES_FILE
from orchestration.settling import land_each_into, land_into
from orchestration.staging import Target, TargetError

POSTGRES_TYPES = {"VARCHAR": 'varchar collate "C"', "JSON": "json", "BLOB": "bytea"}
"""What DuckDB's types are called in PostgreSQL, where the names differ."""

COLUMNS_OF_RAW = "select 'raw.' || table_name, column_name from information_schema.columns where table_schema = 'raw'"
LANDING_LOCK = 0x77656674  # "weft"
_BYTES_AT_ONCE = 1 << 20


def ensure_raw_tables_in_postgres(connection: PostgresConnection) -> None:
    """Create the schema `raw`, its tables and their unique keys where they are missing, and seed the exchange rates.

    In one transaction of its own: the caller has none open. Raises TargetError.
    """
    with _autocommit(connection), _transaction(connection):
        _run(connection, "create schema if not exists raw")
        columns: defaultdict[str, list[str]] = defaultdict(list)
        for table_name, column in _run(connection, COLUMNS_OF_RAW):
            columns[table_name].append(column)
        for table in RAW_TABLES:
            if table.name not in columns:
                _create(connection, table)
                continue
            for statement in table.added_columns(columns[table.name], POSTGRES_TYPES):
                _run(connection, statement)


def _create(connection: PostgresConnection, table: Table) -> None:
    name = table.name.removeprefix("raw.")
    _run(connection, table.create_statement(POSTGRES_TYPES))
    _run(connection, f"create unique index {name}_key on {table.name} ({', '.join(table.key)})")
    if table is EVENTS:  # what landed since the last run is asked for by every run
        _run(connection, f"create index {name}_landed_seq on {table.name} (landed_seq)")
    if table is EXCHANGE_RATES:
        _copy_in(connection, table.name, EXCHANGE_RATES_FILE, header=True)


def land_file_into_postgres(
    connection: PostgresConnection,
    *,
    path: str | Path,
    mapping: Mapping | str | Path,
    landed_at: datetime,
    on_step: OnStep = failpoints("landing"),
) -> LandingReport:
    """`landing.land_file` for PostgreSQL; the caller has no transaction open, and other landings wait for this one."""
    ensure_raw_tables_in_postgres(connection)
    with postgres_target(connection) as target:
        return land_into(target, path=path, mapping=mapping, landed_at=landed_at, on_step=on_step)


def land_folder_into_postgres(
    connection: PostgresConnection,
    *,
    folder: str | Path,
    landed_at: datetime,
    within: str = "",
    on_step: OnStep = failpoints("landing"),
) -> Iterator[LandingReport]:
    """`landing.land_folder` for PostgreSQL: one transaction per file."""
    ensure_raw_tables_in_postgres(connection)
    with postgres_target(connection) as target:
        yield from land_each_into(target, folder=Path(folder), landed_at=landed_at, on_step=on_step, within=within)


@contextmanager
def postgres_target(connection: PostgresConnection) -> Iterator[Target]:
    """Where landings write; the caller has no transaction open."""
    with _autocommit(connection), _scratch() as (scratch, folder):
        yield _PostgresTarget(connection, scratch, folder)


@dataclass(frozen=True)
class _PostgresTarget:
    """Rows go through CSV files in `folder`, which both sides read and write at full speed."""

    connection: PostgresConnection
    scratch: duckdb.DuckDBPyConnection
    folder: Path

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction, one landing at a time."""
        with _transaction(self.connection):
            yield

    def run(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See Target."""
        with _plain_words():
            if parameters:  # psycopg2 reads % only then
                statement = statement.replace("%", "%%").replace("?", "%s")
            return _run(self.connection, statement, parameters)

    def bring(self, table: Table, columns: Sequence[str], keys: str) -> None:
        """See Target."""
        self._write_csv(keys, self.folder / "keys.csv")
        types = {column.name: column.type for column in table.columns}
        declared = ", ".join(f"{name} {POSTGRES_TYPES.get(types[name], types[name])}" for name in table.key)
        self.run(f"create temp table weft_keys ({declared}) on commit drop")
        _copy_in(self.connection, "weft_keys", self.folder / "keys.csv")
        self.run("analyze weft_keys")
        self._copy_out(table, columns)
        self.run("drop table weft_keys")

    def append(self, table: Table, select: str) -> None:
        """See Target."""
        columns = ", ".join(
            rf"'\x' || hex({column.name}) as {column.name}" if column.type == "BLOB" else column.name
            for column in table.columns
        )
        rows = self.folder / "rows.csv"
        self._write_csv(f"select {columns} from ({select}) as new ({', '.join(table.column_names)})", rows)
        _copy_in(self.connection, table.name, rows)

    def replace(self, table: Table, select: str) -> None:
        """See Target."""
        key = ", ".join(table.key)
        self._write_csv(select, self.folder / "rows.csv")
        self.run(f"create temp table weft_rows (like {table.name}) on commit drop")
        _copy_in(self.connection, "weft_rows", self.folder / "rows.csv")
        self.run(f"delete from {table.name} where ({key}) in (select {key} from weft_rows)")
        self.run(f"insert into {table.name} select * from weft_rows")
        self.run("drop table weft_rows")

    def _copy_out(self, table: Table, columns: Sequence[str]) -> None:
        """The rows whose keys are in weft_keys, into the table of the same name in `scratch`."""
        file = self.folder / "standing.csv"
        query = f"select {', '.join(columns)} from {table.name} where ({', '.join(table.key)}) in (table weft_keys)"
        with self.connection.cursor() as cursor, file.open("wb") as stream:
            cursor.copy_expert(f"copy ({query}) to stdout (format csv, force_quote *)", stream, size=_BYTES_AT_ONCE)
        types = {column.name: column.type for column in table.columns}
        spec = ", ".join(f"{quoted_text(name)}: {quoted_text(types[name])}" for name in columns)
        self.scratch.execute(f"truncate {table.name}")
        self.scratch.execute(
            f"insert into {table.name} ({', '.join(columns)}) select * from read_csv({quoted_text(str(file))}, "
            "auto_detect = false, header = false, delim = ',', quote = '\"', escape = '\"', allow_quoted_nulls = false, "
            f"parallel = false, max_line_size = 16777216, columns = {{{spec}}})"
        )

    def _write_csv(self, select: str, file: Path) -> None:
        target = quoted_text(str(file))
        self.scratch.execute(f"copy ({select}) to {target} (format csv, header false, force_quote *)")


@contextmanager
def _scratch() -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """A DuckDB database with empty raw tables, in a folder that goes with it."""
    with (
        tempfile.TemporaryDirectory(prefix="weft-scratch-") as folder,
        duckdb.connect(str(Path(folder) / "scratch.duckdb")) as connection,
    ):
        connection.execute("set timezone = 'UTC'")
        connection.execute("create schema raw")
        for table in RAW_TABLES:
            connection.execute(table.create_statement())
        yield connection, Path(folder)


@contextmanager
def _autocommit(connection: PostgresConnection) -> Iterator[None]:
    """A statement outside of `_transaction` stands for itself, whatever the connection's setting, which is given back."""
    was = connection.autocommit
    connection.autocommit = True
    try:
        yield
    finally:
        if not connection.closed:
            connection.autocommit = was


@contextmanager
def _transaction(connection: PostgresConnection) -> Iterator[None]:
    """One transaction, in which nobody else lands. Raises TargetError."""
    with _plain_words(), connection:
        _run(connection, "select pg_advisory_xact_lock(%s)", [LANDING_LOCK])
        _run(connection, "set local datestyle = 'ISO, YMD'")
        yield


@contextmanager
def _plain_words() -> Iterator[None]:
    """PostgreSQL's errors as TargetError, a sentence that holds no values."""
    try:
        yield
    except psycopg2.DataError as error:  # its own words show the value
        raise TargetError("PostgreSQL cannot hold one of its values.") from error
    except psycopg2.Error as error:
        raise TargetError((str(error).splitlines() or [type(error).__name__])[0]) from error


def _run(connection: PostgresConnection, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(parameters) or None)
        return cursor.fetchall() if cursor.description else []


def _copy_in(connection: PostgresConnection, table: str, file: Path, *, header: bool = False) -> None:
    """COPY a CSV file into a table; an empty field is null, a quoted one is not."""
    with connection.cursor() as cursor, file.open("rb") as stream:
        statement = f"copy {table} from stdin (format csv, header {str(header).lower()})"
        cursor.copy_expert(statement, stream, size=_BYTES_AT_ONCE)
