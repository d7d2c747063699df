"""Reading a served build for somebody who is not trusted with the machine: no files, no network, little memory, a few seconds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import duckdb
import psycopg2.errors

from orchestration.duckdb_warehouse import DuckDBConnection, DuckDBWarehouse
from orchestration.errors import NothingServedError, PreviewError
from orchestration.warehouse import Connection, Warehouse

SECONDS = 10.0
MEMORY_MB = 512
_NO_TIME = "The preview was stopped after {seconds:g} seconds; ask for less at once, such as a shorter window."
_NO_MEMORY = "The preview was stopped at {memory_mb} MB; ask for less at once, such as a shorter window."


@contextmanager
def limited_reading(
    warehouse: Warehouse, *, seconds: float = SECONDS, memory_mb: int = MEMORY_MB
) -> Iterator[Connection]:
    """A read-only connection to the current build for one block of at most `seconds`. Raises NothingServedError, PreviewError."""
    try:
        if isinstance(warehouse, DuckDBWarehouse):
            with _limited_file(warehouse, seconds=seconds, memory_mb=memory_mb) as connection:
                yield connection
        else:
            with warehouse.open_served() as connection:
                connection.execute(f"set statement_timeout = {int(seconds * 1000)}")
                connection.execute(f"set work_mem = '{max(memory_mb // 8, 1)}MB'")
                yield connection
    except (duckdb.InterruptException, psycopg2.errors.QueryCanceled):
        raise PreviewError(_NO_TIME.format(seconds=seconds)) from None
    except duckdb.OutOfMemoryException:
        raise PreviewError(_NO_MEMORY.format(memory_mb=memory_mb)) from None


@contextmanager
def _limited_file(warehouse: DuckDBWarehouse, *, seconds: float, memory_mb: int) -> Iterator[Connection]:
    """The file in a DuckDB of its own: its settings would otherwise be those of every reader in this process."""
    build_id = warehouse.served_build()
    path = warehouse.served / f"{build_id}.duckdb"
    if build_id is None or not path.exists():
        raise NothingServedError("No whole build is served; run `weft run` or `weft build` first.")
    with duckdb.connect(":memory:") as native:
        quoted = str(path).replace("'", "''")
        for statement in (
            "set timezone = 'UTC'",
            f"attach '{quoted}' as served (read_only)",
            "use served",
            f"set memory_limit = '{memory_mb}MB'",
            "set temp_directory = ''",
            "set enable_external_access = false",
            "set lock_configuration = true",
        ):
            native.execute(statement)
        over = threading.Timer(seconds, native.interrupt)
        over.daemon = True
        over.start()
        try:
            yield DuckDBConnection(native)
        finally:
            over.cancel()
