"""The run clock: one as-of instant a run, and the dates that features are made for."""

from datetime import datetime, time, timedelta

import duckdb
import pyarrow as pa

from identity.rules import Rules
from orchestration.landing import ensure_raw_tables
from orchestration.settings import Settings
from orchestration.state import State, utc_now
from orchestration.warehouse import scalar, transaction, write_table

PINNED_CLOCK = "pinned_as_of"
HORIZON_DAYS = 90
"""How far back the newest labelled date lies; equals the dbt variable label_horizon_days (held together by a test)."""
TRAINING_STEP_DAYS = 30
TRAINING_DATES = 5
HISTORY_DAYS = 60
"""A date needs this much history before it to be worth learning from."""


def resolve_as_of(state: State, as_of: datetime | None) -> datetime:
    """The instant of a run: what was asked for, else the installation's pinned clock (the demo's), else now."""
    if as_of is not None:
        return as_of
    pinned = state.setting(PINNED_CLOCK)
    return datetime.fromisoformat(pinned) if pinned else utc_now().replace(microsecond=0)


def feature_dates(as_of: datetime, first_event_at: datetime | None) -> list[datetime]:
    """Instants that features are made for, ascending: training dates, the test date, and the run's own instant.

    The test date lies one horizon back, so that its labels are known; training dates lie at least one horizon before it,
    so that their labels end before it begins.
    """
    midnight = datetime.combine(as_of.date(), time())
    earliest = (first_event_at or as_of) + timedelta(days=HISTORY_DAYS)
    test = midnight - timedelta(days=HORIZON_DAYS)
    training = [test - timedelta(days=HORIZON_DAYS + TRAINING_STEP_DAYS * step) for step in range(TRAINING_DATES)]
    return [*sorted(date for date in [test, *training] if date >= earliest), as_of]


def start_run(
    connection: duckdb.DuckDBPyConnection, *, run_id: str, as_of: datetime, settings: Settings, rules: Rules
) -> list[datetime]:
    """Write the run's clock and settings into `control`; returns the dates in use, ascending."""
    ensure_raw_tables(connection)
    first_event_at = scalar(connection, "select min(occurred_at) from raw.events where known_at < ?", [as_of])
    dates = feature_dates(as_of, first_event_at)
    with transaction(connection):
        write_table(
            connection,
            "control.current_run",
            pa.table(
                {
                    "run_id": [run_id],
                    "as_of": [as_of],
                    "reporting_currency": [settings.reporting_currency],
                    "phone_country_code": [rules.default_country],
                    "started_at": [utc_now()],
                }
            ),
            {
                "run_id": "varchar",
                "as_of": "timestamp",
                "reporting_currency": "varchar",
                "phone_country_code": "varchar",
                "started_at": "timestamp",
            },
        )
        write_table(
            connection,
            "control.identifier_types",
            rules.types_table(),
            {"identifier_type": "varchar", "priority": "integer", "is_strong": "boolean"},
        )
        write_table(
            connection,
            "control.feature_dates",
            pa.table({"as_of_date": [date.date() for date in dates], "as_of": dates}),
            {"as_of_date": "date", "as_of": "timestamp"},
        )
    return dates


def dates_in_use(connection: duckdb.DuckDBPyConnection) -> list[datetime]:
    """The instants that the run in progress makes features for, ascending; the last is its as-of."""
    rows = connection.execute(
        "select as_of from control.feature_dates union select as_of from control.current_run order by as_of"
    ).fetchall()
    return [row[0] for row in rows]
