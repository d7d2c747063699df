"""The gate: on the same rows, on rows that neither has seen, and not on noise."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml import churn, gate, ltv, registry, schema, segments, splits
from ml.model import Fitted, ModelError, Trained
from ml.schema import FloatArray
from ml.splits import Split
from tests.ml.conftest import SEED

TEST_DATE = date(2025, 1, 25)


class Known:
    """A stand-in for a model module whose models are the losses that they make."""

    LOSS = "loss"

    @staticmethod
    def losses(model: FloatArray, rows: pd.DataFrame) -> FloatArray:
        return model[: len(rows)]


def fitted(model: Any, judged: Any, *, test_date: date = TEST_DATE, trained_to: date | None = None) -> Fitted[Any]:
    train_date = trained_to or test_date - timedelta(days=90)
    return Fitted(
        model, judged, SimpleNamespace(test_date=test_date, train_dates=(train_date,), horizon_days=90, metrics={})
    )  # type: ignore[arg-type]


def rows_of(count: int, day: date = TEST_DATE) -> pd.DataFrame:
    return pd.DataFrame({"customer_id": [str(n) for n in range(count)], "as_of_date": day})


def decide(champion: FloatArray, challenger: FloatArray) -> gate.Decision:
    ours, theirs = fitted(challenger, challenger), fitted(champion, champion)
    return gate.decide(Known, ours, theirs, against="a", rows=rows_of(len(champion)))  # type: ignore[arg-type]


def promotions_of_equals(is_better: Callable[[gate.Comparison], bool]) -> int:
    """How many of 200 challengers that are only as good as the champion a rule promotes."""
    random = np.random.default_rng(1)
    found = 0
    for _ in range(200):
        shared = random.gamma(1.0, 0.2, 400)
        champion, challenger = (shared + random.normal(0, 0.05, 400) for _ in range(2))
        comparison = decide(champion, challenger).comparison
        assert comparison is not None
        found += is_better(comparison)
    return found


def test_a_challenger_that_is_better_for_nearly_everybody_is_promoted_with_its_numbers() -> None:
    random = np.random.default_rng(2)
    champion = random.gamma(1.0, 0.2, 1_000)
    decision = decide(champion, champion * random.uniform(0.85, 1.0, 1_000))
    assert decision.is_promoted
    assert decision.against == "a"
    assert decision.comparison is not None
    assert 0 < decision.comparison.lower < decision.comparison.gain < decision.comparison.upper
    assert "better than a: loss" in decision.reason


def test_noise_promotes_hardly_ever_and_a_rule_without_the_interval_would_every_third_time() -> None:
    assert promotions_of_equals(lambda c: c.is_better) <= 10
    assert promotions_of_equals(lambda c: c.gain >= gate.SMALLEST_GAIN) > 40


def test_a_sure_gain_too_small_to_matter_is_not_promoted() -> None:
    champion = np.random.default_rng(3).gamma(1.0, 0.2, 5_000)
    decision = decide(champion, champion * 0.998)
    assert decision.comparison is not None
    assert decision.comparison.lower > 0
    assert not decision.is_promoted


def test_a_handful_of_rows_promotes_nobody() -> None:
    champion = np.random.default_rng(4).gamma(1.0, 0.2, gate.SMALLEST_ROWS - 1)
    decision = decide(champion, champion / 2)
    assert not decision.is_promoted
    assert "100 rows are needed" in decision.reason


def test_a_champion_without_loss_stays() -> None:
    assert not decide(np.zeros(200), np.zeros(200)).is_promoted
    assert not decide(np.zeros(200), np.ones(200)).is_promoted


def test_the_interval_of_groups_is_that_of_single_customers() -> None:
    random = np.random.default_rng(5)
    champion = random.gamma(1.0, 0.2, 40_000)
    challenger = champion + random.normal(-0.002, 0.1, 40_000)
    comparison = decide(champion, challenger).comparison
    assert comparison is not None
    half = 1.96 * float((champion - challenger).std()) / np.sqrt(40_000) / float(champion.mean())
    assert (comparison.upper - comparison.lower) / 2 == pytest.approx(half, rel=0.08)


def test_each_is_judged_by_its_newest_fit_that_has_not_seen_the_outcomes() -> None:
    same_date, old = fitted("model", "judged"), fitted("model", "judged", test_date=TEST_DATE - timedelta(days=90))
    assert same_date.fitted_before(TEST_DATE) == "judged"
    assert fitted("model", "judged", test_date=TEST_DATE - timedelta(days=89)).fitted_before(TEST_DATE) == "judged"
    assert old.fitted_before(TEST_DATE) == "model"
    with pytest.raises(ModelError, match="trained on outcomes up to 2025-01-26"):
        fitted("model", "judged", trained_to=TEST_DATE - timedelta(days=89)).fitted_before(TEST_DATE)


def test_a_champion_trained_later_has_seen_the_outcomes_and_stays() -> None:
    later = TEST_DATE + timedelta(days=30)
    champion, challenger = fitted(np.ones(200), np.ones(200), test_date=later), fitted(np.zeros(200), np.zeros(200))
    decision = gate.decide(Known, challenger, champion, against="b", rows=rows_of(200))  # type: ignore[arg-type]
    assert not decision.is_promoted
    assert "not comparable with the champion b" in decision.reason
    assert decision.comparison is None


def test_a_champion_that_learnt_the_test_date_by_heart_gains_nothing_by_it() -> None:
    by_heart, honest, challenger = np.zeros(500), np.ones(500), np.full(500, 0.5)
    champion = fitted(by_heart, honest)
    decision = gate.decide(Known, fitted(challenger, challenger), champion, against="c", rows=rows_of(500))  # type: ignore[arg-type]
    assert decision.is_promoted
    # the broken variant: the fit that scores is judged on what it learnt
    cheating = replace(champion, judged=by_heart)
    assert not gate.decide(Known, fitted(challenger, challenger), cheating, against="c", rows=rows_of(500)).is_promoted  # type: ignore[arg-type]


@pytest.mark.parametrize("module", [churn, ltv, segments])
def test_a_model_beside_itself_gains_nothing(
    module: Any, request: pytest.FixtureRequest, rows: pd.DataFrame, split: Split
) -> None:
    trained = request.getfixturevalue(f"trained_{module.MODEL}")
    found = gate.compare(module, trained, trained, splits.rows_on(rows, split.test_date), day=split.test_date)
    assert (found.gain, found.lower, found.upper) == (0.0, 0.0, 0.0)
    assert found.champion_loss > 0
    assert found.test_date == split.test_date


def test_the_loss_is_that_of_the_metrics_on_the_card(
    trained_churn: Trained[churn.ChurnModel], rows: pd.DataFrame, split: Split
) -> None:
    found = gate.compare(
        churn, trained_churn, trained_churn, splits.rows_on(rows, split.test_date), day=split.test_date
    )
    assert found.champion_loss == pytest.approx(trained_churn.card.metrics["brier"])


@pytest.mark.parametrize(("module", "params"), [(churn, churn.ChurnParams), (ltv, ltv.LtvParams)])
def test_a_model_that_learnt_nothing_loses_to_one_that_did(
    module: Any, params: Any, request: pytest.FixtureRequest, rows: pd.DataFrame, split: Split
) -> None:
    trained = request.getfixturevalue(f"trained_{module.MODEL}")
    features = rows[list(schema.FEATURE_NAMES)].sample(frac=1, random_state=1).set_axis(rows.index)
    blind = module.train(rows.assign(**features), split, params(seed=SEED))
    assert gate.decide(module, trained, blind, against="blind", rows=splits.rows_on(rows, split.test_date)).is_promoted
    assert not gate.decide(
        module, blind, trained, against="good", rows=splits.rows_on(rows, split.test_date)
    ).is_promoted


@pytest.mark.parametrize(
    ("module", "params"), [(churn, churn.ChurnParams), (ltv, ltv.LtvParams), (segments, segments.SegmentParams)]
)
def test_training_twice_gives_the_same_files_and_the_same_scores_bit_for_bit(
    *,
    module: Any,
    params: Any,
    request: pytest.FixtureRequest,
    rows: pd.DataFrame,
    split: Split,
    features: pd.DataFrame,
) -> None:
    trained = request.getfixturevalue(f"trained_{module.MODEL}")
    again = module.train(rows.sample(frac=1, random_state=5), split, params(seed=SEED))
    assert registry._files(again) == registry._files(trained)
    pd.testing.assert_frame_equal(
        module.score(again.model, features), module.score(trained.model, features), check_exact=True
    )
    other = module.train(rows, split, params(seed=SEED + 1))
    assert registry._files(other) != registry._files(trained)
