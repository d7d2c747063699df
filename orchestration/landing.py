"""Land files in `raw`: one transaction per file, whole or not at all, and the same file again changes nothing."""

import tempfile
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from ingestion import settlement
from ingestion.compile import Compiled, compile_events
from ingestion.compile_tables import KEYED_TABLES, compile_table, decide_rows, merge_rows
from ingestion.envelope import RAW_TABLES
from ingestion.file_columns import require_columns
from ingestion.file_errors import FileError
from ingestion.files import ReadableFile, SourceFile, file_sha256, readable_file, source_file
from ingestion.landing_report import LandingReport
from ingestion.mappings import Mapping, MappingError, load_mapping
from ingestion.readers import reading_json_keys, row_as_json_sql
from ingestion.row_bytes import FETCHED_SCHEMA, fetched_rows, front_keys

EXCHANGE_RATES_FILE = Path(settlement.__file__).parent / "reference" / "exchange_rates.csv"

OnStep = Callable[[str], None]


def _no_step(name: str) -> None:
    """Steps of a landing are announced; tests kill the process there."""


def ensure_raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the schema `raw` and its tables where they are missing, and seed the exchange rates."""
    connection.execute("create schema if not exists raw")
    for table in RAW_TABLES:
        connection.execute(table.create_statement())
    connection.execute(settlement.SEED_EXCHANGE_RATES, [str(EXCHANGE_RATES_FILE)])


def land_file(
    connection: duckdb.DuckDBPyConnection,
    *,
    path: str | Path,
    mapping: Mapping | str | Path,
    landed_at: datetime,
    on_step: OnStep = _no_step,
) -> LandingReport:
    """Land one file through a mapping (or its name) in one transaction; the caller is the only writer.

    `landed_at` is naive UTC; nothing can be known later than that. Raises FileError or MappingError with one sentence,
    and then nothing of the file has landed.
    """
    mapping = mapping if isinstance(mapping, Mapping) else load_mapping(mapping)
    source = source_file(Path(path), mapping)
    ensure_raw_tables(connection)
    with tempfile.TemporaryDirectory(prefix="weft-landing-") as workspace, ThreadPoolExecutor(1) as beside:
        sha256 = beside.submit(file_sha256, source.path)
        readable = readable_file(source, mapping, Path(workspace))
        landing = _Landing(connection, mapping, readable, landed_at, on_step) if readable else None
        with _sentences(source, mapping), _scratch_tables(connection):
            compiled = landing.stage() if landing else None
            with _transaction(connection):
                report = LandingReport(source.path.name, mapping.name)
                if landing and compiled:
                    report = landing.write(compiled)
                _write_books(connection, report, source, sha256.result(), mapping, landed_at)
                on_step("before_commit")
        on_step("committed")
    return report


def land_folder(
    connection: duckdb.DuckDBPyConnection, *, folder: str | Path, landed_at: datetime, on_step: OnStep = _no_step
) -> Iterator[LandingReport]:
    """Land every file below `folder`/<mapping name>/ in the order of their names, one report each.

    A file whose bytes were landed under this mapping before is reported as unchanged. Files and folders whose names
    start with a dot are left alone.
    """
    ensure_raw_tables(connection)
    for inbox in sorted(path for path in Path(folder).glob("[!.]*") if path.is_dir()):
        mapping = load_mapping(inbox.name)
        for path in sorted(path for path in inbox.rglob("[!.]*") if path.is_file()):
            landed = connection.execute(settlement.COUNT_LANDINGS, [mapping.name, file_sha256(path)]).fetchone()
            if landed and landed[0]:
                yield LandingReport(path.name, mapping.name, is_unchanged=True)
            else:
                yield land_file(connection, path=path, mapping=mapping, landed_at=landed_at, on_step=on_step)


@dataclass(frozen=True)
class _Landing:
    """One file on its way: staged in scratch tables, then settled and written inside the transaction of land_file."""

    connection: duckdb.DuckDBPyConnection
    mapping: Mapping
    readable: ReadableFile
    landed_at: datetime
    on_step: OnStep

    def write(self, compiled: Compiled) -> LandingReport:
        """Settle the staged rows and write them to `raw`; returns the books."""
        self._settle()
        self._refuse(compiled)
        self.on_step("rejects_written")
        self._insert()
        self.on_step("rows_written")
        return self._report()

    def stage(self) -> Compiled:
        """Read, type, build and check every row into weft_staged, in the order of the file."""
        shape = self.readable.shape
        require_columns(self.mapping, self._columns(), self.readable.source.path.name)
        currencies = [name for (name,) in self.connection.execute(settlement.CURRENCIES).fetchall()]
        compiler = compile_events if self.mapping.target == "events" else compile_table
        compiled = compiler(self.mapping, shape, currencies=currencies, landed_at=self.landed_at)
        # outside the transaction, where rowid counts from 0
        staged = self.connection.execute(f"create or replace temp table weft_staged as {compiled.select}").fetchone()
        if self.readable.rows is not None and staged and staged[0] != self.readable.rows:
            raise RuntimeError(f"{self.readable.source.path.name}: {self.readable.rows} rows, but {staged[0]} were read.")
        self.on_step("staged")
        return compiled

    def _columns(self) -> list[str]:
        """Columns the file has; the front of an NDJSON file usually shows all that the mapping needs."""
        shape = self.readable.shape
        if shape.format != "ndjson":
            return [column.name for column in shape.columns]
        keys = front_keys(self.readable)
        missing = [name for name in self.mapping.required_columns if name not in keys]
        if not keys or not missing:
            return list(self.mapping.columns)
        counts = self.connection.execute(reading_json_keys(shape.path, missing)).fetchone()
        return [*keys, *(name for name, count in zip(missing, counts or (), strict=True) if count)]

    def _settle(self) -> None:
        """weft_verdict: what becomes of the rows that broke no rule."""
        if self.mapping.target != "events":
            self.connection.execute(decide_rows(KEYED_TABLES[self.mapping.target]))
            return
        self.connection.execute(settlement.NUMBER_OCCURRENCES)
        self.connection.execute(settlement.FIND_REPEATED_KEYS)
        self.connection.execute(settlement.decide_repeated(self.mapping, self.landed_at))

    def _refuse(self, compiled: Compiled) -> None:
        self.connection.execute(settlement.CREATE_REFUSED)
        if self.readable.removed_path is not None:
            self.connection.execute(settlement.refuse_removed(self.mapping, self.readable.removed_path))
        places = self.connection.sql(settlement.PLACES_TO_REFUSE).to_arrow_table()
        if places.num_rows:
            fetched = self._fetched(places)
            self.connection.execute(settlement.refuse_staged(self.mapping, compiled.rules, fetched=fetched))
        self.connection.execute(settlement.NUMBER_REFUSED)
        self.connection.execute(settlement.insert_rejects(self.landed_at, self.readable.source.path.name))

    def _fetched(self, places: pa.Table) -> str:
        """A relation of refused rows with their bytes."""
        if self.readable.shape.format == "parquet":
            return row_as_json_sql(self.readable.shape, settlement.PLACES_TO_REFUSE)
        batches = fetched_rows(self.readable, places["place"].to_numpy())
        self.connection.register("weft_fetched", pa.RecordBatchReader.from_batches(FETCHED_SCHEMA, batches))
        return "select * from weft_fetched"

    def _insert(self) -> None:
        if self.mapping.target != "events":
            for statement in merge_rows(KEYED_TABLES[self.mapping.target]):
                self.connection.execute(statement)
            return
        # landed_seq says the order, so the rows themselves may be written by all threads as they come
        self.connection.execute("set preserve_insertion_order = false")
        self.connection.execute(settlement.insert_events(self.landed_at))

    def _report(self) -> LandingReport:
        counts = dict(self.connection.execute(settlement.counts(len(self.readable.removed_numbers))).fetchall())
        rejected = dict(self.connection.execute(settlement.REJECTED_BY_REASON).fetchall())
        report = LandingReport(self.readable.source.path.name, self.mapping.name, rejected=rejected, **counts)
        if not report.is_balanced:
            raise RuntimeError(f"The books of {report.origin} do not balance: {report}.")
        return report


def _write_books(
    connection: duckdb.DuckDBPyConnection,
    report: LandingReport,
    source: SourceFile,
    sha256: str,
    mapping: Mapping,
    landed_at: datetime,
) -> None:
    if source.path.stat().st_size != source.bytes:
        raise FileError(f"{source.path.name} changed while it was read; nothing of it was landed.")
    counts = [report.rows_read, report.accepted, report.rejected_count, report.duplicates, report.conflicts]
    row = [uuid.uuid4().hex, mapping.name, mapping.source, report.origin, sha256, source.bytes, *counts, landed_at]
    connection.execute(f"insert into raw.landings values ({', '.join('?' * len(row))})", row)


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the file or nothing of it, whatever kills the process in between."""
    connection.execute("begin")
    try:
        yield
    except BaseException:
        connection.execute("rollback")
        raise
    connection.execute("commit")


