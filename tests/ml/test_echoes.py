"""A window that is longer than the history says what a lifetime says; nothing may lean on it."""

import numpy as np
import pandas as pd
import pytest

from ml import ltv, schema
from ml.echoes import echoes, without
from ml.model import Trained
from ml.schema import FEATURE_NAMES, FloatArray

LIFETIME, WINDOW, REFUNDS, REPEATS = (
    FEATURE_NAMES.index(name) for name in ("net_revenue", "net_revenue_180d", "refund_count", "order_count_same_season")
)


@pytest.fixture
def values() -> FloatArray:
    return np.asarray(np.random.default_rng(3).gamma(2.0, 10.0, (1_000, len(FEATURE_NAMES))))


def test_the_later_of_two_equal_features_is_an_echo_and_becomes_unknown(values: FloatArray) -> None:
    assert echoes(values) == ()
    assert without(values, ()) is values
    values[:, WINDOW] = values[:, LIFETIME]
    values[:50, WINDOW] = 0.0
    assert echoes(values) == ("net_revenue_180d",)
    shown = without(values, ("net_revenue_180d",))
    assert np.isnan(shown[:, WINDOW]).all() and not np.isnan(values).any()
    assert not np.isnan(np.delete(shown, WINDOW, axis=1)).any()
    values[:200, WINDOW] = 0.0
    assert echoes(values) == ()


def test_features_that_are_seldom_anything_are_no_echoes_of_each_other(values: FloatArray) -> None:
    values[:, [REFUNDS, REPEATS]] = 0.0
    values[:40, REFUNDS] = 1.0
    values[20:60, REPEATS] = 1.0
    assert echoes(values) == ()


def test_an_echo_that_parts_from_its_original_after_training_moves_no_expectation(
    trained_ltv: Trained[ltv.LtvModel], features: pd.DataFrame
) -> None:
    hidden = trained_ltv.model.hidden
    assert "days_since_last_event" in hidden
    parted = features.assign(**{name: 1.0 for name in hidden})
    pd.testing.assert_frame_equal(
        ltv.score(trained_ltv.model, parted, explain=False), ltv.score(trained_ltv.model, features, explain=False)
    )
    assert len(hidden) < len(schema.FEATURE_NAMES) / 2
