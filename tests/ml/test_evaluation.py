import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn import metrics as sk

from ml import evaluation


@pytest.fixture
def outcome() -> tuple[evaluation.BoolArray, evaluation.FloatArray]:
    random = np.random.default_rng(1)
    chance = random.uniform(0, 1, 4_000)
    return random.uniform(0, 1, 4_000) < chance, chance


def test_churn_metrics_equal_those_of_scikit_learn(
    outcome: tuple[evaluation.BoolArray, evaluation.FloatArray],
) -> None:
    actual, chance = outcome
    found = evaluation.churn_metrics(actual, chance, threshold=0.4)
    assert found["accuracy"] == pytest.approx(sk.accuracy_score(actual, chance >= 0.4))
    assert found["precision"] == pytest.approx(sk.precision_score(actual, chance >= 0.4))
    assert found["recall"] == pytest.approx(sk.recall_score(actual, chance >= 0.4))
    assert found["f1"] == pytest.approx(sk.f1_score(actual, chance >= 0.4))
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(actual, chance))
    assert found["pr_auc"] == pytest.approx(sk.average_precision_score(actual, chance))
    assert found["brier"] == pytest.approx(sk.brier_score_loss(actual, chance))
    assert found["threshold"] == 0.4


def test_a_true_probability_is_calibrated_and_a_shifted_one_is_not(
    outcome: tuple[evaluation.BoolArray, evaluation.FloatArray],
) -> None:
    actual, chance = outcome
    assert evaluation.expected_calibration_error(actual, chance) < 0.03
    assert evaluation.expected_calibration_error(actual, chance / 2) > 0.2


def test_the_calibration_table_by_hand() -> None:
    table = evaluation.calibration_table(np.array([True, False, True]), np.array([0.05, 0.05, 1.0]))
    assert [(row["from"], row["rows"], row["observed_rate"]) for row in table] == [(0.0, 2, 0.5), (0.9, 1, 1.0)]
    assert evaluation.expected_calibration_error(np.array([True, False, True]), np.array([0.05, 0.05, 1.0])) == (
        pytest.approx(0.3)
    )


def test_one_class_gives_no_rank_metric_and_no_crash() -> None:
    found = evaluation.churn_metrics(np.ones(5, dtype=bool), np.linspace(0, 1, 5), threshold=0.5)
    assert found["roc_auc"] is None
    assert found["pr_auc"] is None


def test_value_metrics_by_hand() -> None:
    actual, predicted = np.array([0.0, 10.0, -2.0, 40.0]), np.array([1.0, 8.0, 0.0, 20.0])
    found = evaluation.value_metrics(actual, predicted)
    assert found["mae"] == pytest.approx(25 / 4)
    assert found["rmse"] == pytest.approx(np.sqrt((1 + 4 + 4 + 400) / 4))
    assert found["r2"] == pytest.approx(sk.r2_score(actual, predicted))
    assert found["mape_positive"] == pytest.approx((0.2 + 0.5) / 2)
    assert found["total_bias"] == pytest.approx(29 / 48 - 1)
    assert found["normalised_gini"] == pytest.approx(1.0)
    assert found["spearman"] == pytest.approx(spearmanr(actual, predicted).statistic)


def test_the_gini_is_zero_for_a_constant_and_minus_one_for_the_reverse() -> None:
    actual = np.array([1.0, 2.0, 3.0, 10.0])
    assert evaluation.normalised_gini(actual, np.ones(4)) == pytest.approx(0.0)
    assert evaluation.normalised_gini(actual, -actual) == pytest.approx(-1.0)


def test_deciles_cover_everyone_and_fall_where_the_ranking_is_true() -> None:
    actual = np.random.default_rng(2).lognormal(0, 1, 95)
    table = evaluation.decile_table(actual, actual)
    assert sum(row["rows"] for row in table) == 95
    means = [row["mean_actual"] for row in table]
    assert means == sorted(means, reverse=True)
    assert evaluation.top_decile_lift(actual, actual) == pytest.approx(np.sort(actual)[-9:].mean() / actual.mean())


def test_intervals_are_counted_below_inside_and_above() -> None:
    found = evaluation.interval_metrics(np.array([0.0, 5.0, 9.0, 2.0]), np.full(4, 1.0), np.full(4, 6.0))
    assert found == {"coverage": 0.5, "below": 0.25, "above": 0.25, "mean_width": 5.0}


def test_a_column_that_tells_the_outcome_is_named() -> None:
    actual = np.random.default_rng(3).uniform(0, 1, 300) < 0.4
    values = np.column_stack([np.random.default_rng(4).normal(size=300), -actual.astype(float)])
    [warning] = evaluation.leak_warnings(values, actual, ["harmless", "leaking"])
    assert "leaking" in warning


def test_the_mean_has_the_smallest_tweedie_deviance() -> None:
    actual = np.random.default_rng(5).gamma(0.5, 10, 500)
    deviances = [evaluation.tweedie_deviance(actual, np.full(500, actual.mean() * f), 1.5) for f in (0.8, 1.0, 1.2)]
    assert min(deviances) == deviances[1]
