"""Times known up to a horizon: curves, the day of a share, coverage with open intervals, concordance against counting pairs."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml import survival
from ml.schema import FloatArray

TIMES = np.array([0.0, 3.5, 7.0, 29.9, 30.0, 89.9, np.nan, np.nan])
hazards = st.lists(st.floats(0.0, 1.0), min_size=5, max_size=5)


def curve(*shares: float) -> FloatArray:
    return survival.survival(np.array([shares]))


def test_a_row_is_at_risk_until_the_period_of_its_event() -> None:
    found = survival.at_risk(TIMES)
    periods = [found.period[found.row == row].tolist() for row in range(len(TIMES))]
    assert [len(each) for each in periods] == [1, 1, 2, 3, 4, 5, 5, 5]
    assert found.row[found.happened].tolist() == [0, 1, 2, 3, 4, 5]
    assert [each[-1] for each in periods[:6]] == [0, 0, 1, 2, 3, 4]


def test_the_curve_that_was_learnt_from_all_rows_is_kaplan_meiers() -> None:
    found = survival.at_risk(TIMES)
    hazard = [found.happened[found.period == period].mean() for period in range(5)]
    assert survival.survival(np.array([hazard])) == pytest.approx(survival.kaplan_meier(TIMES))


@given(hazards, st.floats(0.05, 0.95))
def test_the_day_of_a_share_is_the_day_by_which_that_share_is_likely(shares: list[float], share: float) -> None:
    curves = curve(*shares)
    [day] = survival.day_of_share(curves, share)
    if np.isnan(day):
        assert survival.chance_by(curves, 90.0)[0] < share + 1e-9
    elif day > 1e-6:
        assert survival.chance_by(curves, day)[0] == pytest.approx(share, abs=1e-6)


@given(hazards)
def test_the_chance_rises_with_the_days_and_is_the_curves_at_the_ends(shares: list[float]) -> None:
    curves = curve(*shares)
    chances = [survival.chance_by(curves, float(day))[0] for day in range(1, 91)]
    assert np.all(np.diff(chances) >= -1e-9)
    assert chances[29] == pytest.approx(1 - curves[0, 2], abs=1e-9)


def test_an_open_interval_covers_who_comes_late_or_never_and_a_wholly_open_one_only_them() -> None:
    curves = np.repeat(curve(0.1, 0.1, 0.1, 0.1, 0.1), 3, axis=0)
    nothing, low = np.full(3, np.nan), np.array([10.0, 10.0, 10.0])
    found = survival.interval_coverage(np.array([10.2, 9.9, np.nan]), low, nothing, curves)
    assert (found["coverage"], found["below"], found["above"], found["open_share"]) == (2 / 3, 1 / 3, 0.0, 1.0)
    beyond = survival.interval_coverage(np.array([80.0, np.nan, np.nan]), nothing, nothing, curves)
    assert beyond["coverage"] == 2 / 3
    assert beyond["stated"] == pytest.approx(curves[0, -1])
    closed = survival.interval_coverage(np.array([10.0, 20.9, 21.0]), low, low + 10.7, curves)
    assert (closed["coverage"], closed["above"]) == (2 / 3, 1 / 3)


def test_what_an_interval_states_is_what_times_drawn_from_the_curve_do() -> None:
    random = np.random.default_rng(5)
    curves = np.repeat(curve(0.2, 0.3, 0.4, 0.5, 0.3), 20_000, axis=0)
    drawn = np.concatenate([survival.day_of_share(curves[:1], share) for share in random.uniform(0, 1, 20_000)])
    lower, upper = (survival.day_of_share(curves, share) for share in (0.1, 0.9))
    found = survival.interval_coverage(drawn, lower, upper, curves)
    assert found["coverage"] == pytest.approx(found["stated"], abs=0.01)
    assert found["coverage"] >= 0.8 - 0.01
    assert survival.brier_by_period(drawn, curves).mean() < survival.brier_by_period(drawn, curves**2).mean()


@given(st.lists(st.tuples(st.sampled_from([1.0, 5.0, 30.0, np.nan]), st.integers(0, 4)), min_size=2, max_size=25))
def test_concordance_is_the_share_of_pairs_that_are_in_order(rows: list[tuple[float, int]]) -> None:
    times, sooner = np.array([t for t, _ in rows]), np.array([float(s) for _, s in rows])
    known = np.where(np.isnan(times), 999.0, times)
    pairs = [(a, b) for a, b in combinations(range(len(rows)), 2) if known[a] != known[b]]
    found = survival.concordance(times, sooner)
    if not pairs:
        assert found is None
        return
    in_order = [0.5 if sooner[a] == sooner[b] else (sooner[a] > sooner[b]) == (known[a] < known[b]) for a, b in pairs]
    assert found == pytest.approx(float(np.mean(in_order)))


def test_a_date_is_judged_on_those_who_have_one() -> None:
    expected = np.array([1.0, np.nan, 10.0, 20.0, np.nan, np.nan, 5.0, np.nan])
    found = survival.date_metrics(TIMES, expected)
    assert found == {"dated_share": 0.5, "dated_who_came": 0.75, "median_days_off": 3.0}
    assert survival.date_metrics(TIMES, np.full(8, np.nan))["median_days_off"] is None
