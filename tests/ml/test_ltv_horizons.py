"""Horizons beyond the base: what they are learnt from, that none looks ahead, what their intervals and totals hold."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from ml import ltv, schema, splits
from ml.growth import Growth, fit_growth, spans
from ml.ltv_model import LtvModel
from ml.model import Trained
from ml.rhythm import Rhythm, aged, history
from ml.schema import FloatArray
from tests.ml.made_up_shop import OPENED, made_up_orders
from tests.ml.shop_history import features_at, labels_at

PARAMS = ltv.LtvParams(seed=7, horizons=(30, 90, 365))
TODAY = OPENED + timedelta(days=560)
Model = Trained[LtvModel]


@pytest.fixture(scope="module")
def orders() -> pd.DataFrame:
    return made_up_orders(400)


@pytest.fixture(scope="module")
def long_rows(orders: pd.DataFrame) -> pd.DataFrame:
    """Labelled rows at dates up to 480 days back, with labels of further horizons where they have passed by TODAY."""
    parts = []
    for steps in (3, 4, 6, 9, 13, 16):
        day = TODAY - timedelta(days=30 * steps)
        rows = schema.training_rows(features_at(orders, day), labels_at(orders, day, 90))
        for days in (30, 365):
            labels = labels_at(orders, day, days).set_index("customer_id")["net_revenue_in_horizon"]
            passed = day + timedelta(days=days) <= TODAY
            rows[f"net_revenue_in_{days}d"] = rows["customer_id"].map(labels) if passed else np.nan
        parts.append(rows)
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def trained(long_rows: pd.DataFrame) -> Model:
    return ltv.train(long_rows, splits.time_split(long_rows), PARAMS)


def test_every_horizon_has_its_columns_and_longer_ones_expect_more(trained: Model, orders: pd.DataFrame) -> None:
    scores = ltv.score(trained.model, features_at(orders, TODAY), explain=False)
    names = [name for days in PARAMS.horizons for name in schema.value_columns(days)]
    assert list(scores.columns) == [*schema.KEYS, *names, "reason_codes"]
    assert list(schema.columns_of("ltv_scores", PARAMS.horizons)) == [*scores.columns, "model_version"]
    sums = [scores[f"expected_net_revenue_{days}d"].sum() for days in PARAMS.horizons]
    assert sums == sorted(sums)


def test_a_horizon_is_learnt_from_its_labels_where_they_are_known_and_judged_by_a_fit_that_ended_before(
    trained: Model,
) -> None:
    growths = {days: horizon.growth for days, horizon in trained.model.horizons.items()}
    assert {days: growth.learnt_from for days, growth in growths.items()} == {30: 30, 90: 90, 365: 365}
    judged = {row["horizon_days"]: row for row in trained.card.metrics["further_horizons"]}
    assert set(judged) == {30, 365}
    assert judged[365]["judged_on"] == str(TODAY - timedelta(days=390))
    assert judged[30]["coverage"] > 0.75
    assert abs(judged[30]["total_bias"]) < 0.5


def test_outcomes_of_a_further_horizon_that_reach_beyond_the_test_date_tell_the_judged_model_nothing(
    long_rows: pd.DataFrame, trained: Model
) -> None:
    test = pd.Timestamp(trained.card.test_date)
    days = pd.to_datetime(long_rows["as_of_date"])
    changed = long_rows.copy()
    late = (days + pd.Timedelta(days=365) > test) & changed["net_revenue_in_365d"].notna()
    assert late.any()
    changed.loc[late, "net_revenue_in_365d"] = 1e7
    again = ltv.train(changed, splits.time_split(changed), PARAMS)
    assert again.judged.to_files() == trained.judged.to_files()
    assert again.model.to_files() != trained.model.to_files()


def test_a_horizon_without_labels_is_stretched_and_says_so(long_rows: pd.DataFrame, orders: pd.DataFrame) -> None:
    short = long_rows.drop(columns=["net_revenue_in_365d"])
    model = ltv.train(short, splits.time_split(short), PARAMS).model
    growth = model.horizons[365].growth
    assert growth.learnt_from < 365
    assert "sums of labels over up to" in growth.rule
    row = ltv.totals(model, {365: 1e5}, as_of_date=TODAY, customers=400, history_days=200.0).iloc[0]
    assert "No outcome over 365 days is known yet" in row["warning"]
    assert "Less than a year of history (200 days)" in row["warning"]


def test_labels_that_follow_each_other_add_up_to_longer_spans(long_rows: pd.DataFrame, orders: pd.DataFrame) -> None:
    rows = long_rows[["customer_id", "as_of_date", "net_revenue_in_horizon"]]
    found = spans(rows, 90, (90,), until=pd.Timestamp(TODAY))
    assert sorted(found) == [90, 180, 270]
    day = TODAY - timedelta(days=270)
    is_day = (pd.to_datetime(rows["as_of_date"]) == pd.Timestamp(day)).to_numpy()
    direct = labels_at(orders, day, 270).set_index("customer_id")["net_revenue_in_horizon"]
    wanted = rows.loc[is_day, "customer_id"].map(direct).to_numpy()
    np.testing.assert_allclose(found[270][is_day], wanted, atol=1e-6)


def test_a_decay_that_sums_show_bends_the_growth_and_a_steady_rate_is_the_rule_without_a_rhythm() -> None:
    values = np.ones((200, len(schema.FEATURE_NAMES)))
    dates, no_rhythm = np.repeat([0.0, 90.0], 100), Rhythm(None, None, 90 / 7)

    def grown(second: float) -> Growth:
        first = np.full(200, 10.0)
        known = {90: first, 180: np.where(dates == 0, 10.0 + second, np.nan)}
        return fit_growth(known, first, values, dates, no_rhythm, newest=values, base=90, days=270)

    assert grown(10.0).factor == pytest.approx(3.0)
    assert grown(5.0).factor == pytest.approx(1 + 0.5 + 0.25, rel=1e-4)
    assert grown(30.0).factor == pytest.approx(3.0), "a season must not be drawn on for ever"


def test_the_interval_of_a_total_widens_with_what_was_never_seen(trained: Model) -> None:
    def width(days: int, history_days: float) -> float:
        row = ltv.totals(trained.model, {days: 1.0}, as_of_date=TODAY, customers=400, history_days=history_days).iloc[0]
        assert row["lower_total"] < 1 < row["upper_total"]
        return float(row["upper_total"] / row["lower_total"])

    assert width(90, 800) < width(90, 320) < width(90, 200)
    assert width(90, 800) < width(365, 800)
    assert width(90, 200) >= 4, "a season that was never seen may double or halve"
    no_warning = ltv.totals(trained.model, {90: 1.0}, as_of_date=TODAY, customers=400, history_days=800.0)
    assert no_warning["warning"].isna().all()


def test_totals_hold_what_came_after_at_most_dates(orders: pd.DataFrame, trained: Model) -> None:
    held = []
    for day in (TODAY, TODAY + timedelta(days=60)):
        scores = ltv.score(trained.model, features_at(orders, day), explain=False)
        for days in (30, 90):
            total = float(scores[f"expected_net_revenue_{days}d"].sum())
            history = float((day - OPENED).days)
            row = ltv.totals(trained.model, {days: total}, as_of_date=day, customers=len(scores), history_days=history)
            actual = labels_at(orders, day, days)["net_revenue_in_horizon"].sum()
            held.append(row["lower_total"].iloc[0] <= actual <= row["upper_total"].iloc[0])
    assert sum(held) >= 3


def test_customers_are_aged_by_what_they_did_since() -> None:
    values = np.full((2, len(schema.FEATURE_NAMES)), np.nan)
    wanted = {"order_day_count": 3.0, "mean_days_between_orders": 20.0, "recency_days": 10.0}
    for name, value in wanted.items():
        values[:, schema.FEATURE_NAMES.index(name)] = value
    orders: FloatArray = np.array([0.0, 2.0])
    later = history(aged(values, orders, 90))
    np.testing.assert_allclose(later.x, [2.0, 4.0])
    np.testing.assert_allclose(later.T * 7, [140.0, 140.0])
    np.testing.assert_allclose(later.t_x * 7, [40.0, 110.0])


def test_the_date_of_totals_is_that_of_the_scores(trained: Model) -> None:
    rows = ltv.totals(trained.model, {90: 5.0}, as_of_date=date(2025, 3, 1), customers=1, history_days=400.0)
    assert [*rows.columns, "model_version"] == list(schema.PREDICTIONS["ltv_totals"])
    assert rows["as_of_date"].iloc[0] == pd.Timestamp(2025, 3, 1)
