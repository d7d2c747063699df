"""Published churn scores judged once their horizon has passed, on DuckDB and on PostgreSQL."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from ml import schema
from orchestration import model_checks
from orchestration.matured_scores import COLUMNS, MOST_A_MONTH, PAST_SCORES, matured_scores, remember_scores
from orchestration.warehouse import Connection, create_table, write_table
from tests.orchestration.member_shop import opened
from tests.orchestration.model_shop import platform_at

D0 = date(2026, 3, 2)
HORIZON = 90
CHANCES = np.random.default_rng(4).uniform(0.05, 0.95, 2_000)
STAYED = np.random.default_rng(5).uniform(0, 1, 2_000) > CHANCES
NAMES = [f"c{number:04}" for number in range(2_000)]


@pytest.fixture
def connection(where: str) -> Iterator[Connection]:
    with opened(where) as connection:
        stage(connection)
        yield connection


def stage(connection: Connection) -> None:
    """What dbt and the run clock leave behind: everybody is who they were, and the stayers order on the last day that counts."""
    create_table(connection, "control.feature_dates", {"as_of_date": "date"})
    create_table(connection, "control.current_run", {"as_of": "timestamp"})
    create_table(connection, "predictions.churn_scores", schema.PREDICTIONS["churn_scores"])
    redirects = pa.table({"customer_id": NAMES, "living_customer_id": NAMES})
    write_table(
        connection,
        "identity.customer_redirects",
        redirects,
        {"customer_id": "varchar", "living_customer_id": "varchar"},
    )
    stayers = [name for name, stayed in zip(NAMES, STAYED, strict=True) if stayed]
    last_moment = datetime(2026, 3, 2, 8) + timedelta(days=HORIZON) - timedelta(seconds=1)
    orders = pa.table(
        {"customer_id": stayers, "ordered_at": pa.array([last_moment] * len(stayers), pa.timestamp("us"))}
    )
    write_table(connection, "customer_360.orders", orders, {"customer_id": "varchar", "ordered_at": "timestamp"})


def publish(connection: Connection, day: int, *, chances: np.ndarray = CHANCES, version: str = "v1") -> int:  # type: ignore[type-arg]
    """A run at eight in the morning, `day` days after D0, that scores everybody; returns how many it remembers."""
    move_clock(connection, day)
    count = len(chances)
    scores = pa.table(
        {
            "customer_id": NAMES[:count],
            "as_of_date": [D0 + timedelta(days=day)] * count,
            "churn_probability": chances,
            "is_at_risk": [False] * count,
            "reason_codes": ["[]"] * count,
            "model_version": [version] * count,
        }
    )
    write_table(connection, "predictions.churn_scores", scores, schema.PREDICTIONS["churn_scores"])
    return remember_scores(connection, horizon_days=HORIZON)


def move_clock(connection: Connection, day: int, hour: int = 8) -> None:
    as_of = datetime(D0.year, D0.month, D0.day, hour) + timedelta(days=day)
    connection.execute("delete from control.feature_dates")
    connection.execute("insert into control.feature_dates (as_of_date) values (?)", [as_of.date()])
    connection.execute("delete from control.current_run")
    connection.execute("insert into control.current_run (as_of) values (?)", [as_of])


def test_scores_are_judged_once_their_horizon_has_passed_and_not_a_minute_before(connection: Connection) -> None:
    assert matured_scores(connection) == []
    assert publish(connection, 0) == 2_000
    move_clock(connection, HORIZON, hour=7)
    assert matured_scores(connection) == []
    move_clock(connection, HORIZON)
    [found] = matured_scores(connection)
    assert (found.as_of_date, found.horizon_days, found.versions) == (D0, HORIZON, ("v1",))
    assert found.metrics["rows"] == 2_000
    assert found.metrics["base_rate"] == pytest.approx(1 - STAYED.mean())
    assert found.metrics["ece"] < 0.05
    assert found.metrics["brier"] == pytest.approx(((CHANCES - ~STAYED) ** 2).mean())


def test_one_sample_a_month_is_kept_and_the_first_one_stays(connection: Connection) -> None:
    assert publish(connection, 0) == 2_000
    assert publish(connection, 1, version="v2") == 0
    assert publish(connection, 30, version="v2") == 2_000
    move_clock(connection, HORIZON + 30)
    assert [(one.as_of_date, one.versions) for one in matured_scores(connection)] == [
        (D0, ("v1",)),
        (D0 + timedelta(days=30), ("v2",)),
    ]
    assert publish(connection, 3 * 365 + 10) == 2_000
    assert connection.rows(f"select count(distinct as_of_date) from {PAST_SCORES}") == [(2,)]


def test_a_sample_is_bounded_and_the_same_whatever_the_order(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.matured_scores.MOST_A_MONTH", 300)
    assert publish(connection, 0) == 300
    first = connection.rows(f"select customer_id from {PAST_SCORES} order by 1")
    connection.execute(f"delete from {PAST_SCORES}")
    connection.execute("delete from predictions.churn_scores where customer_id in ('c0001', 'c0002')")
    assert remember_scores(connection, horizon_days=HORIZON) == 300
    again = connection.rows(f"select customer_id from {PAST_SCORES} order by 1")
    assert len(set(first) - set(again)) <= 2
    assert MOST_A_MONTH == 5_000


def test_merged_customers_count_once_and_those_who_are_nobody_now_do_not(connection: Connection) -> None:
    publish(connection, 0)
    stayer, leaver, lost = NAMES[int(np.argmax(STAYED))], NAMES[int(np.argmin(STAYED))], NAMES[-1]
    connection.execute(
        "update identity.customer_redirects set living_customer_id = ? where customer_id = ?", [stayer, leaver]
    )
    connection.execute("delete from identity.customer_redirects where customer_id = ?", [lost])
    move_clock(connection, HORIZON)
    [found] = matured_scores(connection)
    assert found.metrics["rows"] == 1_998
    assert found.metrics["base_rate"] * 1_998 == pytest.approx((~STAYED[:-1]).sum() - 1)


def test_too_few_customers_and_a_warehouse_without_orders_say_nothing(connection: Connection) -> None:
    publish(connection, 0, chances=CHANCES[:150])
    move_clock(connection, HORIZON)
    assert matured_scores(connection) == []
    connection.execute("drop table customer_360.orders")
    assert matured_scores(connection) == []


@pytest.mark.parametrize(("chances", "passed"), [(CHANCES, True), (CHANCES / 3, False)])
def test_the_check_tells_scores_that_came_true_from_those_that_did_not(
    tmp_path: Path,
    chances: np.ndarray,  # type: ignore[type-arg]
    passed: bool,
) -> None:
    platform = platform_at(tmp_path)
    with platform.warehouse.writer() as connection:
        stage(connection)
        publish(connection, 0, chances=chances)
    assert model_checks.published_churn_scores_came_true(platform).description.startswith("No published scores")
    with platform.warehouse.writer() as connection:
        move_clock(connection, HORIZON)
    result = model_checks.published_churn_scores_came_true(platform)
    assert result.passed is passed
    assert result.metadata["plot"].value.startswith("![churn: said and seen](data:image/png;base64,")
    assert "| 2026-03-02 | 90 days | 2,000 |" in result.metadata["all months"].value
    assert set(COLUMNS) >= {"customer_id", "as_of", "horizon_days"}
