"""Landing, whatever the warehouse: the calls that assets and commands make."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from ingestion.landing_report import LandingReport
from ingestion.mappings import Mapping
from orchestration import landing, postgres_landing
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.postgres_connection import PostgresConnection
from orchestration.staging import Target
from orchestration.state import State
from orchestration.warehouse import Connection

INBOX_PROBLEMS = "inbox_problems"


def ensure_raw_tables(connection: Connection) -> None:
    """Create the schema `raw` and its tables where they are missing, and seed the exchange rates."""
    if isinstance(connection, PostgresConnection):
        postgres_landing.ensure_raw_tables_in_postgres(connection.native)
    else:
        landing.ensure_raw_tables(_duckdb(connection))


def land_file(connection: Connection, *, path: Path, mapping: Mapping, landed_at: datetime) -> LandingReport:
    """Land one file in one transaction. Raises FileError or MappingError with one sentence, and then nothing has landed."""
    if isinstance(connection, PostgresConnection):
        return postgres_landing.land_file_into_postgres(
            connection.native, path=path, mapping=mapping, landed_at=landed_at
        )
    return landing.land_file(_duckdb(connection), path=path, mapping=mapping, landed_at=landed_at)


def land_folder(
    connection: Connection, *, folder: Path, landed_at: datetime, within: str = ""
) -> Iterator[LandingReport]:
    """Land every file below `folder`/<mapping name>/`within` that has not landed yet, one report each."""
    if isinstance(connection, PostgresConnection):
        return postgres_landing.land_folder_into_postgres(
            connection.native, folder=folder, landed_at=landed_at, within=within
        )
    return landing.land_folder(_duckdb(connection), folder=folder, landed_at=landed_at, within=within)


@contextmanager
def landing_target(connection: Connection) -> Iterator[Target]:
    """Where landings write, for what is no file; its raw tables are there."""
    if isinstance(connection, PostgresConnection):
        with postgres_landing.postgres_target(connection.native) as target:
            yield target
    else:
        yield landing.DuckDBTarget(_duckdb(connection))


def remember_problems(state: State, reports: Iterable[LandingReport]) -> None:
    """Keep which files of the inbox could not be landed at the last try, until the next one."""
    problems = {f"{report.mapping}/{report.origin}": report.problem for report in reports if report.problem}
    state.remember(INBOX_PROBLEMS, json.dumps(problems))


def inbox_problems(state: State) -> dict[str, str]:
    """Files of the inbox, as mapping/name, that could not be landed at the last try, with the sentence that says why."""
    problems: dict[str, str] = json.loads(state.setting(INBOX_PROBLEMS) or "{}")
    return problems


def _duckdb(connection: Connection):  # type: ignore[no-untyped-def]
    assert isinstance(connection, DuckDBConnection)
    return connection.native
