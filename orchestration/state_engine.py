"""The database of the operator state: a SQLite file in WAL mode, or the schema weft_state of a PostgreSQL, with all tables there."""

from typing import Any

import sqlalchemy as sa

from orchestration.state_tables import metadata

SCHEMA = "weft_state"
CREATION_LOCK = 0x57656673
_PATIENCE = {"connect_timeout": 5, "tcp_user_timeout": 10_000}  # seconds; milliseconds
"""A server that went away without a word is given up after this; by itself TCP would wait for a quarter of an hour."""


def open_engine(url: str) -> tuple[bool, sa.Engine]:
    """Whether it is SQLite, and the engine; tables are created where they are missing."""
    if sa.make_url(url).get_backend_name() == "sqlite":
        engine = sa.create_engine(url)
        sa.event.listen(engine, "connect", _use_wal)
        metadata.create_all(engine)
        return True, engine
    # a service outlives a restart of the server: pings tell a dead connection before it is used
    asked = sa.make_url(url).query
    patience = {name: value for name, value in _PATIENCE.items() if name not in asked}
    engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True, connect_args=patience)
    engine = engine.execution_options(schema_translate_map={None: SCHEMA})
    _create_in_postgres(engine)
    return False, engine


def _create_in_postgres(engine: sa.Engine) -> None:
    """Create the schema and its tables where they are missing; two processes that start at once do it one after the other."""
    with engine.begin() as connection:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(CREATION_LOCK)))
        connection.execute(sa.schema.CreateSchema(SCHEMA, if_not_exists=True))
        metadata.create_all(connection)


def _use_wal(connection: Any, _record: object) -> None:
    """People write while services read: WAL lets both go on, and a busy writer is waited for."""
    cursor = connection.cursor()
    cursor.execute("pragma journal_mode = wal")
    cursor.execute("pragma busy_timeout = 10000")
    cursor.close()
