"""Drift: nothing by chance, a name where something moved, and plain numbers that survive JSON."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from ml import churn, drift, ltv, segments
from ml.model import Trained


def frame(random: np.random.Generator, rows: int = 2_000, *, shift: float = 0.0) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "money": random.lognormal(3 + shift, 1, rows),
            "orders": random.poisson(1.5, rows),
            "seldom": np.where(random.uniform(size=rows) < 0.05, random.uniform(1, 9, rows), 0.0),
            "gap": np.where(random.uniform(size=rows) < 0.4, np.nan, random.exponential(30, rows)),
            "never": np.full(rows, np.nan),
            "always": np.ones(rows),
        }
    )


def test_rows_of_the_same_kind_do_not_drift_and_the_same_rows_not_at_all() -> None:
    random = np.random.default_rng(1)
    past = frame(random)
    reference = json.loads(json.dumps(drift.histograms(past)))
    assert all(index == 0 for index in drift.drift(reference, past).values())
    assert max(drift.drift(reference, frame(random)).values()) < 0.05
    assert max(drift.drift(reference, frame(random, drift.SMALLEST_ROWS)).values()) < drift.NOTABLE


def test_what_moved_is_first_and_what_did_not_is_not_named() -> None:
    random = np.random.default_rng(2)
    reference = drift.histograms(frame(random))
    moved = drift.drift(reference, frame(random, shift=1.0))
    assert [name for name, index in moved.items() if index > drift.NOTABLE] == ["money"]


@pytest.mark.parametrize("column", ["gap", "never", "always", "orders", "seldom"])
def test_values_that_come_or_go_missing_or_are_new_are_drift(column: str) -> None:
    random = np.random.default_rng(3)
    past = frame(random)
    changed = past.assign(**{column: np.where(past[column].isna(), 5.0, np.nan)})
    assert drift.drift(drift.histograms(past), changed)[column] > drift.NOTABLE


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_another_value_where_there_was_only_one_is_drift(value: float) -> None:
    past = frame(np.random.default_rng(4))
    assert drift.drift(drift.histograms(past), past.assign(always=value))["always"] > drift.NOTABLE


def test_the_index_is_the_textbook_one() -> None:
    past, now = pd.DataFrame({"x": [0.0] * 5_000 + [1.0] * 5_000}), pd.DataFrame({"x": [0.0] * 8_000 + [1.0] * 2_000})
    expected = 0.3 * math.log(0.8 / 0.5) + (0.2 - 0.5) * math.log(0.2 / 0.5)
    assert drift.drift(drift.histograms(past), now)["x"] == pytest.approx(expected, rel=0.01)


def test_infinite_and_empty_columns_are_counted_as_missing() -> None:
    past = pd.DataFrame({"x": [np.inf, -np.inf, 1.0, 2.0]})
    assert drift.histograms(past)["x"]["counts"] == [0.0, 1.0, 1.0, 0.0, 2.0]
    assert drift.histograms(past.head(0))["x"] == {"edges": [], "counts": [0.0, 0.0]}


@pytest.mark.parametrize("module", [churn, ltv, segments])
def test_a_card_holds_a_histogram_of_every_input_and_of_the_score(
    module: object, request: pytest.FixtureRequest, features: pd.DataFrame
) -> None:
    trained: Trained[churn.ChurnModel] = request.getfixturevalue(f"trained_{module.MODEL}")  # type: ignore[attr-defined]
    scores = module.score(trained.model, features)  # type: ignore[attr-defined]
    reference = trained.card.reference
    assert [name for name in reference if name not in scores.columns] == list(trained.card.features)
    [score] = [name for name in reference if name in scores.columns]
    today = features.assign(**{score: scores[score]})
    assert drift.drift(reference, today)[score] < drift.NOTABLE
    flipped = today.assign(**{score: scores[score].max() * 3})
    assert next(iter(drift.drift(reference, flipped))) == score
