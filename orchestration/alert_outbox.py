"""Alerts in the operator state until their receiver has taken them: one a failed run, tried again while the receiver is down."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from orchestration.state_tables import metadata

FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)

# One row per failed run: what to tell, when its next try is due (null: told), how many tries failed.
alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("failed_tries", sa.Integer, nullable=False),
    sa.Column("due_at", sa.DateTime),
)


@dataclass(frozen=True)
class Alert:
    """One run's alert that is due."""

    run_id: str
    body: dict[str, Any]
    failed_tries: int


class AlertOutbox:
    """Alerts that have to be told, and those that were."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, run_id: str, body: dict[str, Any], *, now: datetime) -> None:
        """Keep what has to be told of a run; a run that was added before stays as it is."""
        with self._engine.begin() as connection:
            if connection.scalar(sa.select(alerts.c.run_id).where(alerts.c.run_id == run_id)) is None:
                row = {"run_id": run_id, "body": json.dumps(body), "failed_tries": 0, "due_at": now}
                connection.execute(alerts.insert().values(row))

    def due(self, now: datetime) -> list[Alert]:
        """Alerts whose turn has come, those that wait longest first."""
        query = sa.select(alerts).where(alerts.c.due_at <= now).order_by(alerts.c.due_at, alerts.c.run_id)
        with self._engine.begin() as connection:
            rows = connection.execute(query).all()
        return [Alert(row.run_id, json.loads(row.body), row.failed_tries) for row in rows]

    def told(self, alert: Alert) -> None:
        """The receiver has taken it."""
        self._write(alert, due_at=None, failed_tries=alert.failed_tries)

    def not_told(self, alert: Alert, *, now: datetime) -> None:
        """The receiver has not taken it: the next try waits twice as long as the last, an hour at most."""
        wait = min(FIRST_WAIT * 2 ** min(alert.failed_tries, 10), LONGEST_WAIT)
        self._write(alert, due_at=now + wait, failed_tries=alert.failed_tries + 1)

    def _write(self, alert: Alert, **values: object) -> None:
        with self._engine.begin() as connection:
            connection.execute(alerts.update().where(alerts.c.run_id == alert.run_id).values(**values))
