"""Training, judging, scoring and checking against a real warehouse, and the commands that people use."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ml import MODELS, churn, ltv, segments
from ml.model import ModelError, Reads
from orchestration import model_checks, model_inputs
from orchestration.model_inputs import CustomerInputs
from orchestration.resources import Platform
from orchestration.warehouse import row_count
from tests.orchestration.model_shop import (
    TODAY,
    assert_scores_are_of_one_run,
    labelled,
    of_today,
    platform_at,
    rewrite,
    score_at,
    scores_of,
    train_at,
    with_shuffled_features,
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


def test_models_do_not_learn_from_snapshots_that_were_asked_for(platform: Platform) -> None:
    with platform.warehouse.writer() as connection:
        dates = sorted(CustomerInputs().training(connection, Reads("customers", (90,)))["as_of_date"].unique())
        snapshot = pd.Timestamp(dates[1]).date()
        connection.execute("update control.feature_dates set is_training_date = false where as_of_date = ?", [snapshot])
        assert sorted(CustomerInputs().training(connection, Reads("customers", (90,)))["as_of_date"].unique()) == [
            dates[0],
            *dates[2:],
        ]


def test_of_a_large_shop_the_same_customers_are_learnt_from_at_every_date_and_the_card_says_so(
    platform: Platform, rows: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "sample" not in json.loads(train_at(platform)["parameters"])
    monkeypatch.setattr(model_inputs, "MOST_TRAINING_ROWS", len(rows) // 2)
    with platform.warehouse.writer() as connection:
        learnt_from = CustomerInputs().training(connection, Reads("customers", (90,)))
        again = CustomerInputs().training(connection, Reads("customers", (90,)))
    pd.testing.assert_frame_equal(learnt_from, again)
    assert 0.4 < len(learnt_from) / len(rows) < 0.6
    of_these = rows[rows["customer_id"].isin(learnt_from["customer_id"])]
    assert len(of_these) == len(learnt_from), "all dates of a customer, or none"
    card = train_at(platform)
    assert card["train_rows"] + card["test_rows"] == len(learnt_from)
    assert json.loads(card["parameters"])["sample"].startswith("49.96% of customers, chosen by the hash")


def decision_of(card: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(card["decision"])
    return found


def check(platform: Platform, evaluate: model_checks.Evaluate, module: Any = churn) -> Any:
    with platform.warehouse.writer() as connection:
        return evaluate(connection, platform, module)


# ---- the gate at work --------------------------------------------------------------------------------------------------


def test_the_first_model_is_champion_and_the_warehouse_holds_the_decision(platform: Platform) -> None:
    with platform.warehouse.writer() as connection:
        found = connection.rows("select model, version, is_champion, decision from predictions.model_versions")
    assert {(model, is_champion) for model, _, is_champion, _ in found} == {(m.MODEL, True) for m in MODELS}
    assert all(json.loads(decision)["reason"] == "the first model" for *_, decision in found)
    assert assert_scores_are_of_one_run(platform) == TODAY


def test_the_same_training_changes_nothing(platform: Platform) -> None:
    before = platform.state.models.cards()
    assert train_at(platform)["version"] == platform.state.models.champions("churn")[0]
    assert platform.state.models.cards() == before
    assert len(platform.state.models.history("churn")) == 1


def test_a_worse_challenger_is_kept_with_its_numbers_and_does_not_score(
    platform: Platform, rows: pd.DataFrame, today: pd.DataFrame
) -> None:
    old = platform.state.models.champions("churn")
    rewrite(platform, with_shuffled_features(rows), today)
    card = train_at(platform)
    assert platform.state.models.champions("churn") == old
    decision = decision_of(card)
    assert not decision["is_promoted"]
    assert decision["against"] == old[0]
    assert decision["comparison"]["rows"] == card["test_rows"]
    assert {"champion_loss", "challenger_loss", "gain", "lower", "upper"} <= decision["comparison"].keys()
    assert score_at(platform)["churn"].version == old[0]


def test_a_better_challenger_is_promoted_once_and_stays_rolled_back_when_trained_again(
    tmp_path: Path, rows: pd.DataFrame, today: pd.DataFrame
) -> None:
    platform = platform_at(tmp_path / "home")
    rewrite(platform, with_shuffled_features(rows), today)
    blind = train_at(platform)["version"]
    rewrite(platform, rows, today)
    better = train_at(platform)
    assert platform.state.models.champions("churn") == [better["version"], blind]
    assert decision_of(better)["reason"].startswith(f"better than {blind}: Brier score")
    platform.state.models.rollback("churn", reason="a test", now=pd.Timestamp("2025-05-01").to_pydatetime())
    assert train_at(platform)["version"] == better["version"]
    assert platform.state.models.champions("churn") == [blind]
    assert score_at(platform)["churn"].version == blind


@pytest.mark.parametrize("fault", ["lost", "damaged", "other features"])
def test_a_champion_that_cannot_score_gives_way_and_the_reason_is_kept(
    platform: Platform, rows: pd.DataFrame, today: pd.DataFrame, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    [old] = platform.state.models.champions("churn")
    folder = platform.settings.models / "churn" / old
    if fault == "lost":
        shutil.rmtree(folder)
    elif fault == "damaged":
        (folder / "model.json").write_bytes(b"{}")
    else:
        monkeypatch.setattr(churn, "INPUTS", tuple(reversed(churn.INPUTS)))
    rewrite(platform, with_shuffled_features(rows), today)
    card = train_at(platform)
    assert platform.state.models.champions("churn") == [card["version"], old]
    assert decision_of(card)["reason"].startswith(f"the champion {old} cannot score: ")
    assert score_at(platform)["churn"].version == card["version"]


def test_a_lost_champion_trained_again_is_whole_again(platform: Platform) -> None:
    [old] = platform.state.models.champions("churn")
    shutil.rmtree(platform.settings.models / "churn" / old)
    assert train_at(platform)["version"] == old
    assert score_at(platform)["churn"].version == old


# ---- small shops ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", MODELS)
@pytest.mark.parametrize(
    ("shop", "said"),
    [
        ("nobody", "no labelled rows"),
        ("no labels", "no labelled rows"),
        ("three customers", "are needed"),
    ],
)
def test_a_shop_without_enough_goes_through_with_a_sentence(
    *,
    tmp_path: Path,
    rows: pd.DataFrame,
    today: pd.DataFrame,
    module: Any,
    shop: str,
    said: str,
) -> None:
    platform = platform_at(tmp_path)
    three = rows["customer_id"].unique()[:3]
    labels = rows[rows["customer_id"].isin(three)] if shop == "three customers" else rows.head(0)
    features = today.head(0) if shop == "nobody" else today[today["customer_id"].isin(three)]
    rewrite(platform, labels, features)
    with pytest.raises(ModelError, match=said) as error:
        train_at(platform, module)
    assert str(error.value).endswith(".")
    scored = score_at(platform)
    assert {each.rows for each in scored.values()} == {0}
    for evaluate in model_checks.OF_EVERY_MODEL:
        assert check(platform, evaluate, module).passed


def test_a_shop_where_nobody_ever_came_back_has_one_class_and_a_sentence(
    tmp_path: Path, rows: pd.DataFrame, today: pd.DataFrame
) -> None:
    gone = rows.assign(has_churned=True, order_count_in_horizon=0, net_revenue_in_horizon=0.0)
    platform = platform_at(tmp_path)
    rewrite(platform, gone, today)
    for module, said in ((churn, "only 0 stayed"), (ltv, "only 0 have revenue")):
        with pytest.raises(ModelError, match=said):
            train_at(platform, module)
    train_at(platform, segments)
    assert score_at(platform)["segments"].version
    assert row_count_of(platform, "predictions.segments") == len(today)


def row_count_of(platform: Platform, table: str) -> int:
    with platform.warehouse.writer() as connection:
        return row_count(connection, table)


def test_three_customers_are_scored_by_the_model_of_a_larger_shop(
    platform: Platform, rows: pd.DataFrame, today: pd.DataFrame
) -> None:
    rewrite(platform, rows, today.head(3))
    score_at(platform)
    assert {len({row[0] for row in scores}) for scores in scores_of(platform).values()} == {3}
    drift = check(platform, model_checks.nothing_has_drifted)
    assert drift.passed
    assert "too few to tell" in drift.description
