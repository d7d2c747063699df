"""Holdouts in the operator state: which share of an audience, or of everybody, is left alone so that the rest can be compared with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from orchestration.gate_revisions import bump, revision
from orchestration.state_tables import metadata

EVERYBODY = "*"
"""The scope of the global holdout."""

# One row per round: another share begins another round, so that a round is one experiment with one chance to be held out.
holdouts = sa.Table(
    "holdouts",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("round", sa.Integer, primary_key=True),
    sa.Column("percent", sa.Float, nullable=False),
    sa.Column("salt", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("started_at", sa.DateTime, nullable=False),
    sa.Column("ended_at", sa.DateTime),
)


@dataclass(frozen=True)
class Holdout:
    """One round of one scope (an audience's name, or EVERYBODY); instants are naive UTC, `ended_at` null while it is in force."""

    scope: str
    round: int
    percent: float
    salt: str
    note: str
    made_by: str
    started_at: datetime
    ended_at: datetime | None

    @property
    def threshold(self) -> str:
        """Who is held out: those whose hash in hexadecimal digits stands before this text."""
        share = round(self.percent / 100 * 16**8)
        return f"{share:08x}" if share < 16**8 else "g"

    @property
    def prefix(self) -> str:
        """What stands before a customer's id where it is hashed."""
        return f"{self.salt}:{self.scope}:{self.round}:"


class Holdouts:
    """All rounds of one installation."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def revision(self) -> int:
        """A number that grows with every change."""
        return revision(self._engine, "holdouts")

    def set(self, scope: str, percent: float, *, salt: str, note: str, made_by: str, now: datetime) -> Holdout | None:
        """Hold out this share from now on: 0 ends the holdout, another share begins a round. None where nothing is held out."""
        if not 0 <= percent <= 100:
            raise ValueError(f"A holdout is between 0 and 100 percent, not {percent:g}.")
        table = holdouts
        with self._engine.begin() as connection:
            standing = (
                connection.execute(sa.select(table).where(table.c.scope == scope, table.c.ended_at.is_(None)))
                .mappings()
                .first()
            )
            if standing and standing["percent"] == percent:
                return Holdout(**standing)
            running = table.update().where(table.c.scope == scope, table.c.ended_at.is_(None))
            connection.execute(running.values(ended_at=now))
            if standing or percent:
                bump(connection, "holdouts")
            if not percent:
                return None
            last = connection.scalar(sa.select(sa.func.max(table.c.round)).where(table.c.scope == scope)) or 0
            made = Holdout(scope, last + 1, percent, salt, note, made_by, now, None)
            connection.execute(table.insert().values(vars(made)))
        return made

    def list(self, *, with_ended: bool = False) -> list[Holdout]:
        """The rounds in force by scope; or all that there ever were."""
        query = sa.select(holdouts).order_by(holdouts.c.scope, holdouts.c.round)
        if not with_ended:
            query = query.where(holdouts.c.ended_at.is_(None))
        with self._engine.begin() as connection:
            return [Holdout(**row) for row in connection.execute(query).mappings()]

    def of(self, audience: str) -> Sequence[Holdout]:
        """The rounds in force that an audience's members are in: everybody's, then its own."""
        return [each for each in self.list() if each.scope in (EVERYBODY, audience)]
