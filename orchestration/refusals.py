"""Refusals that landed since the last whole build, in the operator state: a withdrawal is obeyed before the next build knows of it.

An identifier is kept as a keyed hash alone. A row goes when a served build contains the event that it came from.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestration.gate_revisions import bump, revision
from orchestration.state_tables import metadata

# One row per identifier and purpose: the newest refusal.
consent_refusals = sa.Table(
    "consent_refusals",
    metadata,
    sa.Column("identifier_type", sa.Text, primary_key=True),
    sa.Column("identifier_hash", sa.Text, primary_key=True),
    sa.Column("purpose", sa.Text, primary_key=True),
    sa.Column("landed_seq", sa.BigInteger, nullable=False),
    sa.Column("known_at", sa.DateTime, nullable=False),
    sa.Column("refused_at", sa.DateTime, nullable=False),
)

# One row: how far raw.events was read, and the run clock of the build that was served then.
refusal_cursor = sa.Table(
    "refusal_cursor",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("landed_seq", sa.BigInteger, nullable=False),
    sa.Column("as_of", sa.DateTime, nullable=False),
)
_NAME = "raw.events"
AT_ONCE = 5_000


@dataclass(frozen=True)
class Refusal:
    """One identifier (hashed) that refused one purpose; instants are naive UTC, `refused_at` is the event's."""

    identifier_type: str
    identifier_hash: str
    purpose: str
    landed_seq: int
    known_at: datetime
    refused_at: datetime


@dataclass(frozen=True)
class Cursor:
    """How far refusals were read: every event up to `landed_seq`, against a build that looked back from `as_of`."""

    landed_seq: int
    as_of: datetime


def identifier_hash(key: str, identifier_type: str, value: str) -> str:
    """The keyed hash that an identifier is known by; `HASH_IN_SQL` is the same in SQL."""
    return hashlib.sha256(f"{key}{identifier_type}:{value}".encode()).hexdigest()


HASH_IN_SQL = {
    "duckdb": "sha256(? || identifier_type || ':' || identifier_value)",
    "postgres": "encode(sha256(convert_to(? || identifier_type || ':' || identifier_value, 'UTF8')), 'hex')",
}


class Refusals:
    """The refusals that no served build contains yet."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def revision(self) -> int:
        """A number that grows with every change."""
        return revision(self._engine, "refusals")

    def cursor(self) -> Cursor | None:
        """How far the events were read; None before the first time."""
        with self._engine.begin() as connection:
            row = connection.execute(sa.select(refusal_cursor)).first()
        return Cursor(row.landed_seq, row.as_of) if row else None

    def note(self, refusals: Iterable[Refusal], cursor: Cursor) -> int:
        """Keep refusals and, with them, how far the events were read; returns how many were new or newer. Repeating it changes nothing."""
        table = consent_refusals
        changed = 0
        with self._engine.begin() as connection:
            insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
            excluded = insert.excluded
            key = [table.c.identifier_type, table.c.identifier_hash, table.c.purpose]
            newest = {
                name: sa.case((excluded[name] > table.c[name], excluded[name]), else_=table.c[name])
                for name in ("landed_seq", "known_at", "refused_at")
            }
            is_newer = (excluded.landed_seq > table.c.landed_seq) | (excluded.known_at > table.c.known_at)
            statement = insert.on_conflict_do_update(index_elements=key, set_=newest, where=is_newer)
            rows = [vars(refusal) for refusal in refusals]
            for first in range(0, len(rows), AT_ONCE):
                changed += connection.execute(statement, rows[first : first + AT_ONCE]).rowcount
            if rows:
                bump(connection, "refusals")
            connection.execute(refusal_cursor.delete())
            connection.execute(refusal_cursor.insert().values(name=_NAME, **vars(cursor)))
        return changed

    def forget_contained(self, *, landed_seq: int, as_of: datetime) -> int:
        """Drop what a served build contains: landed before it began, and known before the instant that it looks back from."""
        table = consent_refusals
        with self._engine.begin() as connection:
            contained = (table.c.landed_seq <= landed_seq) & (table.c.known_at < as_of)
            return connection.execute(table.delete().where(contained)).rowcount

    def list(self) -> list[Refusal]:
        """All that stand."""
        with self._engine.begin() as connection:
            return [Refusal(**row) for row in connection.execute(sa.select(consent_refusals)).mappings()]
