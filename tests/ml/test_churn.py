import json

import numpy as np
import pandas as pd
import pytest

from ml import churn, schema, splits
from ml.churn_model import INPUTS, churn_inputs
from ml.evaluation import brier, churn_metrics
from ml.model import ModelError, Trained
from ml.splits import Split
from tests.ml.conftest import SEED
from tests.ml.made_up_shop import one_date_rows

PARAMS = churn.ChurnParams(seed=SEED)
Model = Trained[churn.ChurnModel]


def test_the_model_tells_churners_apart_and_reports_every_metric_beside_baselines(trained_churn: Model) -> None:
    card = trained_churn.card
    assert card.metrics["roc_auc"] > 0.75
    assert card.metrics["brier"] < 0.75 * card.baseline_metrics["base_rate"]["brier"]
    assert set(card.baseline_metrics) == {"base_rate", "recency_rule", "logistic_regression", "bg_nbd"}
    for metrics in card.baseline_metrics.values():
        assert metrics["rows"] == card.test_rows
        assert metrics["base_rate"] == card.metrics["base_rate"]
        assert set(metrics) | {"warnings"} == set(card.metrics)


def test_the_metrics_are_those_of_the_test_scores(trained_churn: Model) -> None:
    scores = trained_churn.test_scores
    threshold = trained_churn.card.metrics["threshold"]
    found = churn_metrics(scores["actual"].to_numpy(), scores["churn"].to_numpy(), threshold=threshold)
    assert found["roc_auc"] == trained_churn.card.metrics["roc_auc"]
    assert found["calibration_table"] == trained_churn.card.metrics["calibration_table"]


def test_calibration_does_not_worsen_the_brier_score(rows: pd.DataFrame, split: Split) -> None:
    ordered = schema.ordered(rows)
    before, test = splits.rows_on(ordered, *split.dates_before_test), splits.rows_on(ordered, split.test_date)
    model, values = churn._fit(before, split, PARAMS), schema.matrix(test)
    actual = test["has_churned"].to_numpy()
    uncalibrated = 1 / (1 + np.exp(-model.raw(churn_inputs(model.rhythm, values))))
    assert brier(actual, model.probability(values)) <= brier(actual, uncalibrated) + 0.002


def test_scores_have_the_promised_columns_in_the_order_of_the_features(
    trained_churn: Model, features: pd.DataFrame
) -> None:
    scores = churn.score(trained_churn.model, features)
    assert [*scores.columns, "model_version"] == list(schema.PREDICTIONS["churn_scores"])
    assert (scores["customer_id"] == features["customer_id"]).all()
    assert scores["churn_probability"].between(0, 1, inclusive="neither").all()


def test_same_seed_and_data_give_the_same_scores_bit_for_bit_whatever_the_row_order(
    trained_churn: Model, rows: pd.DataFrame, split: Split, features: pd.DataFrame
) -> None:
    shuffled = rows.sample(frac=1, random_state=5)[list(reversed(rows.columns))]
    again = churn.train(shuffled, split, PARAMS)
    assert again.card == trained_churn.card
    assert again.model.to_files() == trained_churn.model.to_files()
    first, second = (churn.score(t.model, features) for t in (trained_churn, again))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_the_judged_model_never_sees_the_outcomes_of_the_test_date(
    trained_churn: Model, rows: pd.DataFrame, split: Split
) -> None:
    is_test = rows["as_of_date"] == pd.Timestamp(split.test_date)
    turned = rows.assign(
        has_churned=np.where(is_test, ~rows["has_churned"], rows["has_churned"]),
        order_count_in_horizon=np.where(is_test, rows["has_churned"], rows["order_count_in_horizon"]).astype(int),
    )
    again = churn.train(turned, split, PARAMS)
    assert (again.test_scores["churn"] == trained_churn.test_scores["churn"]).all()
    assert again.card.metrics["roc_auc"] < 0.5


def test_outcomes_that_reach_past_the_test_date_teach_only_the_model_that_scores(
    trained_churn: Model, rows: pd.DataFrame, split: Split
) -> None:
    late = splits.rows_on(rows, split.train_dates[0]).assign(
        as_of_date=pd.Timestamp(split.test_date) - pd.Timedelta(days=20)
    )
    assert len(late) > 0
    more = pd.concat([rows, late])
    again = churn.train(more, splits.time_split(more), PARAMS)
    assert again.judged.to_files() == trained_churn.judged.to_files()
    assert again.card.metrics == trained_churn.card.metrics
    assert again.model.to_files() != trained_churn.model.to_files()


def test_a_planted_leak_is_refused_as_a_column_and_named_as_a_value(rows: pd.DataFrame, split: Split) -> None:
    with pytest.raises(ValueError, match="unknown orders_tomorrow"):
        churn.train(rows.assign(orders_tomorrow=rows["order_count_in_horizon"]), split, PARAMS)
    leaking = rows.assign(session_count_30d=rows["order_count_in_horizon"])
    column, whole = churn.train(leaking, split, PARAMS).card.metrics["warnings"]
    assert "session_count_30d" in column
    assert "almost perfectly" in whole


