"""One connection to PostgreSQL behind the warehouse's protocol: rows by cursor, tables in and out by COPY."""

import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import pyarrow as pa
from pyarrow import csv

from orchestration.errors import WarehouseError
from orchestration.warehouse import BATCH_ROWS

ARROW_TYPES = {
    16: pa.bool_(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    19: pa.string(),
    25: pa.string(),
    1043: pa.string(),
    114: pa.string(),
    701: pa.float64(),
    1082: pa.date32(),
    1114: pa.timestamp("us"),
    17: pa.string(),
}
"""Arrow types by PostgreSQL's type numbers (pg_type.oid): boolean, integers, texts and json, float8, date, timestamp."""
NUMERIC, BYTES = 1700, 17
PARSED = csv.ParseOptions(newlines_in_values=True, ignore_empty_lines=False)
"""A line without anything is the null of a table of one column."""


@dataclass(frozen=True)
class PostgresConnection:
    """A connection in autocommit; `schemas` leads the names of schemas to those of a served build, where one is read."""

    native: psycopg2.extensions.connection
    schemas: Mapping[str, str] = field(default_factory=dict)
    dialect: str = "postgres"

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run one statement."""
        with self.native.cursor() as cursor:
            self._run(cursor, sql, parameters)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        with self.native.cursor() as cursor:
            self._run(cursor, sql, parameters)
            return cursor.fetchall()

    def arrow(self, sql: str) -> pa.Table:
        """All rows of a query as Arrow. A numeric without precision (a sum, a quotient) comes as float64."""
        with self._copied(sql) as (file, options, columns):
            table = csv.read_csv(file, parse_options=PARSED, convert_options=options)
        return _with_bytes(table, columns)

    def batches(self, sql: str, *, size: int = BATCH_ROWS) -> Iterator[pa.Table]:
        """See Connection. The rows lie in a file on disk meanwhile, not in memory."""
        with self._copied(sql) as (file, options, columns):
            found: list[pa.RecordBatch] = []
            for batch in csv.open_csv(file, parse_options=PARSED, convert_options=options):
                found.append(batch)
                if sum(map(len, found)) >= size:
                    yield _with_bytes(pa.Table.from_batches(found), columns)
                    found = []
            if sum(map(len, found)):
                yield _with_bytes(pa.Table.from_batches(found), columns)

    @contextmanager
    def _copied(self, sql: str) -> Iterator[tuple[str, csv.ConvertOptions, Sequence[psycopg2.extensions.Column]]]:
        """A CSV file of the rows, how it is read, and its columns."""
        query = renamed_schemas(sql, self.schemas)
        with tempfile.NamedTemporaryFile(prefix="weft-copy-") as file:
            with self.native.cursor() as cursor:
                cursor.execute(f"select * from ({query}) as typed limit 0")
                columns = cursor.description or ()
                cursor.copy_expert(f"copy ({query}) to stdout (format csv, header)", file)
            file.flush()
            options = csv.ConvertOptions(
                column_types={column.name: _arrow_type(column) for column in columns},
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
                true_values=["t"],
                false_values=["f"],
            )
            yield file.name, options, columns

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing of it."""
        self.execute("begin")
        try:
            yield
        except BaseException:
            if not self.native.closed:
                self.execute("rollback")
            raise
        self.execute("commit")

    def append(self, table: str, rows: pa.Table) -> None:
        """Add Arrow rows to an existing table, by the names of their columns."""
        columns = [
            rows[name].cast(pa.string()) if pa.types.is_null(rows[name].type) else rows[name]
            for name in rows.column_names
        ]
        with self.native.cursor() as cursor, tempfile.NamedTemporaryFile(prefix="weft-copy-") as file:
            # texts are written quoted and nulls are not, which is how COPY tells an empty text from none
            written = pa.table(columns, names=rows.column_names)
            # for a chunk without rows pyarrow would write bytes of nothing
            filled = pa.Table.from_batches([batch for batch in written.to_batches() if len(batch)], written.schema)
            csv.write_csv(filled, file.name, csv.WriteOptions(include_header=False))
            with Path(file.name).open("rb") as lines:
                cursor.copy_expert(f"copy {table} ({', '.join(rows.column_names)}) from stdin (format csv)", lines)

    def schema(self, name: str) -> str:
        """The schema that holds what is called `name`: of the served build, where one is read."""
        return self.schemas.get(name, name)

    def _run(self, cursor: psycopg2.extensions.cursor, sql: str, parameters: Sequence[object]) -> None:
        query = renamed_schemas(sql, self.schemas)
        if parameters:
            cursor.execute(query.replace("%", "%%").replace("?", "%s"), tuple(parameters))
        else:
            cursor.execute(query)


def connect(url: str) -> psycopg2.extensions.connection:
    """A session in autocommit and UTC. Raises WarehouseError with one sentence that holds no password."""
    try:
        native = psycopg2.connect(url, application_name="weft", options="-c timezone=UTC")
    except psycopg2.OperationalError:
        where = psycopg2.extensions.parse_dsn(url)
        raise WarehouseError(
            f"PostgreSQL does not let us in at {where.get('host', 'localhost')}:{where.get('port', '5432')}, database "
            f"{where.get('dbname', '')}, user {where.get('user', '')}; check WEFT_POSTGRES_URL and the server."
        ) from None
    native.autocommit = True
    psycopg2.extras.register_default_json(native, loads=lambda text: text)  # JSON stays text, as DuckDB gives it
    return native


def renamed_schemas(sql: str, schemas: Mapping[str, str]) -> str:
    """The query with every `from schema.table` and `join schema.table` led to another schema."""
    if not schemas:
        return sql
    names = "|".join(map(re.escape, schemas))
    return re.sub(
        rf"\b((?:from|join)\s+\(*)({names})\.",
        lambda found: f"{found[1]}{schemas[found[2].lower()]}.",
        sql,
        flags=re.IGNORECASE,
    )


def _with_bytes(table: pa.Table, columns: Sequence[psycopg2.extensions.Column]) -> pa.Table:
    for index, column in enumerate(table.schema):
        if columns[index].type_code == BYTES:
            table = table.set_column(index, column.name, _bytes_of_hex(table[index]))
    return table


def _bytes_of_hex(column: pa.ChunkedArray) -> pa.Array:
    r"""Bytes of what COPY writes as \x and hexadecimal digits."""
    return pa.array([None if text is None else bytes.fromhex(text[2:]) for text in column.to_pylist()], pa.binary())


def _arrow_type(column: psycopg2.extensions.Column) -> pa.DataType:
    if column.type_code == NUMERIC:
        return pa.decimal128(column.precision, column.scale) if (column.precision or 65535) < 39 else pa.float64()
    if column.type_code not in ARROW_TYPES:
        raise TypeError(f"column {column.name} has the PostgreSQL type {column.type_code}, which is not read as Arrow")
    return ARROW_TYPES[column.type_code]
