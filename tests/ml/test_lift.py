"""Intervals of a difference: against published values and SciPy, and by simulation against the truth."""

import numpy as np
import pytest
from scipy import stats

from ml.lift import LEVEL, Difference, Side, conversion_difference, revenue_difference, too_few, wilson


@pytest.mark.parametrize(
    ("counts", "interval"),
    [
        ((56, 70, 48, 80), (0.0524, 0.3339)),
        ((9, 10, 3, 10), (0.1705, 0.8090)),
        ((6, 7, 2, 7), (0.0582, 0.8062)),
        ((5, 56, 0, 29), (-0.0381, 0.1926)),
        ((0, 10, 0, 10), (-0.2775, 0.2775)),
        ((10, 10, 0, 10), (0.6075, 1.0000)),
    ],
)
def test_conversion_has_the_intervals_of_newcombes_table_ii(
    counts: tuple[int, int, int, int], interval: tuple[float, float]
) -> None:
    a, m, b, n = counts
    found = conversion_difference(Side(m, a), Side(n, b))
    assert (found.lower, found.upper) == pytest.approx(interval, abs=6e-5)
    for successes, trials in ((a, m), (b, n)):
        expected = stats.binomtest(successes, trials).proportion_ci(LEVEL, method="wilson")
        assert wilson(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_revenue_has_welchs_interval_as_scipy_gives_it() -> None:
    rng = np.random.default_rng(3)
    a, b = _revenue(rng, 400, 0.1), _revenue(rng, 90, 0.3)
    expected = stats.ttest_ind(a, b, equal_var=False).confidence_interval(LEVEL)
    found = revenue_difference(_side(a), _side(b))
    assert (found.lower, found.upper) == pytest.approx((expected.low, expected.high))


def test_of_intervals_for_95_percent_95_percent_hold_the_true_difference() -> None:
    rng, rounds = np.random.default_rng(11), 2_000
    held = {"conversion": 0, "revenue": 0, "no effect": 0}
    mean = float(np.exp(3 + 0.6**2 / 2))
    for _ in range(rounds):
        treated, alone, same = _revenue(rng, 2_700, 0.12), _revenue(rng, 300, 0.08), _revenue(rng, 2_700, 0.08)
        held["conversion"] += _holds(conversion_difference(_side(treated), _side(alone)), 0.04)
        held["revenue"] += _holds(revenue_difference(_side(treated), _side(alone)), 0.04 * mean)
        held["no effect"] += not conversion_difference(_side(same), _side(alone)).is_clear
    # three standard errors of a share of 2,000 rounds are 1.5 points
    assert {name: count / rounds for name, count in held.items()} == pytest.approx(
        dict.fromkeys(held, LEVEL), abs=0.015
    )


def test_few_people_are_said_to_be_few_and_an_effect_that_is_there_is_seen() -> None:
    assert too_few(Side(5_000, 500), Side(99, 20)).startswith("Too few to tell: 99 people were held out")
    assert "fewer than 10 people of a side ordered" in too_few(Side(5_000, 500), Side(500, 9))
    assert too_few(Side(5_000, 500), Side(500, 50)) == ""
    assert conversion_difference(Side(9_000, 1_800), Side(1_000, 100)).is_clear
    assert not conversion_difference(Side(0, 0), Side(0, 0)).is_clear
    assert not revenue_difference(Side(1, 1, 9.0), Side(900, 9, 1.0, 2.0)).is_clear


def _revenue(
    rng: np.random.Generator, people: int, conversion: float
) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return (rng.random(people) < conversion) * np.exp(rng.normal(3, 0.6, people))


def _side(revenue: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Side:
    return Side(len(revenue), int((revenue > 0).sum()), float(revenue.mean()), float(revenue.var(ddof=1)))


def _holds(found: Difference, truth: float) -> bool:
    return found.lower <= truth <= found.upper