@contextmanager
def _scratch_tables(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Keep the order of the file while staging whatever the connection is set to, and leave nothing behind."""
    was = connection.execute("select current_setting('preserve_insertion_order')").fetchone()
    connection.execute("set preserve_insertion_order = true")
    try:
        yield
    finally:
        connection.execute(f"set preserve_insertion_order = {str(bool(was and was[0])).lower()}")
        for table in settlement.SCRATCH_TABLES:
            connection.execute(f"drop table if exists {table}")


@contextmanager
def _sentences(source: SourceFile, mapping: Mapping) -> Iterator[None]:
    """The warehouse's errors as one sentence; its own words only where they cannot hold a row's values."""
    try:
        yield
    except (duckdb.BinderException, duckdb.ParserException, duckdb.CatalogException) as error:
        raise MappingError(f"{mapping.name}: an expression cannot be used: {str(error).splitlines()[0]}") from error
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        raise FileError(f"{source.path.name} was not landed: {str(error).splitlines()[0]}") from error
    except (duckdb.ConversionException, duckdb.InvalidInputException, duckdb.OutOfRangeException) as error:
        raise FileError(
            f"{source.path.name} was not landed: it is damaged, or an expression of the mapping {mapping.name} fails on "
            "one of its values (use try_cast there)."
        ) from error
