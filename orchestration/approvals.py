"""Versions of audiences that a guard held back: why, at which state of things, and who let one pass."""

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from orchestration.errors import GateError
from orchestration.state_tables import metadata

# One row per version that was ever held back.
held_versions = sa.Table(
    "held_versions",
    metadata,
    sa.Column("audience", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, primary_key=True),
    sa.Column("sentence", sa.Text, nullable=False),
    sa.Column("seen", sa.Text, nullable=False),
    sa.Column("held_at", sa.DateTime, nullable=False),
    sa.Column("approved_by", sa.Text),
    sa.Column("approved_at", sa.DateTime),
    sa.Column("note", sa.Text),
)


@dataclass(frozen=True)
class Held:
    """One version that a guard held back; `seen` names the build and the gate's revision that it was judged at."""

    audience: str
    version: int
    sentence: str
    seen: str
    held_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    note: str | None


class Approvals:
    """What guards held back in one installation."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def hold(self, audience: str, version: int, *, sentence: str, seen: str, now: datetime) -> None:
        """Remember that a version is held back; an approval that it has stays."""
        table = held_versions
        key = (table.c.audience == audience) & (table.c.version == version)
        with self._engine.begin() as connection:
            values = {"sentence": sentence, "seen": seen, "held_at": now}
            if not connection.execute(table.update().where(key).values(values)).rowcount:
                connection.execute(table.insert().values(audience=audience, version=version, **values))

    def release(self, audience: str, version: int) -> None:
        """Forget that a version was held back where a closer look found nothing wrong; one that somebody approved stays on record."""
        table = held_versions
        key = (table.c.audience == audience) & (table.c.version == version) & table.c.approved_at.is_(None)
        with self._engine.begin() as connection:
            connection.execute(table.delete().where(key))

    def of(self, audience: str, version: int) -> Held | None:
        """What is remembered of one version; None where no guard ever held it."""
        table = held_versions
        query = sa.select(table).where(table.c.audience == audience, table.c.version == version)
        with self._engine.begin() as connection:
            row = connection.execute(query).mappings().first()
        return Held(**row) if row else None

    def approve(self, audience: str, version: int, *, by: str, note: str, now: datetime) -> Held:
        """Let this one version pass whatever the guards say. Raises GateError where it is not held back."""
        held = self.of(audience, version)
        if held is None:
            raise GateError(f"Version {version} of {audience} is not held back; `weft audience list` shows which are.")
        table = held_versions
        key = (table.c.audience == audience) & (table.c.version == version)
        with self._engine.begin() as connection:
            connection.execute(table.update().where(key).values(approved_by=by, approved_at=now, note=note))
        return held
