"""What every landing does, whichever the target: stage a file's rows in DuckDB, settle them, write them and the books.

The rows are staged on the target's `scratch`, a DuckDB connection, and settled there against what stands in the target.
"""

import tempfile
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from ingestion import settlement
from ingestion.compile import Compiled, compile_events
from ingestion.compile_tables import KEYED_TABLES, compile_table, decide_rows, new_rows
from ingestion.envelope import EVENTS, LANDINGS, REJECTED_EVENTS, Table
from ingestion.file_columns import require_columns
from ingestion.file_errors import FileError
from ingestion.landing_report import LandingReport
from ingestion.mappings import Mapping, MappingError, load_mapping
from ingestion.readable_files import readable_file
from ingestion.readers import reading_json_keys, row_as_json_sql
from ingestion.row_bytes import FETCHED_SCHEMA, fetched_rows, front_keys
from ingestion.row_order import STAGING_SETTINGS, unordered_operators
from ingestion.source_files import ReadableFile, SourceFile, file_sha256, source_file
from orchestration.failpoints import OnStep

# a full disk shows as an IOException, at the end of a transaction as the other two
_NOT_THE_ROWS = (duckdb.IOException, duckdb.OutOfMemoryException, duckdb.TransactionException, duckdb.FatalException)


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


def land_into(
    target: Target, *, path: str | Path, mapping: Mapping | str | Path, landed_at: datetime, on_step: OnStep
) -> LandingReport:
    """Land one file in one transaction of the target, whose raw tables are there; see `landing.land_file`."""
    mapping = mapping if isinstance(mapping, Mapping) else load_mapping(mapping)
    source = source_file(Path(path), mapping)
    with tempfile.TemporaryDirectory(prefix="weft-landing-") as workspace, ThreadPoolExecutor(1) as beside:
        sha256 = beside.submit(file_sha256, source.path)
        readable = readable_file(source, mapping, Path(workspace))
        landing = _Landing(target, mapping, landed_at, on_step)
        with _sentences(source.path.name, mapping), _scratch_tables(target.scratch):
            with settings(target.scratch, STAGING_SETTINGS):
                compiled = landing.stage(readable) if readable else None
            with target.transaction():
                report = LandingReport(source.path.name, mapping.name)
                if readable and compiled:
                    report = landing.write(readable, compiled)
                landing.write_books(report, source, sha256.result())
                on_step("before_commit")
        on_step("committed")
    return report


def land_each_into(
    target: Target, *, folder: Path, landed_at: datetime, on_step: OnStep, within: str = ""
) -> Iterator[LandingReport]:
    """Land every file below `folder`/<mapping name>/`within`; see `landing.land_folder`."""
    for inbox in sorted(path for path in folder.glob("[!.]*") if path.is_dir()):
        for path in sorted(path for path in (inbox / within).rglob("[!.]*") if path.is_file()):
            on_step("file_begun")
            try:
                mapping = load_mapping(inbox.name)
                if _is_landed(target, path, mapping):
                    yield LandingReport(path.name, mapping.name, is_unchanged=True)
                else:
                    yield land_into(target, path=path, mapping=mapping, landed_at=landed_at, on_step=on_step)
            except (FileError, MappingError) as error:
                yield LandingReport(path.name, inbox.name, problem=str(error))


def _is_landed(target: Target, path: Path, mapping: Mapping) -> bool:
    with _sentences(path.name, mapping):
        [(landings,)] = target.run(settlement.COUNT_LANDINGS, [mapping.name, file_sha256(path)])
        return bool(landings)


@dataclass(frozen=True)
class _Landing:
    """The statements of one landing; `write` and `write_books` stand inside the transaction of land_into."""

    target: Target
    mapping: Mapping
    landed_at: datetime
    on_step: OnStep

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

    def write(self, readable: ReadableFile, compiled: Compiled) -> LandingReport:
        """Settle the staged rows and write them to `raw`; returns the books, which balance."""
        self._decide()
        self._refuse(readable, compiled)
        self.target.append(REJECTED_EVENTS, settlement.new_rejects(self.landed_at, readable.source.path.name))
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
        named = [uuid.uuid4().hex, self.mapping.name, self.mapping.source, report.origin, sha256, source.bytes]
        row = [*named, *counts, self.landed_at]
        self.target.run(f"insert into {LANDINGS.name} values ({', '.join('?' * len(row))})", row)

    def _columns(self, readable: ReadableFile) -> list[str]:
        """Columns the file has; the front of an NDJSON file usually shows all that the mapping needs."""
        if readable.shape.format != "ndjson":
            return [column.name for column in readable.shape.columns]
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
        self.connection.execute(settlement.NUMBER_OCCURRENCES)
        self.target.bring(EVENTS, EVENTS.column_names, settlement.staged_keys(EVENTS))
        self.connection.execute(settlement.FIND_REPEATED_KEYS)
        self.connection.execute(settlement.decide_repeated(self.mapping, self.landed_at))

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
        batches = fetched_rows(readable, places.to_numpy())
        self.connection.register("weft_fetched", pa.RecordBatchReader.from_batches(FETCHED_SCHEMA, batches))
        return "select * from weft_fetched"


@contextmanager
def _scratch_tables(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Leave no scratch table behind."""
    try:
        yield
    finally:
        connection.unregister("weft_fetched")
        for table in settlement.SCRATCH_TABLES:
            connection.execute(f"drop table if exists {table}")


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


@contextmanager
def _sentences(name: str, mapping: Mapping) -> Iterator[None]:
    """The warehouse's errors as one sentence; its own words only where they cannot hold a row's values."""
    try:
        yield
    except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException) as error:
        raise MappingError(f"{mapping.name}: an expression cannot be used: {str(error).splitlines()[0]}") from error
    except (*_NOT_THE_ROWS, TargetError) as error:
        raise FileError(f"{name} was not landed: {str(error).splitlines()[0]}") from error
    except (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException) as error:
        raise FileError(
            f"{name} was not landed: it is damaged, or an expression of the mapping {mapping.name} fails "
            "on one of its values (use try_cast there)."
        ) from error
