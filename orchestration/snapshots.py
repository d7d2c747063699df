"""Days in the operator state whose feature snapshots somebody asked for."""

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta

import sqlalchemy as sa

from orchestration.state_tables import metadata

# One row per day that a snapshot was asked for; runs keep making it until it is older than WEFT_SNAPSHOT_RETENTION_DAYS.
snapshot_days = sa.Table("snapshot_days", metadata, sa.Column("day", sa.Date, primary_key=True))


class SnapshotDays:
    """The days that runs make features for, beside those that models are trained on."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def ask_for(self, days: Sequence[date]) -> None:
        """Remember these days; those asked for before stay."""
        with self._engine.begin() as connection:
            for day in days:
                connection.execute(snapshot_days.delete().where(snapshot_days.c.day == day))
                connection.execute(snapshot_days.insert().values(day=day))

    def instants(self, as_of: datetime, *, retention_days: int) -> list[datetime]:
        """Midnights (naive UTC) that a run at `as_of` makes snapshots for, ascending.

        The run's own day is left out: its row is the run's own.
        """
        oldest = as_of.date() - timedelta(days=retention_days)
        query = sa.select(snapshot_days.c.day).where(
            snapshot_days.c.day.between(oldest, as_of.date() - timedelta(days=1))
        )
        with self._engine.begin() as connection:
            days: Sequence[date] = connection.scalars(query.order_by(snapshot_days.c.day)).all()
        return [datetime.combine(day, time()) for day in days]
