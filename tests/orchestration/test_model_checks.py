"""What the checks of the predict stage find in a real warehouse, for every model."""

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml import MODELS, churn, ltv
from orchestration import model_checks
from orchestration.resources import Platform
from tests.orchestration.model_shop import (
    TODAY,
    labelled,
    of_today,
    platform_at,
    rewrite,
    score_at,
    scores_of,
)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return labelled()


@pytest.fixture(scope="module")
def today() -> pd.DataFrame:
    return of_today(TODAY)


@pytest.fixture
def platform(home_with_models: Path, tmp_path: Path) -> Platform:
    return platform_at(Path(shutil.copytree(home_with_models, tmp_path / "home")))


def check(platform: Platform, evaluate: model_checks.Evaluate, module: Any = churn) -> Any:
    with platform.warehouse.writer() as connection:
        return evaluate(connection, platform, module)


@pytest.mark.parametrize("module", MODELS)
def test_a_run_that_went_well_passes_every_check_and_shows_no_customer(platform: Platform, module: Any) -> None:
    for evaluate in model_checks.OF_EVERY_MODEL:
        if evaluate is not model_checks.nothing_has_drifted:
            assert check(platform, evaluate, module).passed, evaluate.__name__
    found = check(platform, model_checks.nothing_has_drifted, module)
    assert found.metadata["plot"].value.startswith("![")
    customers = {row[0] for row in scores_of(platform)[module.TABLE]}
    assert not customers & set(json.dumps(found.metadata["population_stability_index"].value).split('"'))


@pytest.mark.parametrize("module", MODELS)
@pytest.mark.parametrize("fault", ["missing", "of nobody or of another date"])
def test_a_missing_score_and_a_score_of_nobody_are_found_in_every_table(
    platform: Platform, module: Any, fault: str
) -> None:
    changes = {
        "missing": f"delete from predictions.{module.TABLE} where customer_id = (select min(customer_id) from predictions.{module.TABLE})",
        "of nobody or of another date": "delete from features.customer_features where customer_id = "
        f"(select min(customer_id) from predictions.{module.TABLE})",
    }
    with platform.warehouse.writer() as connection:
        connection.execute(changes[fault])
    found = check(platform, model_checks.no_score_is_missing, module)
    assert not found.passed
    assert found.metadata[fault].value == 1


def test_shifted_features_are_named(platform: Platform, rows: pd.DataFrame, today: pd.DataFrame) -> None:
    rewrite(platform, rows, today.assign(session_count_90d=7, net_revenue=today["net_revenue"] * 8))
    score_at(platform)
    found = check(platform, model_checks.nothing_has_drifted)
    assert not found.passed
    assert found.severity.value == "WARN"
    assert {"net_revenue", "session_count_90d"} <= set(
        found.description.removeprefix("Shifted: ").strip(".").split(", ")
    )
    rewrite(platform, rows, rows[rows["as_of_date"] == rows["as_of_date"].max()].assign(as_of_date=TODAY))
    score_at(platform)
    same = check(platform, model_checks.nothing_has_drifted).metadata["population_stability_index"].value
    assert same["net_revenue"] < 0.2


def test_scores_by_another_than_the_champion_are_found(platform: Platform) -> None:
    with platform.warehouse.writer() as connection:
        connection.execute("update predictions.churn_scores set model_version = 'another'")
    found = check(platform, model_checks.the_champion_scores)
    assert not found.passed
    assert found.metadata["scores by"].value == "another"
    unknown = check(platform, model_checks.nothing_has_drifted)
    assert not unknown.passed
    assert "no churn model in version another" in unknown.description


@pytest.mark.parametrize(("days", "passes"), [(35, True), (36, False), (181, False)])
def test_an_old_champion_and_a_training_that_stopped_are_found(
    platform: Platform, rows: pd.DataFrame, today: pd.DataFrame, days: int, passes: bool
) -> None:
    later = TODAY + timedelta(days=days)
    rewrite(platform, rows, today.assign(as_of_date=later), later)
    found = check(platform, model_checks.the_champion_is_young)
    assert found.passed == passes
    assert found.metadata["days since the champion was trained"].value == days


def test_calibration_is_shown_with_its_picture_and_a_bad_one_fails(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = check(platform, model_checks.it_is_calibrated)
    assert found.passed
    assert found.metadata["plot"].value.startswith("![")
    monkeypatch.setattr(model_checks, "MAXIMUM_CALIBRATION_ERROR", 0.0)
    assert not check(platform, model_checks.it_is_calibrated).passed
    assert check(platform, model_checks.it_is_calibrated, ltv).passed
    monkeypatch.setattr(model_checks, "COVERAGE", (0.99, 1.0))
    assert not check(platform, model_checks.it_is_calibrated, ltv).passed