def test_a_leak_spread_over_two_columns_is_noticed_by_what_the_model_makes_of_it(
    rows: pd.DataFrame, split: Split
) -> None:
    is_even = rows["customer_id"].astype(int) % 2 == 0
    count = rows["order_count_in_horizon"]
    leaking = rows.assign(session_count_30d=count.where(is_even, 0), session_count_90d=count.where(~is_even, 0))
    [warning] = churn.train(leaking, split, PARAMS).card.metrics["warnings"]
    assert "almost perfectly" in warning


def test_a_test_date_of_one_class_gives_a_model_and_no_rank_metric(rows: pd.DataFrame, split: Split) -> None:
    is_test = rows["as_of_date"] == pd.Timestamp(split.test_date)
    gone = rows.assign(
        has_churned=rows["has_churned"] | is_test,
        order_count_in_horizon=rows["order_count_in_horizon"].where(~is_test, 0),
    )
    metrics = churn.train(gone, split, PARAMS).card.metrics
    assert (metrics["roc_auc"], metrics["base_rate"]) == (None, 1.0)


def test_revenue_without_a_number_or_without_any_leaves_nobody_worth_a_contact(
    rows: pd.DataFrame, split: Split
) -> None:
    free = churn.train(rows.assign(net_revenue_in_horizon=0.0), split, PARAMS)
    assert free.model.contacting.threshold is None
    assert free.card.metrics["share_at_risk"] == 0.0
    endless = rows.assign(net_revenue_in_horizon=rows["net_revenue_in_horizon"].where(rows.index % 5 > 0, np.inf))
    assert np.isfinite(churn.train(endless, split, PARAMS).model.contacting.worths).all()


def test_reason_codes_add_up_to_the_score_and_point_the_right_way(trained_churn: Model, features: pd.DataFrame) -> None:
    model = trained_churn.model
    inputs = churn_inputs(model.rhythm, schema.matrix(features))
    contributions = model.contributions(inputs)
    np.testing.assert_allclose(contributions.sum(axis=1), model.raw(inputs), rtol=1e-9, atol=1e-9)
    names = [feature.name for feature in INPUTS]
    for row, text in enumerate(churn.score(model, features)["reason_codes"].head(50)):
        reasons = json.loads(text)
        sizes = [abs(reason["contribution"]) for reason in reasons]
        assert 0 < len(reasons) <= 3
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] == pytest.approx(np.abs(contributions[row, :-1]).max(), abs=1e-6)
        for reason in reasons:
            assert reason["contribution"] == pytest.approx(contributions[row, names.index(reason["feature"])], abs=1e-6)
            assert reason["text"].endswith("raises the risk" if reason["contribution"] > 0 else "lowers the risk")


def test_without_explanations_the_probabilities_are_the_same(trained_churn: Model, features: pd.DataFrame) -> None:
    plain = churn.score(trained_churn.model, features, explain=False)
    assert set(plain["reason_codes"]) == {"[]"}
    assert (plain["churn_probability"] == churn.score(trained_churn.model, features)["churn_probability"]).all()


def test_one_training_date_is_enough() -> None:
    rows = one_date_rows()
    trained = churn.train(rows, splits.time_split(rows), PARAMS)
    assert trained.card.metrics["roc_auc"] > 0.6


def test_a_customer_scored_alone_gets_the_bits_of_the_batch(trained_churn: Model, features: pd.DataFrame) -> None:
    together = churn.score(trained_churn.model, features)
    alone = [churn.score(trained_churn.model, features.iloc[[row]]) for row in range(25)]
    pd.testing.assert_frame_equal(pd.concat(alone, ignore_index=True), together.head(25), check_exact=True)


def test_bad_values_get_a_score_and_never_crash(trained_churn: Model, features: pd.DataFrame) -> None:
    bad = features.head(4).copy()
    numbers = list(schema.FEATURE_NAMES)
    bad[numbers] = bad[numbers].astype(float)
    for row, value in enumerate([np.nan, np.inf, -np.inf, 1e300]):
        bad.loc[row, numbers] = value
    scores = churn.score(trained_churn.model, bad)
    assert scores["churn_probability"].between(0, 1).all()
    assert all(json.loads(text) for text in scores["reason_codes"])


def test_no_customers_give_no_scores(trained_churn: Model, features: pd.DataFrame) -> None:
    assert len(churn.score(trained_churn.model, features.head(0))) == 0


def test_training_survives_missing_infinite_and_constant_features(rows: pd.DataFrame, split: Split) -> None:
    holes = rows.assign(
        net_revenue=np.inf,
        items_per_order=np.nan,
        tenure_days=1.0,
        recency_days=rows["recency_days"].where(rows.index % 3 > 0),
    )
    assert churn.train(holes, split, PARAMS).card.metrics["roc_auc"] > 0.6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: r.assign(has_churned=True, order_count_in_horizon=0), "only 0 stayed"),
        (lambda r: r.assign(has_churned=False, order_count_in_horizon=1), "only 0 churned"),
        (lambda r: r.assign(has_churned=~r["has_churned"]), "has_churned contradicts order_count_in_horizon"),
        (lambda r: r.groupby("as_of_date").head(3), "at least|are needed"),
        (lambda r: r.head(0), "are needed"),
        (lambda r: r.assign(**dict.fromkeys(schema.FEATURE_NAMES, 1.0)), "same value in all training rows"),
    ],
)
def test_rows_that_cannot_teach_anything_are_said_in_one_sentence(
    rows: pd.DataFrame, split: Split, change: object, words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        churn.train(change(rows), split, PARAMS)  # type: ignore[operator]
