"""The simulator's answers, loaded into the schema `truth`: read by the evaluation of identity only."""

from pathlib import Path

import pyarrow.parquet as pq

from orchestration.warehouse import SQL_TYPES, Connection, write_table


def load_truth(connection: Connection, folder: Path) -> None:
    """Replace truth.people, truth.identifiers and truth.event_owners with the Parquet files of a simulation's folder."""
    with connection.transaction():
        for table in ("people", "identifiers", "event_owners"):
            rows = pq.read_table(folder / f"{table}.parquet")
            # dbt may have created it empty, with fewer columns
            connection.execute(f"drop table if exists truth.{table}")
            write_table(
                connection, f"truth.{table}", rows, {field.name: SQL_TYPES[field.type] for field in rows.schema}
            )
