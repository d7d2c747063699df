"""The run clock: one as-of instant a run, the dates that features are made for, and what the run may leave as it is."""

import hashlib
from collections.abc import Iterable
from datetime import datetime, time, timedelta

import pyarrow as pa

from identity.rules import Rules
from orchestration.collecting import ensure_raw_tables
from orchestration.model_inputs import model_options
from orchestration.settings import Settings
from orchestration.state import State, utc_now
from orchestration.transform import DBT_PROJECT
from orchestration.warehouse import Connection, create_table, first_row, scalar, write_table

PINNED_CLOCK = "pinned_as_of"
FEATURE_ANCHOR = "feature_anchor"
TRAINING_STEP_DAYS = 30
STEPS_BACK = (*range(1, 11), 13, 16)
"""Training dates, counted in steps before the run's day: ten in a row, and two from the seasons a year before, whose labels of 365
days have passed."""
LABEL_HORIZONS = {"horizon_days": "bigint"}
FEATURE_DATES = {"as_of_date": "date", "as_of": "timestamp", "is_training_date": "boolean"}
HISTORY_DAYS = 60
"""A date needs this much history before it to be worth learning from."""

EVENT_LEVEL = (
    "macros",
    "models/staging",
    "models/identity/event_identifiers.sql",
    "models/identity/event_evidence.sql",
)
CUSTOMER_LEVEL = (
    "dbt_project.yml",
    "macros",
    "models/staging",
    "models/identity",
    "models/customer_360",
    "models/features",
)
"""The files of the dbt project that say what stands in rows which a later run leaves as they are."""

CURRENT_RUN = {
    "run_id": "varchar",
    "as_of": "timestamp",
    "reporting_currency": "varchar",
    "phone_country_code": "varchar",
    "started_at": "timestamp",
    "run_seq": "bigint",
    "landed_seq": "bigint",
    "fingerprint": "varchar",
    "event_fingerprint": "varchar",
    "since_run_seq": "bigint",
    "since_as_of": "timestamp",
    "since_landed_seq": "bigint",
    "rebuilds_events": "boolean",
}
DATES = {"as_of_date": "date", "as_of": "timestamp"}
BUILDS = {
    "build_id": "varchar",
    "as_of": "timestamp",
    "completed_at": "timestamp",
    "run_seq": "bigint",
    "landed_seq": "bigint",
    "fingerprint": "varchar",
    "event_fingerprint": "varchar",
}


def resolve_as_of(state: State, as_of: datetime | None) -> datetime:
    """The instant of a run: what was asked for, else the installation's pinned clock (the demo's), else now."""
    if as_of is not None:
        return as_of
    pinned = state.setting(PINNED_CLOCK)
    return datetime.fromisoformat(pinned) if pinned else utc_now().replace(microsecond=0)


def feature_dates(as_of: datetime, first_event_at: datetime | None, *, anchor: datetime) -> list[datetime]:
    """Instants that features are made for, ascending: those that models learn from and are judged on, and the run's own.

    Which of them have labels depends on the horizon: a model takes the newest whose horizon has passed as its test, and
    learns from those whose horizon had passed by then (`ml.splits.time_split`). All lie whole steps from `anchor`, the day
    of the installation's first run: so the dates of one run are those of the next, and what was made for them can stay.
    """
    midnight = datetime.combine(as_of.date(), time())
    step = timedelta(days=TRAINING_STEP_DAYS)
    earliest = (first_event_at or as_of) + timedelta(days=HISTORY_DAYS)
    newest = midnight - (midnight - anchor) % step
    return [*sorted(date for date in (newest - step * count for count in STEPS_BACK) if date >= earliest), as_of]


def start_run(
    connection: Connection, *, run_id: str, as_of: datetime, settings: Settings, state: State, rules: Rules
) -> list[datetime]:
    """Write the run's clock, its settings and what it may leave as it is into `control`; returns the dates in use, ascending.

    Raises WeftError where the settings of the models cannot be read: before anything is written.
    """
    horizons = pa.table({"horizon_days": pa.array(model_options(settings).label_horizons, pa.int64())})
    ensure_raw_tables(connection)
    first_event_at = scalar(connection, "select min(occurred_at) from raw.events where known_at < ?", [as_of])
    midnight = datetime.combine(as_of.date(), time())
    anchor = datetime.fromisoformat(state.setting_or(FEATURE_ANCHOR, midnight.isoformat()))
    *training, _ = feature_dates(as_of, first_event_at, anchor=anchor)
    asked_for = state.snapshots.instants(as_of, retention_days=settings.snapshot_retention_days)
    dates = sorted({*training, *asked_for, as_of})
    create_table(connection, "control.current_run", CURRENT_RUN)
    create_table(connection, "control.builds", BUILDS)
    create_table(connection, "control.standing_dates", DATES)
    landed_seq = scalar(connection, "select coalesce(max(landed_seq), 0) from raw.events")
    run = {
        "run_id": run_id,
        "as_of": as_of,
        "reporting_currency": settings.reporting_currency,
        "phone_country_code": rules.default_country,
        "started_at": utc_now(),
        "landed_seq": landed_seq,
        "fingerprint": _fingerprint(CUSTOMER_LEVEL, [settings.reporting_currency, rules, _rates(connection)]),
        "event_fingerprint": _fingerprint(EVENT_LEVEL, [rules.default_country]),
    }
    run |= _standing(connection, run)
    with connection.transaction():
        rows = pa.Table.from_pylist([run], schema=_schema(CURRENT_RUN))
        write_table(connection, "control.current_run", rows, CURRENT_RUN)
        write_table(
            connection,
            "control.identifier_types",
            rules.types_table(),
            {"identifier_type": "varchar", "priority": "integer", "is_strong": "boolean"},
        )
        write_table(
            connection,
            "control.feature_dates",
            pa.table(
                {
                    "as_of_date": [date.date() for date in dates],
                    "as_of": dates,
                    "is_training_date": [date in training for date in dates],
                }
            ),
            FEATURE_DATES,
        )
        write_table(connection, "control.label_horizons", horizons, LABEL_HORIZONS)
        connection.execute(
            "delete from control.standing_dates where not exists (select 1 from control.feature_dates as dates "
            "where dates.as_of_date = standing_dates.as_of_date and dates.as_of = standing_dates.as_of) "
            "or exists (select 1 from control.feature_dates as dates "
            "where dates.as_of_date = standing_dates.as_of_date and dates.as_of <> standing_dates.as_of)"
        )
    return dates


