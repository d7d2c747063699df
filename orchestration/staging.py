"""The steps of one landing: stage rows in DuckDB, settle them against what stands in the target, write them and the books."""

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from ingestion import deliveries, settlement
from ingestion.compile import Compiled, compile_events
from ingestion.compile_tables import KEYED_TABLES, compile_table, decide_rows, new_rows
from ingestion.envelope import EVENTS, LANDINGS, REJECTED_EVENTS, Table
from ingestion.file_columns import require_columns
from ingestion.file_errors import FileError
from ingestion.landing_report import LandingReport
from ingestion.mappings import COLLECTED, Mapping, MappingError, load_mapping
from ingestion.readers import reading_json_keys, row_as_json_sql
from ingestion.records import Positions
from ingestion.row_bytes import FETCHED_SCHEMA, fetched_rows, front_keys
from ingestion.row_order import STAGING_SETTINGS, unordered_operators
from ingestion.source_files import ReadableFile, SourceFile
from orchestration.failpoints import OnStep

WAITING = "weft_waiting_"
BytesOf = Callable[[ReadableFile, Positions], Iterator[pa.RecordBatch]]


class TargetError(Exception):
    """The target did not take what was written; its text is a sentence that holds no values of a row."""


class Target(Protocol):
    """Where a landing writes. The tables `raw.*` of `scratch` show what stands in the target, as far as it was brought."""

    @property
    def scratch(self) -> duckdb.DuckDBPyConnection:
        """Where rows are staged and settled."""

    def transaction(self) -> AbstractContextManager[None]:
        """All that is written inside, or nothing of it."""

    def run(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement (placeholders: `?`) in the target; its rows, none where it yields none."""

    def bring(self, table: Table, columns: Sequence[str], keys: str) -> None:
        """Let these columns of a table in `scratch` show every row of the target whose key the query `keys` yields."""

    def append(self, table: Table, select: str) -> None:
        """Add the rows that a query on `scratch` yields in the columns of the table."""

    def replace(self, table: Table, select: str) -> None:
        """The same, in the places of the rows with their keys."""


@dataclass(frozen=True)
class Landing:
    """The statements of one landing. `stage` stands before the target's transaction, `write` and `write_books` inside of it.

    `bytes_of` fetches the bytes of refused rows, as FETCHED_SCHEMA. `occurrences` is given for rows of files that were refused before
    (ingestion.replays): their places say nothing, and what they lack may have stood in other rows of their file.
    """

    target: Target
    mapping: Mapping
    landed_at: datetime
    on_step: OnStep
    bytes_of: BytesOf = fetched_rows
    occurrences: pa.Table | None = None

    @property
    def connection(self) -> duckdb.DuckDBPyConnection:
        return self.target.scratch

    def stage(self, readable: ReadableFile) -> Compiled:
        """Read, type, build and check every row into weft_staged, in the order of the file."""
        name = readable.source.path.name
        require_columns(self.mapping, self._columns(readable), name)
        currencies = [row[0] for row in self.target.run(settlement.CURRENCIES)]
        compiler = compile_events if self.mapping.target == "events" else compile_table
        compiled = compiler(self.mapping, readable.shape, currencies=currencies, landed_at=self.landed_at)
        # before the transaction: in a table of its own transaction, rowid would not count from 0
        create = f"create or replace temp table weft_staged as {compiled.select}"
        self._require_order(create)
        staged = self.connection.execute(create).fetchone()
        if readable.rows is not None and staged and staged[0] != readable.rows:
            raise RuntimeError(f"{name} has {readable.rows} rows, but {staged[0]} were read; nothing was landed.")
        self.on_step("staged")
        return compiled

    def _require_order(self, create: str) -> None:
        [(_, plan)] = self.connection.execute(f"explain (format json) {create}").fetchall()
        [(threads,)] = self.connection.execute("select current_setting('threads')").fetchall()
        if unordered := unordered_operators(plan, threads=threads):
            raise MappingError(
                f"{self.mapping.name}: an expression looks beyond its row ({unordered[0].lower().replace('_', ' ')}); "
                "write it with the columns of the row alone."
            )

    def stage_aside(self, readable: ReadableFile, *, name: str = "") -> "Staged":
        """Stage, and let the rows wait under a name of their own (by default the mapping's): several files can share one transaction."""
        with settings(self.connection, STAGING_SETTINGS):
            compiled = self.stage(readable)
        table = f"{WAITING}{name or self.mapping.name}"
        self.connection.execute(f'drop table if exists "{table}"')
        self.connection.execute(f'alter table weft_staged rename to "{table}"')
        return Staged(self, readable, compiled, table)

    def write(self, readable: ReadableFile, compiled: Compiled) -> LandingReport:
        """Settle the staged rows and write them to `raw`; returns the books, which balance."""
        self._decide()
        self._refuse(readable, compiled)
        name, header = readable.source.path.name, readable.shape.header
        rejects = settlement.new_rejects(self.mapping, self.landed_at, origin=name, header=header)
        self.target.append(REJECTED_EVENTS, rejects)
        self.on_step("rejects_written")
        self._insert()
        self.on_step("rows_written")
        counts = dict(self.connection.execute(settlement.counts(len(readable.removed_numbers))).fetchall())
        rejected = dict(self.connection.execute(settlement.REJECTED_BY_REASON).fetchall())
        report = LandingReport(readable.source.path.name, self.mapping.name, rejected=rejected, **counts)
        if not report.is_balanced:
            raise RuntimeError(f"The books of {report.origin} do not balance: {report}.")
        return report

    def write_books(self, report: LandingReport, source: SourceFile, sha256: str) -> None:
        """The file's row in raw.landings."""
        if source.has_changed:
            raise FileError(f"{report.origin} changed while it was read; nothing of it was landed.")
        counts = [report.rows_read, report.accepted, report.rejected_count, report.duplicates, report.conflicts]
        self._write_row([self.mapping.source, report.origin, sha256, source.bytes, *counts])

    def write_books_by_source(self, report: LandingReport, *, sha256: str, size: int) -> None:
        """Rows in raw.landings for what came of several sources at once, a row a source. Before the scratch tables are dropped."""
        books = self.connection.execute(settlement.counts_by_source(self.mapping)).fetchall()
        if sum(rows_read for _, rows_read, *_ in books) != report.rows_read:
            raise RuntimeError(f"The books of {report.origin} by source do not add up to {report}.")
        for source, *counts in books:
            self._write_row([source, report.origin, sha256, size, *counts])

    def _write_row(self, values: list[object]) -> None:
        row = [uuid.uuid4().hex, self.mapping.name, *values, self.landed_at]
        self.target.run(f"insert into {LANDINGS.name} values ({', '.join('?' * len(row))})", row)

    def _columns(self, readable: ReadableFile) -> list[str]:
        """Columns the file has; the front of an NDJSON file usually shows all that the mapping needs."""
        if readable.shape.format != "ndjson":
            return [column.name for column in readable.shape.columns]
        if self.occurrences is not None:
            return list(self.mapping.columns)
        keys = front_keys(readable)
        missing = [name for name in self.mapping.required_columns if name not in keys]
        if not keys or not missing:
            return list(self.mapping.columns)
        counts = self.connection.execute(reading_json_keys(readable.shape.path, missing)).fetchone()
        return [*keys, *(name for name, count in zip(missing, counts or (), strict=True) if count)]

    def _decide(self) -> None:
        """weft_verdict: what becomes of the rows that broke no rule."""
        if self.mapping.target != "events":
            keyed = KEYED_TABLES[self.mapping.target]
            self.target.bring(keyed.table, keyed.table.column_names, settlement.staged_keys(keyed.table))
            self.connection.execute(decide_rows(keyed))
            return
        self._number_occurrences()
        self.target.bring(EVENTS, EVENTS.column_names, settlement.staged_keys(EVENTS))
        self.connection.execute(settlement.FIND_STANDING)
        self.connection.execute(settlement.FIND_REPEATED_KEYS)
        self.connection.execute(settlement.decide_repeated(self.mapping, self.landed_at))
        self._let_deliveries_repeat()

    def _let_deliveries_repeat(self) -> None:
        """What came over the event log may come again, also in a file."""
        [(conflicts,)] = self.connection.execute(deliveries.HAS_CONFLICTS).fetchall()
        if not conflicts:
            return
        if self.mapping.deliveries:
            self.connection.execute(deliveries.let_deliveries_repeat(self.mapping.deliveries))
            return
        delivered, collected = self._delivered(), load_mapping(COLLECTED).deliveries
        if delivered.num_rows and collected:
            self.connection.register("weft_delivered", delivered)
            self.connection.execute(deliveries.let_deliveries_repeat(collected, stood=deliveries.IS_DELIVERED))
            self.connection.unregister("weft_delivered")

    def _delivered(self) -> pa.Table:
        """Source and time of the landings of the event log that may have brought rows which are in doubt now."""
        [between] = self.connection.execute(deliveries.TIMES_IN_DOUBT).fetchall()
        rows = self.target.run(deliveries.DELIVERIES, between)
        return pa.table({
            "source": pa.array([source for source, _ in rows], pa.string()),
            "landed_at": pa.array([landed_at for _, landed_at in rows], pa.timestamp("us")),
        })  # fmt: skip

    def _number_occurrences(self) -> None:
        if self.occurrences is None:
            self.connection.execute(settlement.NUMBER_OCCURRENCES)
            return
        self.connection.register("weft_given", self.occurrences)
        try:
            self.connection.execute(settlement.NUMBER_GIVEN_OCCURRENCES)
        finally:
            self.connection.unregister("weft_given")

    def _insert(self) -> None:
        if self.mapping.target != "events":
            keyed = KEYED_TABLES[self.mapping.target]
            self.target.replace(keyed.table, new_rows(keyed))
            return
        [(last_landed_seq,)] = self.target.run(settlement.LAST_LANDED_SEQ)
        self.target.append(EVENTS, settlement.new_events(self.landed_at, last_landed_seq))

    def _refuse(self, readable: ReadableFile, compiled: Compiled) -> None:
        self.connection.execute(settlement.CREATE_REFUSED)
        if readable.removed_path is not None:
            self.connection.execute(settlement.refuse_removed(self.mapping, readable.removed_path))
        places = self.connection.sql(settlement.PLACES_TO_REFUSE).to_arrow_table()["place"]
        if len(places):
            fetched = self._bytes_of(readable, places)
            self.connection.execute(settlement.refuse_staged(self.mapping, compiled.rules, fetched=fetched))
        self.connection.execute(settlement.NUMBER_REFUSED)
        self.target.bring(REJECTED_EVENTS, REJECTED_EVENTS.key, "select reject_id from weft_rejects")
        self.connection.execute(settlement.MARK_KNOWN_REJECTS)

    def _bytes_of(self, readable: ReadableFile, places: pa.ChunkedArray) -> str:
        """A query that yields the rows at these places with their bytes, once."""
        if readable.shape.format == "parquet":
            return row_as_json_sql(readable.shape, settlement.PLACES_TO_REFUSE)
        batches = self.bytes_of(readable, places.to_numpy())
        self.connection.register("weft_fetched", pa.RecordBatchReader.from_batches(FETCHED_SCHEMA, batches))
        return "select * from weft_fetched"


@dataclass(frozen=True)
class Staged:
    """Rows that wait to be written, in a scratch table."""

    landing: Landing
    readable: ReadableFile
    compiled: Compiled
    table: str

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """For the block they are weft_staged, which is settled; then they and what settled them are gone."""
        connection = self.landing.connection
        connection.execute(f'alter table "{self.table}" rename to weft_staged')
        yield
        _drop(connection, settlement.SETTLED_TABLES)


@contextmanager
def scratch_tables(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Leave no scratch table behind."""
    try:
        yield
    finally:
        connection.unregister("weft_fetched")
        names = "select table_name from duckdb_tables() where temporary and starts_with(table_name, 'weft_')"
        _drop(connection, [name for (name,) in connection.execute(names).fetchall()])


def _drop(connection: duckdb.DuckDBPyConnection, tables: Iterable[str]) -> None:
    for table in tables:
        connection.execute(f'drop table if exists "{table}"')


@contextmanager
def settings(connection: duckdb.DuckDBPyConnection, wanted: dict[str, str]) -> Iterator[None]:
    """Settings for a while, whatever the connection had; they are given back."""
    was = connection.execute(f"select {', '.join(f'current_setting({name!r})' for name in wanted)}").fetchone() or ()
    for name, value in wanted.items():
        connection.execute(f"set {name} = '{value}'")
    try:
        yield
    finally:
        for name, before in zip(wanted, was, strict=True):
            value = ",".join(before) if isinstance(before, tuple | list) else before
            connection.execute(f"set {name} = '{value}'")
