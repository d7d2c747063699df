"""The run clock and the dates that features are made for."""

from datetime import datetime, timedelta
from pathlib import Path

from orchestration.clock import HORIZON_DAYS, PINNED_CLOCK, feature_dates, resolve_as_of
from orchestration.state import State, utc_now


def test_training_labels_end_before_the_test_date_begins() -> None:
    as_of = datetime(2026, 7, 1, 15, 30)
    *training, test, run = feature_dates(as_of, datetime(2025, 1, 1))
    assert run == as_of
    assert test + timedelta(days=HORIZON_DAYS) == datetime(2026, 7, 1)
    assert training
    assert all(date + timedelta(days=HORIZON_DAYS) <= test for date in training)


def test_a_young_shop_has_only_the_dates_that_have_history() -> None:
    as_of = datetime(2026, 7, 1)
    assert feature_dates(as_of, datetime(2026, 6, 1)) == [as_of]
    assert feature_dates(as_of, None) == [as_of]


def test_what_was_asked_for_wins_over_the_pinned_clock_and_that_over_now(tmp_path: Path) -> None:
    state = State(f"sqlite:///{tmp_path / 'state.sqlite'}")
    before = utc_now().replace(microsecond=0)
    assert resolve_as_of(state, None) >= before
    state.remember(PINNED_CLOCK, "2026-07-01T00:00:00")
    assert resolve_as_of(state, None) == datetime(2026, 7, 1)
    assert resolve_as_of(state, datetime(2026, 1, 1)) == datetime(2026, 1, 1)
