import numpy as np

from ml.intervals import fit_intervals, intervals_from_dict


def test_intervals_hold_eight_of_ten_new_outcomes_whatever_their_spread() -> None:
    random = np.random.default_rng(1)
    predicted = random.lognormal(3, 1, 8_000)
    actual = predicted * random.lognormal(-0.3, np.where(predicted > 20, 1.2, 0.3))
    intervals = fit_intervals(predicted[:4_000], actual[:4_000])
    lower, upper = intervals.bounds(predicted[4_000:])
    inside = (actual[4_000:] >= lower) & (actual[4_000:] <= upper)
    for group in (predicted[4_000:] > 20, predicted[4_000:] <= 20):
        assert 0.77 < inside[group].mean() < 0.84


def test_where_most_buy_nothing_the_interval_starts_at_zero_and_holds_the_expectation() -> None:
    random = np.random.default_rng(2)
    predicted = random.uniform(1, 3, 2_000)
    actual = np.where(random.uniform(size=2_000) < 0.95, 0.0, 40.0)
    lower, upper = fit_intervals(predicted, actual).bounds(predicted)
    assert (lower == 0).all()
    assert (upper >= predicted).all()


def test_refunds_pull_the_lower_bound_below_zero() -> None:
    predicted, actual = np.full(300, 10.0), np.tile([-5.0, 10.0, 30.0], 100)
    lower, upper = fit_intervals(predicted, actual).bounds(np.array([10.0, 20.0]))
    assert lower.tolist() == [-5.0, -10.0]
    assert upper.tolist() == [30.0, 60.0]


def test_intervals_survive_being_stored() -> None:
    predicted = np.linspace(1, 9, 500)
    intervals = fit_intervals(predicted, predicted**2)
    assert intervals_from_dict(intervals.to_dict()) == intervals
