"""Backfills: which days can be asked for, what lands, and snapshots that know only what was known then."""

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from orchestration.backfilling import days_from, days_listed, land_days, make_snapshots, snapshot_sizes
from orchestration.clock import PINNED_CLOCK
from orchestration.errors import BackfillError
from orchestration.resources import Platform, build_platform

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 4)


@pytest.fixture
def platform(tmp_path: Path) -> Platform:
    """An installation whose clock stands at noon of 10 March 2026."""
    platform = build_platform(
        home=tmp_path, duckdb_path=tmp_path / "warehouse.duckdb", installation_salt="tests", snapshot_retention_days=30
    )
    platform.state.remember(PINNED_CLOCK, "2026-03-10T12:00:00")
    return platform


def put_order(platform: Platform, day: date, person: str, *, email: str | None = None) -> None:
    """One order, known at noon of its day, in the folder of that day."""
    folder = platform.settings.inbox / "segment" / day.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    at = f"{day}T12:00:00Z"
    properties = {"order_id": f"{person}-{day}", "total": 20, "revenue": 20, "currency": "EUR", "email": email}
    call = {"messageId": f"{person}-{day}", "type": "track", "event": "Order Completed", "anonymousId": person}
    line = json.dumps({**call, "properties": properties, "timestamp": at, "receivedAt": at})
    with (folder / "orders.ndjson").open("a", encoding="utf-8") as file:
        file.write(line + "\n")


@pytest.mark.parametrize(
    ("first", "last", "sentence"),
    [
        (LAST, FIRST, "lies after"),
        (FIRST, date(2026, 3, 10), "is not over yet; backfill up to 2026-03-09"),
        (date(2026, 3, 20), date(2026, 3, 21), "is not over yet"),
        (date(2019, 12, 31), LAST, "WEFT_PARTITIONS_START"),
        (date(2026, 2, 1), LAST, "WEFT_SNAPSHOT_RETENTION_DAYS"),
    ],
)
def test_days_that_cannot_be_backfilled_are_refused(platform: Platform, first: date, last: date, sentence: str) -> None:
    with pytest.raises(BackfillError, match=sentence):
        days_from(platform, first, last)


def test_both_ends_are_included(platform: Platform) -> None:
    assert days_from(platform, FIRST, LAST) == [FIRST + timedelta(days=count) for count in range(4)]
    assert days_from(platform, FIRST, FIRST) == [FIRST]
    assert days_from(platform, FIRST, date(2026, 3, 9))[-1] == date(2026, 3, 9)


def test_any_list_of_past_days_is_taken_in_order_and_each_once(platform: Platform) -> None:
    assert days_listed(platform, "2026-03-04, 2026-03-01,2026-03-04,") == [FIRST, LAST]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("yesterday", "'yesterday' is not a list of days; give them as 2026-01-01,2026-02-01"),
        (",", "is not a list of days"),
        ("2026-03-01,2026-03-10", "2026-03-10 is not a past day; give days up to 2026-03-09"),
        ("2026-03-01,2025-12-31", "2025-12-31 would be gone at once"),
    ],
)
def test_a_list_that_holds_no_past_days_is_refused(platform: Platform, text: str, sentence: str) -> None:
    with pytest.raises(BackfillError, match=sentence):
        days_listed(platform, text)


def test_only_the_files_of_the_days_land_in_order_and_once(platform: Platform) -> None:
    for day in (LAST, FIRST, date(2026, 3, 8)):
        put_order(platform, day, "ann")
    days = days_from(platform, FIRST, LAST)
    assert [(report.accepted, report.is_unchanged) for report in land_days(platform, days)] == [(1, False)] * 2
    assert [(report.accepted, report.is_unchanged) for report in land_days(platform, days)] == [(0, True)] * 2
    with platform.warehouse.writer() as connection:
        landed = connection.rows("select message_id from raw.events order by landed_seq")
    assert landed == [("ann-2026-03-01",), ("ann-2026-03-04",)]


def test_without_any_event_there_is_nothing_to_make(platform: Platform) -> None:
    days = days_from(platform, FIRST, LAST)
    assert list(land_days(platform, days)) == []
    with pytest.raises(BackfillError, match="No event has landed yet"):
        make_snapshots(platform, days)


@pytest.mark.nightly
def test_a_backfill_makes_each_days_features_of_what_was_known_then_and_only_once(platform: Platform) -> None:
    put_order(platform, FIRST, "ann", email="x@example.com")
    put_order(platform, date(2026, 3, 2), "bob")
    put_order(platform, LAST, "bob", email="x@example.com")  # from here on ann and bob are one
    put_order(platform, date(2026, 3, 5), "eve")
    days = days_from(platform, FIRST, date(2026, 3, 5))
    assert sum(report.accepted for report in land_days(platform, days)) == 4
    assert make_snapshots(platform, days)
    assert list(snapshot_sizes(platform, days).values()) == [0, 1, 2, 2, 1]
    with platform.warehouse.open_served() as served:
        orders = served.rows(
            "select as_of_date, order_count from features.customer_features where as_of_date < ? order by 1, 2",
            [date(2026, 3, 10)],
        )
        learned = served.rows("select as_of_date from control.feature_dates where is_training_date")
    assert orders == [
        (date(2026, 3, 2), 1),
        *[(day, 1) for day in (date(2026, 3, 3), LAST) for _ in "ab"],
        (days[-1], 3),
    ]
    assert learned == []
    build = platform.warehouse.served_build()
    assert not make_snapshots(platform, days)
    assert not make_snapshots(platform, days[:2])
    assert platform.warehouse.served_build() == build

    assert not make_snapshots(platform, days_listed(platform, "2026-03-05,2026-03-01"))

    # killed after landing: the days are there, what landed is not built
    put_order(platform, date(2026, 3, 3), "zoe")
    assert sum(report.accepted for report in land_days(platform, days)) == 1
    assert make_snapshots(platform, days)
    assert list(snapshot_sizes(platform, days).values()) == [0, 1, 2, 3, 2]
