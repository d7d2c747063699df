"""PostgreSQL as the warehouse: one writer by an advisory lock, whole builds for readers in schemas of their own."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import psycopg2.errors

from orchestration import postgres_serving as serving
from orchestration.errors import NothingServedError
from orchestration.postgres_connection import PostgresConnection, connect
from orchestration.warehouse import NEWEST_BUILD, Connection, first_row, scalar, tables_of
from orchestration.writer_lock import PATIENCE_SECONDS

log = logging.getLogger(__name__)

WRITER_LOCK = 0x57656674
"""Key of the advisory lock (of one database) that every writer queues on; dbt's macro wait_for_the_writer names it too."""


@dataclass(frozen=True)
class PostgresWarehouse:
    """One PostgreSQL database."""

    url: str = field(repr=False)
    dialect: str = "postgres"

    @contextmanager
    def writer(self) -> Iterator[Connection]:
        """The one writing connection. The server frees its lock when the connection ends, however its process does."""
        with self._session() as connection, self._lock(connection):
            yield connection

    @contextmanager
    def idle_writer(self) -> Iterator[Connection | None]:
        """See Warehouse."""
        with self._session() as connection, self._lock(connection, wait=False) as held:
            yield connection if held else None

    @contextmanager
    def dbt_turn(self) -> Iterator[None]:
        """The writer's lock, held here while our own dbt process writes: dbt opens a connection a model and can hold none."""
        with self.writer():
            yield

    def serve_newest_build(self, *, wait: bool = True) -> str | None:
        """Publish the newest whole build in one transaction. Cost: a copy of all tables but the event-level ones."""
        with self._session() as connection, self._lock(connection, wait=wait) as held:
            if not held or "builds" not in tables_of(connection, "control"):
                return None
            newest = first_row(connection, NEWEST_BUILD)
            if newest is None or newest[0] == serving.served_build(connection):
                return None
            serving.publish(connection, newest[0])
            serving.drop_old(connection)
        return str(newest[0])

    def served_build(self) -> str | None:
        """Id of the build that readers see."""
        with self._session() as connection:
            return serving.served_build(connection)

    @contextmanager
    def open_served(self, build_id: str | None = None) -> Iterator[Connection]:
        """A connection that reads one served build (the current one by default). Raises NothingServedError."""
        with self._session() as connection:
            schemas = serving.pin(connection, build_id)
            if schemas is None:
                raise NothingServedError("No whole build is served; run `weft run` or `weft build` first.")
            connection.execute("set default_transaction_read_only = on")
            yield PostgresConnection(connection.native, schemas)

    def size_bytes(self) -> int | None:
        """Bytes of all tables, served builds included; None where there is none yet."""
        query = (
            "select sum(pg_total_relation_size(c.oid)) from pg_class as c join pg_namespace as n on c.relnamespace = n.oid "
            "where c.relkind = 'r' and n.nspname in ('raw', 'control')"
        )
        with self._session() as connection:
            return (
                int(scalar(connection, "select pg_database_size(current_database())"))
                if scalar(connection, query)
                else None
            )

    def is_being_written(self) -> bool:
        """Whether somebody holds the writer's lock."""
        query = (
            "select count(*) from pg_locks join pg_database on pg_locks.database = pg_database.oid "
            "where locktype = 'advisory' and granted and classid = 0 and objid = ? and datname = current_database()"
        )
        with self._session() as connection:
            return bool(scalar(connection, query, [WRITER_LOCK]))

    @contextmanager
    def _session(self) -> Iterator[PostgresConnection]:
        with closing(connect(self.url)) as native:
            yield PostgresConnection(native)

    @contextmanager
    def _lock(self, connection: PostgresConnection, *, wait: bool = True) -> Iterator[bool]:
        """The writer's lock of this session; yields False at once where `wait` is off and somebody else writes."""
        if not wait:
            yield bool(scalar(connection, "select pg_try_advisory_lock(?)", [WRITER_LOCK]))
            return
        connection.execute(f"set lock_timeout = {int(PATIENCE_SECONDS * 1000)}")
        try:
            connection.execute("select pg_advisory_lock(?)", [WRITER_LOCK])
        except psycopg2.errors.LockNotAvailable:
            log.warning("Another run is writing to the warehouse; waiting for it to finish.")
            connection.execute("set lock_timeout = 0")
            connection.execute("select pg_advisory_lock(?)", [WRITER_LOCK])
        connection.execute("set lock_timeout = 0")
        yield True
