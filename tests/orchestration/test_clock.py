"""The run clock and the dates that features are made for."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from identity.rules import load_rules
from ml.splits import time_split
from orchestration.clock import (
    PINNED_CLOCK,
    TRAINING_STEP_DAYS,
    dates_in_use,
    feature_dates,
    mark_build_whole,
    mark_selection_built,
    resolve_as_of,
    start_run,
)
from orchestration.duckdb_warehouse import DuckDBWarehouse
from orchestration.errors import WeftError
from orchestration.settings import Settings
from orchestration.state import State, utc_now
from orchestration.warehouse import Connection, first_row


def test_dates_lie_whole_steps_back_as_far_as_a_year_of_labels_and_a_test_after_it_need() -> None:
    as_of = datetime(2026, 7, 1, 15, 30)
    *dates, run = feature_dates(as_of, datetime(2024, 1, 1), anchor=datetime(2026, 7, 1))
    assert run == as_of
    assert [(datetime(2026, 7, 1) - day).days for day in reversed(dates)] == [30 * n for n in (*range(1, 11), 13, 16)]


@pytest.mark.parametrize("horizon", [30, 90, 180])
def test_training_labels_end_before_the_test_date_begins(horizon: int) -> None:
    as_of = datetime(2026, 7, 1, 15, 30)
    *dates, _ = feature_dates(as_of, datetime(2025, 1, 1), anchor=datetime(2026, 6, 20))
    labelled = [day for day in dates if day + timedelta(days=horizon) <= as_of]
    split = time_split(pd.DataFrame({"as_of_date": labelled, "horizon_days": horizon}))
    passed = as_of.date() - split.test_date - timedelta(days=horizon)
    assert timedelta(0) <= passed < timedelta(days=TRAINING_STEP_DAYS)
    assert all(day + timedelta(days=horizon) <= split.test_date for day in split.dates_before_test)


def test_a_young_shop_has_only_the_dates_that_have_history() -> None:
    as_of = datetime(2026, 7, 1)
    assert feature_dates(as_of, datetime(2026, 6, 1), anchor=as_of) == [as_of]
    assert feature_dates(as_of, None, anchor=as_of) == [as_of]


def test_what_was_asked_for_wins_over_the_pinned_clock_and_that_over_now(tmp_path: Path) -> None:
    state = State(f"sqlite:///{tmp_path / 'state.sqlite'}")
    before = utc_now().replace(microsecond=0)
    assert resolve_as_of(state, None) >= before
    state.remember(PINNED_CLOCK, "2026-07-01T00:00:00")
    assert resolve_as_of(state, None) == datetime(2026, 7, 1)
    assert resolve_as_of(state, datetime(2026, 1, 1)) == datetime(2026, 1, 1)


def test_the_dates_of_one_day_are_those_of_the_next_until_a_step_is_full() -> None:
    anchor, first_event_at = datetime(2026, 7, 1), datetime(2024, 1, 1)
    first = feature_dates(anchor, first_event_at, anchor=anchor)[:-1]
    for day in range(TRAINING_STEP_DAYS):
        assert feature_dates(anchor + timedelta(days=day, hours=5), first_event_at, anchor=anchor)[:-1] == first
    later = feature_dates(anchor + timedelta(days=TRAINING_STEP_DAYS), first_event_at, anchor=anchor)[:-1]
    assert len({*later} - {*first}) == 3  # a month in a row, and the two of the year before
    assert feature_dates(anchor - timedelta(days=1), first_event_at, anchor=anchor)[-2] < first[-1]


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDBWarehouse:
    return DuckDBWarehouse(tmp_path / "warehouse.duckdb", tmp_path / "served")


def _start(connection: Connection, home: Path, as_of: datetime, **changed: object) -> tuple[object, ...]:
    state = State(f"sqlite:///{home / 'state.sqlite'}")
    settings = Settings(home=home, **changed)  # type: ignore[arg-type]
    start_run(connection, run_id="run", as_of=as_of, settings=settings, state=state, rules=load_rules(None))
    row = first_row(connection, "select run_seq, since_run_seq, since_as_of from control.current_run")
    assert row is not None
    return row


JULY = datetime(2026, 7, 1)
HOUR = timedelta(hours=1)


def test_a_run_leaves_standing_what_the_last_whole_build_has(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    with warehouse.writer() as connection:
        assert _start(connection, tmp_path, JULY) == (1, None, None)
        # the first run was broken off: there is still nothing to build on
        assert _start(connection, tmp_path, JULY) == (2, None, None)
        mark_build_whole(connection, "whole")
        assert _start(connection, tmp_path, JULY + HOUR) == (3, 2, JULY)
        # broken off: what it changed lies between the whole build and the next run too
        assert _start(connection, tmp_path, JULY + 2 * HOUR) == (4, 2, JULY)


def test_what_a_selection_built_is_not_taken_for_the_whole(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    with warehouse.writer() as connection:
        _start(connection, tmp_path, JULY)
        mark_build_whole(connection, "whole")
        _start(connection, tmp_path, JULY + HOUR)
        mark_selection_built(connection, "some models")
        assert _start(connection, tmp_path, JULY + 2 * HOUR) == (3, 1, JULY)


def test_nothing_stands_after_a_run_that_looked_further_ahead(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    with warehouse.writer() as connection:
        _start(connection, tmp_path, JULY)
        mark_build_whole(connection, "whole")
        _start(connection, tmp_path, JULY + 3 * HOUR)
        assert _start(connection, tmp_path, JULY + HOUR) == (3, None, None)
        # and that run was broken off
        assert _start(connection, tmp_path, JULY + 2 * HOUR) == (4, None, None)
        mark_build_whole(connection, "whole again")
        assert _start(connection, tmp_path, JULY + 2 * HOUR) == (5, 4, JULY + 2 * HOUR)


def test_nothing_stands_where_rates_or_the_currency_changed(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    with warehouse.writer() as connection:
        _start(connection, tmp_path, JULY)
        mark_build_whole(connection, "euros")
        assert _start(connection, tmp_path, JULY, reporting_currency="GBP") == (2, None, None)
        mark_build_whole(connection, "pounds")
        connection.execute("update raw.exchange_rates set rate = rate * 2 where currency = 'GBP'")
        assert _start(connection, tmp_path, JULY, reporting_currency="GBP") == (3, None, None)


def test_snapshots_that_were_asked_for_are_dates_in_use_until_they_are_too_old(
    warehouse: DuckDBWarehouse, tmp_path: Path
) -> None:
    state = State(f"sqlite:///{tmp_path / 'state.sqlite'}")
    days = [date(2026, 5, 1), date(2026, 6, 1), date(2026, 6, 2), date(2026, 7, 1)]
    state.snapshots.ask_for(days[:3])
    state.snapshots.ask_for(days[1:])  # twice is once
    with warehouse.writer() as connection:
        _start(connection, tmp_path, JULY + HOUR, snapshot_retention_days=40)
        assert connection.rows("select * from control.feature_dates order by as_of") == [
            (date(2026, 6, 1), datetime(2026, 6, 1), False),
            (date(2026, 6, 2), datetime(2026, 6, 2), False),
            (date(2026, 7, 1), JULY + HOUR, False),  # the run's own day is the run's own
        ]
        assert dates_in_use(connection) == [datetime(2026, 6, 1), datetime(2026, 6, 2), JULY + HOUR]
        _start(connection, tmp_path, JULY + 25 * HOUR, snapshot_retention_days=365)
        asked_for = connection.rows("select as_of from control.feature_dates order by as_of")[:-1]
    assert asked_for == [(datetime.combine(day, datetime.min.time()),) for day in days]


def test_labels_look_as_far_ahead_as_the_models_do_and_a_month(warehouse: DuckDBWarehouse, tmp_path: Path) -> None:
    with warehouse.writer() as connection:
        _start(connection, tmp_path, JULY)
        horizons = "select horizon_days from control.label_horizons order by 1"
        assert connection.rows(horizons) == [(30,), (90,), (365,)]
        _start(connection, tmp_path, JULY, churn_horizon_days=60, ltv_horizons_days="273")
        assert connection.rows(horizons) == [(30,), (60,), (90,), (273,), (365,)]
        with pytest.raises(WeftError, match="give whole days"):
            _start(connection, tmp_path, JULY, ltv_horizons_days="a year")
        assert connection.rows(horizons)[1:2] == [(60,)]
