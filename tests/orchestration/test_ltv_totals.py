"""predictions.ltv_totals goes with the scores: their sums, in one transaction, for whatever horizons there are."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from ml import ltv
from orchestration.ltv_totals import total_table
from orchestration.resources import Platform
from orchestration.warehouse import scalar
from tests.orchestration.model_shop import TODAY, labelled, of_today, platform_at, score_at, train_at, write_shop

TOTALS = (
    "select horizon_days, customers, expected_total, lower_total, upper_total, as_of_date, model_version "
    "from predictions.ltv_totals order by horizon_days"
)


def shop(home: Path, **settings: object) -> Platform:
    platform = platform_at(home, **settings)
    with platform.warehouse.writer() as connection:
        write_shop(connection, labelled(150), of_today(TODAY, 150), TODAY)
    return platform


def rows_of(platform: Platform, query: str) -> list[tuple[Any, ...]]:
    with platform.warehouse.writer() as connection:
        return connection.rows(query)


@pytest.mark.parametrize("target", ["duckdb", "postgres"])
def test_totals_are_the_sums_of_the_scores_of_the_run_and_stay_with_them(
    target: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    on_postgres = {"target": "postgres", "postgres_url": request.getfixturevalue("postgres_url")}
    platform = shop(tmp_path, **(on_postgres if target == "postgres" else {}))
    score_at(platform)
    assert rows_of(platform, TOTALS) == []
    version = train_at(platform, ltv)["version"]
    score_at(platform)
    found = rows_of(platform, TOTALS)
    assert [row[0] for row in found] == [90, 365]
    for days, customers, expected, lower, upper, day, made_by in found:
        [(count, total)] = rows_of(
            platform, f"select count(*), sum(expected_net_revenue_{days}d) from predictions.ltv_scores"
        )
        assert (customers, day, made_by) == (count, TODAY, version)
        assert expected == pytest.approx(total, abs=0.01)
        assert lower < expected < upper
    with platform.warehouse.writer() as connection:
        connection.execute(
            "update control.feature_dates set as_of_date = ? where not is_training_date", [TODAY + timedelta(days=1)]
        )
        shown = total_table(connection)
    assert score_at(platform)["ltv"].rows is None, "features of another day: the scores stay"
    assert rows_of(platform, TOTALS) == found
    assert shown.count("\n") == 3 and "No outcome over 365 days is known yet" in shown


def test_a_further_horizon_gets_columns_in_a_table_that_is_there_and_numbers_with_the_next_training(
    tmp_path: Path,
) -> None:
    platform = shop(tmp_path)
    train_at(platform, ltv)
    score_at(platform)
    more = platform_at(tmp_path, ltv_horizons_days="90,180,365")
    score_at(more)
    count = (
        "select count(*), count(expected_net_revenue_180d), count(expected_net_revenue_90d) from predictions.ltv_scores"
    )
    [(everybody, *known)] = rows_of(more, count)
    assert known == [0, everybody]
    version = train_at(more, ltv)["version"]
    more.state.models.promote("ltv", version, reason="a test", now=_now(more))
    score_at(more)
    assert rows_of(more, count) == [(everybody, everybody, everybody)]
    assert [row[0] for row in rows_of(more, TOTALS)] == [90, 180, 365]


def _now(platform: Platform) -> Any:
    with platform.warehouse.writer() as connection:
        return scalar(connection, "select as_of from control.current_run")
