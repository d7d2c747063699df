import numpy as np
import pandas as pd
import pytest

from ml.bgnbd import BgNbd, History, fit_bgnbd
from ml.gamma_gamma import GammaGamma, fit_gamma_gamma
from ml.model import ModelError
from tests.ml.shop_history import DATA, cdnow_orders

END_OF_CALIBRATION = pd.Timestamp("1997-09-30")
needs_cdnow = pytest.mark.skipif(not (DATA / "cdnow").is_dir(), reason="shared data is not here")


def cdnow_sample() -> tuple[History, np.ndarray]:
    """Weeks up to 1997-09-30, and the purchase days of each customer in the 39 weeks after."""
    orders = cdnow_orders("sample")
    days = orders[orders.ordered_at <= END_OF_CALIBRATION].groupby("customer_id").ordered_at
    first, last = days.min(), days.max()
    history = History(
        days.size().to_numpy(dtype=float) - 1,
        (last - first).dt.days.to_numpy() / 7,
        (END_OF_CALIBRATION - first).dt.days.to_numpy() / 7,
    )
    later = orders[orders.ordered_at > END_OF_CALIBRATION].groupby("customer_id").size()
    return history, later.reindex(first.index).fillna(0).to_numpy(dtype=float)


@needs_cdnow
def test_the_published_parameters_of_the_cdnow_sample_are_found() -> None:
    history, later = cdnow_sample()
    model = fit_bgnbd(history)
    assert (model.r, model.alpha, model.a, model.b) == pytest.approx((0.243, 4.414, 0.793, 2.426), rel=2e-3)
    assert model.penalty == 0
    expected = model.purchases(history, 39)
    # Fader, Hardie & Lee report a correlation of .626 over the holdout.
    assert np.corrcoef(expected, later)[0, 1] == pytest.approx(0.626, abs=1e-3)
    assert np.abs(expected - later).mean() == pytest.approx(0.786, abs=2e-3)


def test_without_drop_out_the_fit_falls_back_to_a_penalty() -> None:
    random = np.random.default_rng(1)
    age = random.uniform(20, 60, 800)
    x = random.poisson(random.gamma(1.0, 0.1, 800) * age).astype(float)
    history = History(x, np.where(x > 0, age * x / (x + 1), 0.0), age)
    model = fit_bgnbd(history)
    assert model.penalty > 0
    assert model.a / (model.a + model.b) < 0.02
    assert np.isfinite(model.purchases(history, 13)).all()


def test_too_few_repeat_buyers_are_said() -> None:
    with pytest.raises(ModelError, match="3 customers bought on a second day"):
        fit_bgnbd(History(np.array([0.0, 1, 1, 1]), np.array([0.0, 1, 1, 1]), np.full(4, 9.0)))


def test_expected_purchases_agree_with_a_simulation() -> None:
    model = BgNbd(0.6, 6.0, 0.9, 2.5, 0.0)
    random = np.random.default_rng(2)
    rate, drop = random.gamma(model.r, 1 / model.alpha, 200_000), random.beta(model.a, model.b, 200_000)
    time, bought, is_alive = np.zeros(200_000), np.zeros(200_000), np.ones(200_000, dtype=bool)
    while is_alive.any():
        time[is_alive] += random.exponential(1 / np.maximum(rate[is_alive], 1e-12))
        is_alive &= time < 10
        bought += is_alive
        is_alive &= random.uniform(size=200_000) > drop
    newcomer = History(np.zeros(1), np.zeros(1), np.zeros(1))
    assert model.purchases(newcomer, 10)[0] == pytest.approx(bought.mean(), rel=0.02)
    assert model.no_purchase(newcomer, 10)[0] == pytest.approx((bought == 0).mean(), abs=0.005)


def test_a_long_pause_after_many_purchases_means_gone_and_the_step_at_a_of_one_is_smooth() -> None:
    model = BgNbd(0.5, 5.0, 0.8, 2.0, 0.0)
    regular, gone = model.alive(History(np.array([20.0, 20.0]), np.array([50.0, 10.0]), np.full(2, 51.0)))
    assert regular > 0.9
    assert gone < 0.1
    some = History(np.array([3.0]), np.array([10.0]), np.array([20.0]))
    beside, at = (BgNbd(0.5, 5.0, a, 2.0, 0.0).purchases(some, 8)[0] for a in (1.001, 1.0))
    assert at == pytest.approx(beside, rel=0.01)


def test_gamma_gamma_finds_the_parameters_that_made_the_spend() -> None:
    random = np.random.default_rng(3)
    truth = GammaGamma(4.0, 4.0, 60.0)
    days = random.integers(1, 8, 20_000).astype(float)
    scale = random.gamma(truth.q, 1 / truth.v, 20_000)
    mean = random.gamma(truth.p * days, 1 / scale) / days
    found = fit_gamma_gamma(days, mean)
    assert (found.p, found.q) == pytest.approx((truth.p, truth.q), rel=0.1)
    assert found.mean_spend(days, mean).mean() == pytest.approx(mean.mean(), rel=0.02)


def test_few_days_are_drawn_to_the_mean_of_all_and_refunded_customers_are_no_history() -> None:
    model = GammaGamma(4.0, 4.0, 60.0)
    once, often = model.mean_spend(np.array([1.0, 50.0]), np.array([500.0, 500.0]))
    nobody, refunded = model.mean_spend(np.array([0.0, 3.0]), np.array([0.0, -20.0]))
    assert nobody < once < often < 500
    assert refunded == nobody
