"""The embedded warehouse: a DuckDB file that one process writes, and copies of its whole builds that everybody reads."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from ingestion.durable import sync_path
from orchestration.errors import NothingServedError
from orchestration.warehouse import BATCH_ROWS, KEEP_BUILDS, NEWEST_BUILD, Connection, first_row, tables_of
from orchestration.writer_lock import lock_path, writer_lock

POINTER = "current"


@dataclass(frozen=True)
class DuckDBConnection:
    """A connection to a DuckDB file; `native` is for what only DuckDB's SQL can do (reading files while landing)."""

    native: duckdb.DuckDBPyConnection
    dialect: str = "duckdb"

    def execute(self, sql: str, parameters: Sequence[object] = ()) -> None:
        """Run one statement."""
        # an answer that nobody reads would keep DuckDB's connection busy
        self.native.execute(sql, list(parameters)).fetchall()

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return self.native.execute(sql, list(parameters)).fetchall()

    def arrow(self, sql: str) -> pa.Table:
        """All rows of a query as Arrow."""
        return self.native.sql(sql).to_arrow_table()

    def batches(self, sql: str, *, size: int = BATCH_ROWS) -> Iterator[pa.Table]:
        """See Connection. It reads what was committed when it began, and no temporary table."""
        # a statement on the same connection would end the answer that is still being read
        with self.native.cursor() as reading:
            for batch in reading.sql(sql).to_arrow_reader(size):
                if len(batch):
                    yield pa.Table.from_batches([batch])

    def transaction(self) -> AbstractContextManager[None]:
        """All of the block or nothing of it."""
        return transaction(self.native)

    def append(self, table: str, rows: pa.Table) -> None:
        """Add Arrow rows to an existing table, by the names of their columns."""
        names = ", ".join(rows.column_names)
        self.native.register("rows_to_append", rows)
        try:
            self.native.execute(f"insert into {table} ({names}) select {names} from rows_to_append")
        finally:
            self.native.unregister("rows_to_append")

    def schema(self, name: str) -> str:
        """The schema itself: a served build is a file of its own."""
        return name


@dataclass(frozen=True)
class DuckDBWarehouse:
    """One DuckDB file and the folder of its served copies."""

    path: Path
    served: Path
    dialect: str = "duckdb"

    @contextmanager
    def writer(self) -> Iterator[Connection]:
        """The one writing connection; closed (and the lock freed) at the end of the block."""
        with writer_lock(self.path):
            ensure_file(self.path)
            with duckdb.connect(str(self.path)) as native:
                native.execute("set timezone = 'UTC'")
                yield DuckDBConnection(native)

    @contextmanager
    def idle_writer(self) -> Iterator[Connection | None]:
        """See Warehouse."""
        if not self.path.exists():
            yield None
            return
        with writer_lock(self.path, wait=False) as held:
            if not held:
                yield None
                return
            with duckdb.connect(str(self.path)) as native:
                native.execute("set timezone = 'UTC'")
                yield DuckDBConnection(native)

    @contextmanager
    def dbt_turn(self) -> Iterator[None]:
        """Nothing: dbt's own process takes the lock (orchestration.dbt_plugin), since it must be the one to open the file."""
        yield

    def serve_newest_build(self, *, wait: bool = True) -> str | None:
        """Publish a copy of the newest whole build by rename. Cost: one copy of the warehouse file."""
        if not self.path.exists():
            return None
        with writer_lock(self.path, wait=wait) as held:
            if not held:
                return None
            build_id = self._newest_build()
            if build_id is None or build_id == self.served_build():
                return None
            self._copy(build_id)
        self._drop_old(build_id)
        return build_id

    def served_build(self) -> str | None:
        """Id of the build that readers see."""
        pointer = self.served / POINTER
        return Path(os.readlink(pointer)).stem if pointer.is_symlink() else None

    @contextmanager
    def open_served(self, build_id: str | None = None) -> Iterator[Connection]:
        """A read-only connection to a served build (the current one by default). Raises NothingServedError."""
        build_id = build_id or self.served_build()
        path = self.served / f"{build_id}.duckdb"
        if build_id is None or not path.exists():
            raise NothingServedError("No whole build is served; run `weft run` or `weft build` first.")
        with duckdb.connect(str(path), read_only=True) as native:
            native.execute("set timezone = 'UTC'")
            yield DuckDBConnection(native)

    def size_bytes(self) -> int | None:
        """Bytes of the file; None where there is none yet."""
        return self.path.stat().st_size if self.path.exists() else None

    def is_being_written(self) -> bool:
        """Whether somebody holds the writer's lock."""
        if not lock_path(self.path).exists():
            return False
        with writer_lock(self.path, wait=False) as held:
            return not held

    def _newest_build(self) -> str | None:
        """Looks into the file and folds its write-ahead log in, so that the file alone is the build."""
        with duckdb.connect(str(self.path)) as native:
            connection = DuckDBConnection(native)
            if "builds" not in tables_of(connection, "control"):
                return None
            native.execute("checkpoint")
            newest = first_row(connection, NEWEST_BUILD)
        return newest[0] if newest else None

    def _copy(self, build_id: str) -> None:
        self.served.mkdir(parents=True, exist_ok=True)
        copy = self.served / f"{build_id}.duckdb"
        writing = self.served / f".{build_id}.writing"
        shutil.copyfile(self.path, writing)
        sync_path(writing)
        writing.rename(copy)
        pointer = self.served / f".{POINTER}.new"
        pointer.unlink(missing_ok=True)
        pointer.symlink_to(copy.name)
        pointer.rename(self.served / POINTER)
        sync_path(self.served)

    def _drop_old(self, current: str) -> None:
        """Keep the newest builds; a reader that still has an older one open keeps it until it closes."""
        copies = sorted(self.served.glob("*.duckdb"), key=lambda path: path.stat().st_mtime, reverse=True)
        for copy in copies[KEEP_BUILDS:]:
            if copy.stem != current and copy.name != POINTER:
                copy.unlink(missing_ok=True)
        for leftover in self.served.glob(".*.writing"):
            leftover.unlink(missing_ok=True)


def ensure_file(path: Path) -> None:
    """Create an empty DuckDB file whole: DuckDB itself, killed while it creates one, leaves a file that nobody can open."""
    if not path.exists():
        new = path.with_name(f"{path.name}.new")
        new.unlink(missing_ok=True)
        duckdb.connect(str(new)).close()
        sync_path(new)
        new.rename(path)


@contextmanager
def transaction(native: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """All of the block or nothing of it."""
    native.execute("begin")
    try:
        yield
    except BaseException:
        native.execute("rollback")
        raise
    native.execute("commit")
