"""One simulated shop of 20,000 events for all tests of the simulator, opened with DuckDB."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import duckdb
import pytest

from ingestion.simulator import Difficulty, SimulationConfig, SimulationSummary, simulate

EVENTS, SEED = 20_000, 7


@dataclass(frozen=True)
class Simulated:
    """A finished simulation and a connection with its files as views: web, pos, whatsapp, products, truth_*."""

    summary: SimulationSummary
    connection: duckdb.DuckDBPyConnection

    def one(self, query: str) -> tuple:
        """The first row of a query."""
        return self.connection.sql(query).fetchall()[0]

    def rows(self, query: str) -> list[tuple]:
        """All rows of a query."""
        return self.connection.sql(query).fetchall()


def opened(summary: SimulationSummary) -> Simulated:
    """Views over the files; web and pos are without exact duplicates, web_files and pos_files are with them."""
    connection, out = duckdb.connect(), summary.out
    files = {
        "web_files": f"read_parquet('{out}/simulator_web/*.parquet', filename = true, file_row_number = true)",
        "pos_files": f"read_csv('{out}/simulator_pos/*.csv', all_varchar = true)",
        "whatsapp": f"read_ndjson('{out}/simulator_whatsapp/*.ndjson')",
        "products": f"read_csv('{out}/products/products.csv')",
        **{f"truth_{path.stem}": f"read_parquet('{path}')" for path in (out / "truth").glob("*.parquet")},
    }
    for name, source in files.items():
        connection.execute(f"create view {name} as select * from {source}")
    connection.execute(
        "create table web as select distinct on (message_id) *, received_at - (sent_at - original_timestamp) as occurred_at "
        "from web_files where message_id not in (select message_id from truth_bad_rows)"
    )
    connection.execute(
        "create table pos as select distinct *, receipt_id || '-' || line_number as message_id from pos_files "
        "where receipt_id || '-' || line_number not in (select message_id from truth_bad_rows)"
    )
    return Simulated(summary, connection)


Simulate = Callable[..., SimulationSummary]


@pytest.fixture(scope="session")
def run_simulation(tmp_path_factory: pytest.TempPathFactory) -> Simulate:
    """Simulates into a folder of its own."""

    def run(
        *, events: int = EVENTS, seed: int = SEED, difficulty: Difficulty | None = None, **more: int
    ) -> SimulationSummary:
        config = SimulationConfig(events=events, seed=seed, difficulty=difficulty or Difficulty(), **more)
        return simulate(config, tmp_path_factory.mktemp("simulated"))

    return run


@pytest.fixture(scope="session")
def open_shop() -> Callable[[SimulationSummary], Simulated]:
    """Opens a finished simulation."""
    return opened


@pytest.fixture(scope="session")
def shop(run_simulation: Simulate) -> Iterator[Simulated]:
    """The default shop; read only."""
    simulated = opened(run_simulation())
    yield simulated
    simulated.connection.close()
