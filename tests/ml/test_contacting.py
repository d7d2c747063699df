import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml.contacting import Contacting, Economics, choose_threshold, contacting_from_dict

RANDOM = np.random.default_rng(5)
CHANCE = RANDOM.uniform(0, 1, 5_000)
CHURNED = RANDOM.uniform(0, 1, 5_000) < CHANCE
EQUAL = np.full(5_000, 100.0)


def chosen(cost: float, *, worth: float = 100.0, margin: float = 0.5, success: float = 0.2) -> Contacting:
    return choose_threshold(CHANCE, CHURNED, EQUAL * worth / 100, Economics(cost, margin, success))


@pytest.mark.parametrize(("cost", "threshold"), [(2.0, 0.2), (5.0, 0.5), (9.0, 0.9), (0.0, 0.0)])
def test_where_all_are_worth_the_same_the_threshold_is_cost_over_what_a_kept_customer_earns(
    cost: float, threshold: float
) -> None:
    assert chosen(cost).threshold == pytest.approx(threshold, abs=0.011)


def test_where_reaching_anybody_costs_more_than_it_earns_nobody_is_at_risk() -> None:
    nobody = chosen(11.0)
    assert nobody.threshold is None
    assert not nobody.is_at_risk(CHANCE).any()
    assert nobody.metrics(CHURNED, CHANCE)["gain_per_customer"] == 0.0


def test_acting_on_the_threshold_earns_more_than_reaching_all_or_nobody() -> None:
    found = chosen(5.0)
    metrics = found.metrics(CHURNED, CHANCE)
    assert metrics["gain_per_customer"] > max(0.0, metrics["gain_per_customer_if_all"])
    assert metrics["share_at_risk"] == pytest.approx(found.is_at_risk(CHANCE).mean())


def test_those_at_risk_who_spend_little_are_not_worth_a_contact() -> None:
    frugal = np.where(CHANCE > 0.7, 1.0, 100.0)
    found = choose_threshold(CHANCE, CHURNED, frugal, Economics(2.0, 0.5, 0.2))
    gains = found.gains(CHANCE, CHANCE)
    assert gains[CHANCE > 0.8].max() < 0 < gains[(CHANCE > 0.4) & (CHANCE < 0.65)].min()
    assert found.threshold is not None and found.threshold < 0.7


def test_what_leavers_spent_and_unknown_revenue_count_for_nothing() -> None:
    odd = np.where(CHURNED, 1e9, 100.0)
    odd[np.flatnonzero(~CHURNED)[:5]] = np.nan
    found = choose_threshold(CHANCE, CHURNED, odd, Economics(5.0, 0.5, 0.2))
    assert max(found.worths) < 110
    assert found.threshold == pytest.approx(0.5, abs=0.02)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.floats(1e-4, 1 - 1e-4), st.booleans(), st.floats(-1e6, 1e6)), min_size=1, max_size=40),
    st.floats(0, 1e6),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_no_other_threshold_expects_more_and_the_numbers_survive_json(
    rows: list[tuple[float, bool, float]], cost: float, margin: float, success: float
) -> None:
    chance, churned, revenue = (np.array(column) for column in zip(*rows, strict=True))
    found = choose_threshold(chance, churned.astype(bool), revenue, Economics(cost, margin, success))
    gains = found.gains(chance, chance)
    best = float((gains * found.is_at_risk(chance)).sum())
    others = [float(gains[chance >= threshold].sum()) for threshold in np.arange(101) / 100]
    assert best >= max(0.0, *others) - 1e-9 * max(1.0, abs(best))
    assert contacting_from_dict(found.to_dict()) == found
