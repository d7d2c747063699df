"""Which build last showed an audience as it is, and which build's look at it readers were told of: operator state."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from orchestration.state_tables import metadata

REQUESTED, CONFIRMED, FAILED = "requested", "confirmed", "failed"

# One row per audience: the newest build in which it was looked at, and the version whose content was found there.
audience_sightings = sa.Table(
    "audience_sightings",
    metadata,
    sa.Column("audience", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("build_id", sa.Text, nullable=False),
    sa.Column("completed_at", sa.DateTime, nullable=False),
    sa.Column("as_of", sa.DateTime, nullable=False),
)

# One row per audience: what Redis was last told, or is being told, of its version: the build, and how long keys live.
audience_confirmations = sa.Table(
    "audience_confirmations",
    metadata,
    sa.Column("audience", sa.Text, primary_key=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("completed_at", sa.DateTime, nullable=False),
    sa.Column("expires_after", sa.Integer),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("detail", sa.Text),
    sa.Column("changed_at", sa.DateTime, nullable=False),
)


@dataclass(frozen=True)
class Sighting:
    """A build (`completed_at` and `as_of` naive UTC) in which an audience had the content of `version`."""

    audience: str
    version: int
    build_id: str
    completed_at: datetime
    as_of: datetime


@dataclass(frozen=True)
class Confirmation:
    """Where it stands with telling readers of a sighting; `expires_after` in seconds, None where keys stay."""

    audience: str
    version: int
    completed_at: datetime
    expires_after: int | None
    attempt: int
    status: str
    detail: str | None
    changed_at: datetime


class ConfirmationRecords:
    """Sightings of audiences in builds, and their confirmations."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def saw(self, sightings: Iterable[Sighting]) -> None:
        """Remember what a look at one build found; a look at an older build changes nothing."""
        known = self.sightings()
        news = [
            each
            for each in sightings
            if each != (known_one := known.get(each.audience))
            and (known_one is None or known_one.completed_at <= each.completed_at)
        ]
        if not news:
            return
        with self._engine.begin() as connection:
            for each in news:
                older = (audience_sightings.c.audience == each.audience) & (
                    audience_sightings.c.completed_at <= each.completed_at
                )
                connection.execute(audience_sightings.delete().where(older))
                is_known = sa.select(audience_sightings.c.audience).where(
                    audience_sightings.c.audience == each.audience
                )
                if connection.execute(is_known).first() is None:
                    connection.execute(audience_sightings.insert().values(vars(each)))

    def sightings(self) -> dict[str, Sighting]:
        """The newest look at every audience."""
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(audience_sightings)).mappings().all()
        return {row["audience"]: Sighting(**row) for row in rows}

    def record(self, confirmations: Iterable[Confirmation]) -> None:
        """Write where these confirmations stand, all or none."""
        with self._engine.begin() as connection:
            for each in confirmations:
                connection.execute(
                    audience_confirmations.delete().where(audience_confirmations.c.audience == each.audience)
                )
                connection.execute(audience_confirmations.insert().values(vars(each)))

    def all(self) -> dict[str, Confirmation]:
        """The confirmation of every audience that has one."""
        with self._engine.begin() as connection:
            rows = connection.execute(sa.select(audience_confirmations)).mappings().all()
        return {row["audience"]: Confirmation(**row) for row in rows}
