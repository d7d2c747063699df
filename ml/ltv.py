"""Customer value: expected net revenue in several horizons after as_of_date, with 80 % intervals of customers and of totals."""

from dataclasses import asdict
from datetime import date
from typing import Any, Final

import numpy as np
import pandas as pd

from ml import baselines, schema
from ml.drift import histograms
from ml.evaluation import interval_metrics, season_warnings, unit_tweedie_deviances, value_metrics
from ml.fingerprint import data_fingerprint
from ml.ltv_fit import LtvParams, fit, revenue_of
from ml.ltv_judge import judge_total, judged_further
from ml.ltv_model import MEMBERS, LtvModel, from_files
from ml.model import ModelCard, ModelOptions, Reads, Trained
from ml.reasons import no_reasons
from ml.schema import FloatArray
from ml.splits import Split, rows_on
from ml.totals import RULE, total_rows

__all__ = ["MODEL", "TABLE", "LtvModel", "LtvParams", "from_files", "losses", "score", "totals", "train"]

MODEL: Final = "ltv"
TABLE: Final = "ltv_scores"
PURPOSE: Final = "The net revenue expected of a customer within each horizon, so that spending on customers can follow what they bring."
LIMITS: Final = (
    "Only customers with an order are scored.",
    "Single customers vary widely around the expectation: use the interval, or sums over many customers.",
    "A sum over all customers is less certain than its customers: what they share (a season, a trend) does not cancel out. "
    "Its interval stands in ltv_totals.",
    "It is money in the reporting currency that the training rows had; after a change of currency, train again.",
)
LOSS: Final = "Tweedie deviance of what is bought"
HEADLINE: Final = ("mae", "spearman")
LOSS_POWER: Final = 1.5
INPUTS: Final = schema.FEATURE_NAMES
BASE_DAYS: Final = 90
"""The horizon that is learnt from all dates; the others are grown from it (see `ml.growth`)."""


def reads(options: ModelOptions) -> Reads:
    """Feature rows of customers with labels of the base horizon and, where they have passed, of the others."""
    return Reads("customers", (BASE_DAYS, *(days for days in options.ltv_horizons if days != BASE_DAYS)))


def params(options: ModelOptions) -> LtvParams:
    """The one configuration for all shops."""
    return LtvParams(seed=options.seed, horizons=options.ltv_horizons)


def train(
    rows: pd.DataFrame, split: Split, params: LtvParams, *, champion: LtvModel | None = None
) -> Trained[LtvModel]:
    """Train on the dates before the test, judge on the test date beside baselines, refit with all labelled dates.

    `rows` are features with labels, one per (customer_id, as_of_date). The metrics belong to the judged model; the
    model given back is the same recipe one date later. Raises ModelError where the rows cannot teach anything.
    """
    schema.check_rows(rows)
    rows = schema.ordered(rows[schema.keyed(rows)["as_of_date"] <= pd.Timestamp(split.test_date)])
    before, test = rows_on(rows, *split.dates_before_test), rows_on(rows, split.test_date)
    judged = fit(before, split, params)
    revenue = revenue_of(test)
    expected = judged.expected(schema.matrix(test))
    _, lower, upper = judged.within(split.horizon_days, expected)
    predictions = {MODEL: expected, **baselines.ltv(before, split, test)}
    metrics: dict[str, dict[str, Any]] = {n: value_metrics(revenue, p) for n, p in predictions.items()}
    metrics[MODEL] |= {
        "interval": interval_metrics(revenue, lower, upper),
        "total_interval": judge_total(judged, test, split.horizon_days),
        "further_horizons": judged_further(rows, split, params),
        "warnings": season_warnings(rows["tenure_days"].max()),
    }
    model = fit(rows, _refit_split(rows, split), params)
    card = ModelCard(
        model=MODEL,
        train_dates=split.dates_before_test,
        test_date=split.test_date,
        horizon_days=split.horizon_days,
        train_rows=len(before),
        test_rows=len(test),
        features=INPUTS,
        parameters={**asdict(params), **_facts(model), "refit": split.refit_sentence()},
        metrics=metrics.pop(MODEL),
        baseline_metrics=metrics,
        reference=histograms(rows[list(INPUTS)].assign(expected_net_revenue_90d=model.expected(schema.matrix(rows)))),
        data_fingerprint=data_fingerprint(rows),
        seed=params.seed,
    )
    scores = test[list(schema.KEYS)].assign(actual=revenue, lower=lower, upper=upper, **predictions)
    return Trained(model, judged, card, scores.reset_index(drop=True))


def score(model: LtvModel, features: pd.DataFrame, *, explain: bool = True) -> pd.DataFrame:
    """The columns of ltv_scores but model_version, one row per row of `features`, in its order; money in its unit.

    Each horizon H of the model has expected_, lower_ and upper_net_revenue_{H}d. `reason_codes` are the 3 largest
    contributions to the log of what the trees expect; without `explain` they are empty.
    """
    schema.check_features(features)
    values = schema.matrix(features)
    base = model.expected(values)
    scores = features[list(schema.KEYS)].reset_index(drop=True)
    for days in model.horizons:
        names = schema.value_columns(days)
        scores = scores.assign(**dict(zip(names, model.within(days, base), strict=True)))
    return scores.assign(reason_codes=model.reasons(values) if explain else no_reasons(features))


def totals(
    model: LtvModel, expected: dict[int, float], *, as_of_date: date, customers: int, history_days: float
) -> pd.DataFrame:
    """The columns of ltv_totals but model_version, one row per horizon of the model that `expected` has the total of.

    `history_days` is how long ago the first order was.
    """
    growths = {days: horizon.growth for days, horizon in model.horizons.items() if days in expected}
    rows = total_rows(growths, model.spread, expected, customers=customers, history_days=history_days)
    rows.insert(0, "as_of_date", pd.Timestamp(as_of_date))
    return rows


def losses(model: LtvModel, rows: pd.DataFrame) -> FloatArray:
    """Tweedie deviance per labelled row, of a power that does not depend on how the model was trained."""
    bought = np.maximum(revenue_of(rows), 0.0)
    return unit_tweedie_deviances(bought, model.expected(schema.matrix(rows)), LOSS_POWER)


def _refit_split(rows: pd.DataFrame, split: Split) -> Split:
    """The scoring model learns from every labelled date and is calibrated on the newest, which was the test."""
    dates = sorted({day.date() for day in rows["as_of_date"]})
    return Split(
        tuple(day for day in dates if day < split.test_date), split.test_date, split.test_date, split.horizon_days
    )


def _facts(model: LtvModel) -> dict[str, Any]:
    return {
        "horizons": list(model.horizons),
        "hidden": list(model.hidden),
        "trees_grown": model.trees.tree_count,
        "shares": dict(zip(MEMBERS, model.shares, strict=True)),
        "rhythm": model.rhythm.to_dict(),
        "growth": {str(days): horizon.growth.to_dict() for days, horizon in model.horizons.items()},
        "total_spread": {**model.spread.to_dict(), "rule": RULE},
        "target": "max(net revenue, 0) for trees and regression, level set to the net total",
    }
