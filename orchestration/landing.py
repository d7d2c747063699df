"""Land files in `raw`: one transaction per file, whole or not at all, and the same file again changes nothing."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb

from ingestion import settlement
from ingestion.envelope import RAW_TABLES, Table
from ingestion.landing_report import LandingReport
from ingestion.mappings import Mapping
from orchestration.duckdb_warehouse import transaction
from orchestration.failpoints import OnStep, failpoints
from orchestration.settling import land_each_into, land_into
from orchestration.staging import settings

EXCHANGE_RATES_FILE = Path(settlement.__file__).parent / "reference" / "exchange_rates.csv"


def ensure_raw_tables(connection: duckdb.DuckDBPyConnection) -> None:
    """Create the schema `raw` and its tables where they are missing, and seed the exchange rates."""
    connection.execute("create schema if not exists raw")
    for table in RAW_TABLES:
        connection.execute(table.create_statement())
        for statement in table.added_columns(_columns(connection, table)):
            connection.execute(statement)
    connection.execute(settlement.SEED_EXCHANGE_RATES, [str(EXCHANGE_RATES_FILE)])


def _columns(connection: duckdb.DuckDBPyConnection, table: Table) -> list[str]:
    return [name for name, *_ in connection.execute(f"describe {table.name}").fetchall()]


def land_file(
    connection: duckdb.DuckDBPyConnection,
    *,
    path: str | Path,
    mapping: Mapping | str | Path,
    landed_at: datetime,
    on_step: OnStep = failpoints("landing"),
) -> LandingReport:
    """Land one file through a mapping (or its name) in one transaction; the caller is the only writer.

    `landed_at` is naive UTC; nothing can be known later than that. Raises FileError or MappingError with one sentence,
    and then nothing of the file has landed.
    """
    ensure_raw_tables(connection)
    target = DuckDBTarget(connection)
    return land_into(target, path=path, mapping=mapping, landed_at=landed_at, on_step=on_step)


def land_folder(
    connection: duckdb.DuckDBPyConnection,
    *,
    folder: str | Path,
    landed_at: datetime,
    within: str = "",
    on_step: OnStep = failpoints("landing"),
) -> Iterator[LandingReport]:
    """Land every file below `folder`/<mapping name>/`within` in the order of their names, one report each.

    A file whose bytes were landed under this mapping before is reported as unchanged; one that cannot be landed is
    reported with its problem and holds up no other. Names that start with a dot are left alone.
    """
    ensure_raw_tables(connection)
    target = DuckDBTarget(connection)
    yield from land_each_into(target, folder=Path(folder), landed_at=landed_at, on_step=on_step, within=within)


@dataclass(frozen=True)
class DuckDBTarget:
    """The warehouse's own connection: rows are settled where they are going to stand."""

    scratch: duckdb.DuckDBPyConnection

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One transaction; landed_seq says the order, so the rows themselves may be written by all threads as they come."""
        with settings(self.scratch, {"preserve_insertion_order": "false"}), transaction(self.scratch):
            yield

    def run(self, statement: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """See Target."""
        return self.scratch.execute(statement, list(parameters)).fetchall()

    def bring(self, table: Table, columns: Sequence[str], keys: str) -> None:
        """All that stands is here."""

    def append(self, table: Table, select: str) -> None:
        """See Target."""
        self.scratch.execute(f"insert into {table.name} ({', '.join(table.column_names)}) {select}")

    def replace(self, table: Table, select: str) -> None:
        """See Target."""
        key = ", ".join(table.key)
        self.scratch.execute(f"delete from {table.name} where ({key}) in (select ({key}) from ({select}))")
        self.append(table, select)
