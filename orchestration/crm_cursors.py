"""How far each CRM source was pulled, in the operator state: the cursor, and what came of the last pull."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from ingestion.crm.pull import Cursor
from orchestration.state_tables import metadata

# One row per source that was ever pulled; a cursor is only good for the kind of source that wrote it.
crm_cursors = sa.Table(
    "crm_cursors",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("cursor", sa.Text, nullable=False),
    sa.Column("pulled_at", sa.DateTime),
    sa.Column("contacts", sa.Integer, nullable=False),
    sa.Column("problem", sa.Text),
    sa.Column("not_before", sa.DateTime),
)


@dataclass(frozen=True)
class LastPull:
    """What came of the last pull of a source that came to an end; `problem` is its sentence where that was not a good one.

    `contacts` are those of that pull; the vendor wants no request before `not_before` (naive UTC).
    """

    source: str
    pulled_at: datetime | None
    contacts: int
    problem: str | None
    not_before: datetime | None


class CrmCursors:
    """The cursors of an installation."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def cursor(self, source: str, kind: str) -> Cursor:
        """Where a source's next pull begins; empty at its first, and where the source's kind is another one now."""
        query = sa.select(crm_cursors.c.cursor).where(crm_cursors.c.source == source, crm_cursors.c.kind == kind)
        with self._engine.begin() as connection:
            text = connection.scalar(query)
        cursor: Cursor = json.loads(text) if text else {}
        return cursor

    def move(self, source: str, kind: str, cursor: Cursor) -> None:
        """Keep a cursor."""
        self._write(source, kind=kind, cursor=json.dumps(cursor))

    def note(
        self, source: str, kind: str, *, contacts: int, problem: str | None, not_before: datetime | None, now: datetime
    ) -> None:
        """Keep what came of a pull."""
        self._write(source, kind=kind, contacts=contacts, problem=problem, not_before=not_before, pulled_at=now)

    def last_pulls(self) -> dict[str, LastPull]:
        """The last pull of every source that was ever pulled."""
        columns = [crm_cursors.c[name] for name in LastPull.__dataclass_fields__]
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(*columns).order_by(crm_cursors.c.source)).mappings().all()
        return {row["source"]: LastPull(**row) for row in rows}

    def _write(self, source: str, **values: Any) -> None:
        with self._engine.begin() as connection:
            known = connection.execute(crm_cursors.update().where(crm_cursors.c.source == source).values(**values))
            if not known.rowcount:
                new = {"source": source, "cursor": "{}", "contacts": 0, **values}
                connection.execute(crm_cursors.insert().values(**new))