def _standing(connection: Connection, run: dict[str, object]) -> dict[str, object]:
    """What of the last whole build this run may leave as it is: the since_ columns, all null where it is nothing.

    Nothing stands after a run that looked further ahead than this one, or that rebuilt everything and did not come to its end, or
    where models, rates or rules are others than the build's.
    """
    before = first_row(connection, "select run_seq, as_of, since_run_seq from control.current_run")
    run_seq, last_as_of, last_since = before or (0, None, None)
    newest = first_row(
        connection,
        "select run_seq, as_of, landed_seq, fingerprint, event_fingerprint from control.builds "
        "where run_seq is not null order by run_seq desc limit 1",
    )
    nothing = {"since_run_seq": None, "since_as_of": None, "since_landed_seq": None}
    standing = {"run_seq": (run_seq or 0) + 1, "rebuilds_events": newest is not None, **nothing}
    if newest is None:
        return standing
    since, since_as_of, since_landed_seq, fingerprint, event_fingerprint = newest
    standing["rebuilds_events"] = event_fingerprint != run["event_fingerprint"]
    broken_off_full = run_seq != since and last_since is None
    went_back = last_as_of is None or run["as_of"] < last_as_of
    if broken_off_full or went_back or fingerprint != run["fingerprint"]:
        return standing
    return standing | {"since_run_seq": since, "since_as_of": since_as_of, "since_landed_seq": since_landed_seq}


def rebuilds_events(connection: Connection) -> bool:
    """Whether the event-level models say something else than when their rows were written, so that these are written again."""
    return bool(scalar(connection, "select rebuilds_events from control.current_run"))


def mark_selection_built(connection: Connection, build_id: str) -> None:
    """Write that some models were built: readers may have it, but the next run takes nothing of it as standing."""
    connection.execute(
        "insert into control.builds (build_id, as_of, completed_at) select ?, as_of, ? from control.current_run",
        [build_id, utc_now()],
    )


def mark_build_whole(connection: Connection, build_id: str) -> None:
    """Write that everything of the run in progress is in the warehouse, its feature rows at all dates included."""
    with connection.transaction():
        connection.execute(
            "insert into control.builds (build_id, as_of, completed_at, run_seq, landed_seq, fingerprint, event_fingerprint) "
            "select ?, as_of, ?, run_seq, landed_seq, fingerprint, event_fingerprint from control.current_run",
            [build_id, utc_now()],
        )
        connection.execute("delete from control.standing_dates")
        connection.execute(
            "insert into control.standing_dates (as_of_date, as_of) select as_of_date, as_of from control.feature_dates"
        )


def dates_in_use(connection: Connection) -> list[datetime]:
    """The instants that the run in progress makes features for, ascending; the last is its as-of."""
    rows = connection.rows(
        "select as_of from control.feature_dates union select as_of from control.current_run order by as_of"
    )
    return [row[0] for row in rows]


def _fingerprint(paths: Iterable[str], settings: Iterable[object]) -> str:
    """Hash of the files below the dbt project and of settings that the rows of a build depend on."""
    digest = hashlib.sha256()
    for path in paths:
        root = DBT_PROJECT / path
        for file in sorted(root.rglob("*")) if root.is_dir() else [root]:
            if file.suffix in (".sql", ".yml") and not file.name.endswith("_tests.yml"):
                digest.update(file.read_bytes())
    for setting in settings:
        digest.update(repr(setting).encode())
    return digest.hexdigest()


def _rates(connection: Connection) -> list[tuple[object, ...]]:
    return connection.rows("select rate_date, currency, rate from raw.exchange_rates order by currency, rate_date")


def _schema(columns: dict[str, str]) -> pa.Schema:
    types = {"varchar": pa.string(), "timestamp": pa.timestamp("us"), "bigint": pa.int64(), "boolean": pa.bool_()}
    return pa.schema([(name, types[type_]) for name, type_ in columns.items()])
