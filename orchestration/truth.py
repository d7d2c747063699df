"""The simulator's answers, loaded into the schema `truth`: read by the evaluation of identity only."""

from pathlib import Path

import duckdb

from orchestration.warehouse import transaction


def load_truth(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Replace truth.people, truth.identifiers and truth.event_owners with the Parquet files of a simulation's folder."""
    connection.execute("create schema if not exists truth")
    with transaction(connection):
        for table in ("people", "identifiers", "event_owners"):
            connection.execute(
                f"create or replace table truth.{table} as select * from read_parquet(?)",
                [str(folder / f"{table}.parquet")],
            )
