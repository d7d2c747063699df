import json

import numpy as np
import pandas as pd
import pytest

from ml import ltv, schema
from ml.echoes import without
from ml.model import ModelError, Trained
from ml.splits import Split
from tests.ml.conftest import SEED

PARAMS = ltv.LtvParams(seed=SEED)
Model = Trained[ltv.LtvModel]


def test_the_model_beats_the_own_rate_and_reports_every_metric_beside_baselines(trained_ltv: Model) -> None:
    card = trained_ltv.card
    assert card.metrics["mae"] < card.baseline_metrics["own_mean_rate"]["mae"]
    assert card.metrics["normalised_gini"] > 0.3
    simple = {"own_mean_rate", "mean_of_all", "last_90_days_again", "linear_model", "bg_nbd_gamma_gamma"}
    assert set(card.baseline_metrics) == simple
    for metrics in card.baseline_metrics.values():
        assert metrics["rows"] == card.test_rows
        assert metrics["actual_total"] == card.metrics["actual_total"]


def test_the_interval_covers_about_eight_of_ten_or_more(trained_ltv: Model) -> None:
    scores, interval = trained_ltv.test_scores, trained_ltv.card.metrics["interval"]
    inside = scores["actual"].between(scores["lower"], scores["upper"])
    assert interval["coverage"] == pytest.approx(inside.mean())
    assert 0.75 < interval["coverage"] <= 0.95


def test_scores_have_the_promised_columns_and_lie_inside_their_interval(
    trained_ltv: Model, features: pd.DataFrame
) -> None:
    scores = ltv.score(trained_ltv.model, features)
    assert [*scores.columns, "model_version"] == list(schema.PREDICTIONS["ltv_scores"])
    for expected, lower, upper in map(schema.value_columns, (90, 365)):
        assert (scores[expected] > 0).all()
        assert (scores[lower] <= scores[expected]).all()
        assert (scores[upper] >= scores[expected]).all()
    assert (scores["expected_net_revenue_365d"] > scores["expected_net_revenue_90d"]).all()


def test_same_seed_and_data_give_the_same_scores_bit_for_bit_whatever_the_row_order(
    trained_ltv: Model, rows: pd.DataFrame, split: Split, features: pd.DataFrame
) -> None:
    again = ltv.train(rows.sample(frac=1, random_state=5), split, PARAMS)
    assert again.card == trained_ltv.card
    pd.testing.assert_frame_equal(
        ltv.score(again.model, features), ltv.score(trained_ltv.model, features), check_exact=True
    )


def test_the_judged_model_never_sees_the_outcomes_of_the_test_date(
    trained_ltv: Model, rows: pd.DataFrame, split: Split
) -> None:
    is_test = rows["as_of_date"] == pd.Timestamp(split.test_date)
    assert is_test.any()
    changed = rows.assign(net_revenue_in_horizon=np.where(is_test, 1e6, rows["net_revenue_in_horizon"]))
    again = ltv.train(changed, split, PARAMS)
    assert (again.test_scores["ltv"] == trained_ltv.test_scores["ltv"]).all()


def test_the_total_is_net_of_refunds(rows: pd.DataFrame, split: Split) -> None:
    is_refunded = np.random.default_rng(1).uniform(size=len(rows)) < 0.15
    revenue = rows["net_revenue_in_horizon"] - np.where(is_refunded, 30.0, 0.0)
    card = ltv.train(rows.assign(net_revenue_in_horizon=revenue), split, PARAMS).card
    assert (revenue < 0).mean() > 0.05
    assert abs(card.metrics["total_bias"]) < 0.35
    assert card.metrics["interval"]["coverage"] > 0.7


def test_reason_codes_add_up_to_what_the_trees_expect(trained_ltv: Model, features: pd.DataFrame) -> None:
    values = schema.matrix(features)
    contributions = trained_ltv.model.contributions(values)
    shown = without(values, trained_ltv.model.hidden)
    np.testing.assert_allclose(contributions.sum(axis=1), trained_ltv.model.trees.raw(shown), rtol=1e-9, atol=1e-9)
    [first, *_] = json.loads(ltv.score(trained_ltv.model, features)["reason_codes"].iloc[0])
    assert first["text"].endswith("the expected revenue")


def test_a_customer_scored_alone_gets_the_bits_of_the_batch(trained_ltv: Model, features: pd.DataFrame) -> None:
    together = ltv.score(trained_ltv.model, features)
    alone = [ltv.score(trained_ltv.model, features.iloc[[row]]) for row in range(25)]
    pd.testing.assert_frame_equal(pd.concat(alone, ignore_index=True), together.head(25), check_exact=True)


def test_bad_values_get_a_score_and_never_crash(trained_ltv: Model, features: pd.DataFrame) -> None:
    bad = features.head(3).copy()
    numbers = list(schema.FEATURE_NAMES)
    bad[numbers] = bad[numbers].astype(float)
    for row, value in enumerate([np.nan, np.inf, -5.0]):
        bad.loc[row, numbers] = value
    scores = ltv.score(trained_ltv.model, bad)
    assert np.isfinite(scores["expected_net_revenue_90d"]).all()
    assert len(ltv.score(trained_ltv.model, bad.head(0))) == 0


def test_a_shop_without_repeat_buyers_is_served_by_trees_alone(rows: pd.DataFrame, split: Split) -> None:
    changed = rows.assign(order_day_count=1, mean_days_between_orders=np.nan)
    trained = ltv.train(changed, split, PARAMS)
    assert trained.model.shares[2] == 0
    assert "bg_nbd_gamma_gamma" not in trained.card.baseline_metrics


def test_a_history_under_a_year_carries_a_warning(rows: pd.DataFrame, split: Split) -> None:
    young = rows[rows["tenure_days"] < 200]
    [warning] = ltv.train(young, split, PARAMS).card.metrics["warnings"]
    assert "season was never seen" in warning


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.assign(net_revenue_in_horizon=0.0), "only 0 have revenue"),
        (lambda r: r.head(0), "are needed"),
        (lambda r: r.groupby("as_of_date").head(3), "are needed"),
        (lambda r: r.assign(net_revenue_in_horizon=np.inf), "infinite"),
        (lambda r: r.assign(**dict.fromkeys(schema.FEATURE_NAMES, 1.0)), "same value in all training rows"),
    ],
)
def test_rows_that_cannot_teach_anything_are_said_in_one_sentence(
    rows: pd.DataFrame, split: Split, change: object, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        ltv.train(change(rows), split, PARAMS)  # type: ignore[operator]
