"""Next order: better than rules on rows it never saw, an interval that holds what it states, dates that follow the chances."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ml import next_order, registry, schema
from ml.model import ModelError, Trained
from ml.next_order import NextOrderModel, NextOrderParams
from ml.splits import Split, rows_on, time_split
from tests.ml.conftest import SEED
from tests.ml.shop_history import DATA, cdnow_orders, labelled_rows, online_retail_orders

Model = Trained[NextOrderModel]
FAST = NextOrderParams(seed=SEED, most_rows=600)


def test_it_beats_every_rule_on_rows_it_has_not_seen(trained_next_order: Model) -> None:
    card = trained_next_order.card
    rules = card.baseline_metrics
    assert set(rules) == {"shop_curve", "last_order_plus_own_gap", "bg_nbd"}
    assert card.metrics["integrated_brier"] < min(rule["integrated_brier"] for rule in rules.values())
    assert card.metrics["concordance"] > rules["shop_curve"]["concordance"] == 0.5
    assert card.metrics["warnings"] == []


def test_the_interval_holds_what_it_states(trained_next_order: Model) -> None:
    interval = trained_next_order.card.metrics["interval"]
    assert interval["coverage"] == pytest.approx(interval["stated"], abs=0.05)
    assert interval["coverage"] + interval["below"] + interval["above"] == pytest.approx(1)
    own_gap = trained_next_order.card.baseline_metrics["last_order_plus_own_gap"]["interval"]
    assert own_gap["coverage"] < own_gap["stated"] - 0.2


def test_a_rule_that_was_better_is_named_on_the_card(rows: pd.DataFrame, split: Split) -> None:
    unlearnt = rows.assign(**{name: 1.0 for name in schema.FEATURE_NAMES if name != "order_count_30d"})
    unlearnt.loc[rows["as_of_date"] < pd.Timestamp(split.test_date), "days_to_next_order"] = np.tile(
        [1.0, 40.0, np.nan], len(rows)
    )[: int((rows["as_of_date"] < pd.Timestamp(split.test_date)).sum())]
    warnings = next_order.train(unlearnt, split, FAST).card.metrics["warnings"]
    assert any("bg_nbd" in sentence or "shop_curve" in sentence for sentence in warnings)


def test_dates_follow_the_chances(trained_next_order: Model, features: pd.DataFrame) -> None:
    scores = next_order.score(trained_next_order.model, features)
    assert list(scores) == [name for name in schema.PREDICTIONS["next_orders"] if name != "model_version"]
    assert scores["customer_id"].tolist() == features["customer_id"].tolist()
    assert scores["chance_of_order_30d"].between(0, scores["chance_of_order_90d"]).all()
    assert (scores["expected_on"].notna() == (scores["chance_of_order_90d"] >= 0.5)).all()
    assert (scores["latest_on"].notna() == (scores["chance_of_order_90d"] >= 0.9)).all()
    dated = scores.dropna(subset=["expected_on", "latest_on"])
    assert len(dated) > 5
    assert (dated["earliest_on"] <= dated["expected_on"]).all()
    assert (dated["expected_on"] <= dated["latest_on"]).all()
    assert (scores["earliest_on"].dropna() >= features["as_of_date"].iloc[0]).all()
    assert (scores["latest_on"].dropna() < features["as_of_date"].iloc[0] + timedelta(days=90)).all()
    assert scores["reason_codes"].str.contains("the chance of an order soon").all()


def test_a_customer_scored_alone_gets_the_bits_of_the_batch(trained_next_order: Model, features: pd.DataFrame) -> None:
    together = trained_next_order.model.curves(schema.matrix(features))
    alone = [trained_next_order.model.curves(schema.matrix(features.iloc[[row]])) for row in (0, 7, 100)]
    assert np.array_equal(np.vstack(alone), together[[0, 7, 100]])


def test_the_files_give_the_same_model_and_training_again_the_same_files(
    trained_next_order: Model, rows: pd.DataFrame, split: Split, features: pd.DataFrame
) -> None:
    files = trained_next_order.model.to_files()
    pd.testing.assert_frame_equal(
        next_order.score(next_order.from_files(files), features), next_order.score(trained_next_order.model, features)
    )
    again = next_order.train(rows.sample(frac=1, random_state=1), split, NextOrderParams(seed=SEED))
    assert registry._files(again) == registry._files(trained_next_order)


def test_it_is_trained_on_a_stated_number_of_rows_and_judged_on_all(rows: pd.DataFrame, split: Split) -> None:
    few = next_order.train(rows, split, FAST)
    assert few.card.test_rows == len(rows_on(rows, split.test_date))
    assert few.card.parameters["most_rows"] == 600
    assert few.card.metrics["integrated_brier"] < few.card.baseline_metrics["shop_curve"]["integrated_brier"]


def test_missing_numbers_and_infinity_are_scored(trained_next_order: Model, features: pd.DataFrame) -> None:
    broken = features.assign(**{name: np.nan for name in schema.FEATURE_NAMES})
    broken.loc[1, list(schema.FEATURE_NAMES)] = np.inf
    chances = next_order.score(trained_next_order.model, broken)["chance_of_order_90d"]
    assert chances.between(0, 1).all()


@pytest.mark.parametrize(("times", "said"), [(np.nan, "only 0 ordered"), (3.0, "only 0 did not order")])
def test_one_class_cannot_be_learnt(rows: pd.DataFrame, split: Split, times: float, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        next_order.train(rows.assign(days_to_next_order=times), split, NextOrderParams(seed=SEED))


def test_a_planted_leak_is_named_on_the_card(rows: pd.DataFrame, split: Split) -> None:
    leaking = rows.assign(cart_add_count_30d=rows["days_to_next_order"].isna().astype(int))
    warnings = next_order.train(leaking, split, FAST).card.metrics["warnings"]
    assert any("cart_add_count_30d" in sentence for sentence in warnings)


@pytest.mark.nightly
@pytest.mark.skipif(not DATA.is_dir(), reason="../shared/data is missing")
@pytest.mark.parametrize(
    ("which", "test", "auc", "loss"),
    [("online_retail", date(2011, 9, 10), 0.735, 0.152), ("cdnow", date(1997, 9, 30), 0.77, 0.0655)],
)
def test_real_shops(which: str, test: date, auc: float, loss: float) -> None:
    orders = online_retail_orders() if which == "online_retail" else cdnow_orders()
    first = orders.ordered_at.min().date() + timedelta(days=60)
    days = [test - timedelta(days=90 + 30 * n) for n in range(7)]
    rows = labelled_rows(orders, sorted([test, *(day for day in days if day >= first)]))
    metrics = next_order.train(rows, time_split(rows), NextOrderParams(seed=SEED)).card.metrics
    assert auc < metrics["roc_auc"] < 0.80
    assert metrics["integrated_brier"] < loss
    assert metrics["interval"]["coverage"] == pytest.approx(metrics["interval"]["stated"], abs=0.03)
