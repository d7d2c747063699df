"""Customer value: expected net revenue in the horizon after as_of_date, with an 80 % interval."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from ml import baselines, schema
from ml.boosting import BoostingParams, Grower
from ml.drift import histograms
from ml.evaluation import (
    interval_metrics,
    season_warnings,
    tweedie_deviance,
    unit_tweedie_deviances,
    value_metrics,
)
from ml.fingerprint import data_fingerprint
from ml.intervals import fit_intervals
from ml.ltv_model import LtvModel, blend, from_files
from ml.model import ModelCard, ModelError, ModelOptions, Reads, Trained
from ml.reasons import no_reasons
from ml.rhythm import fit_rhythm
from ml.schema import FloatArray
from ml.splits import Split, crossfit_folds, rows_on

__all__ = ["MODEL", "TABLE", "LtvModel", "LtvParams", "from_files", "losses", "score", "train"]

MODEL: Final = "ltv"
TABLE: Final = "ltv_scores"
PURPOSE: Final = "The net revenue expected of a customer within the horizon, so that spending on customers can follow what they bring."
LIMITS: Final = (
    "Only customers with an order are scored.",
    "Single customers vary widely around the expectation: use the interval, or sums over many customers.",
    "It is money in the reporting currency that the training rows had; after a change of currency, train again.",
)
LOSS: Final = "Tweedie deviance of what is bought"
HEADLINE: Final = ("mae", "spearman")
LOSS_POWER: Final = 1.5
INPUTS: Final = schema.FEATURE_NAMES
SMALLEST_BUYERS: Final = 20
EQUAL_UNLESS: Final = 0.01


@dataclass(frozen=True)
class LtvParams:
    """How LTV is trained; `tweedie_power` is between counts (1) and amounts (2), `tree_weights` are tried beside 0.5."""

    seed: int
    tweedie_power: float = LOSS_POWER
    tree_weights: tuple[float, ...] = (0.25, 0.75, 1.0)
    boosting: BoostingParams = field(default_factory=BoostingParams)


def reads(options: ModelOptions) -> Reads:
    """Feature rows of customers with labels."""
    return Reads("customers", options.ltv_horizons)


def params(options: ModelOptions) -> LtvParams:
    """The one configuration for all shops."""
    return LtvParams(seed=options.seed)


def train(
    rows: pd.DataFrame, split: Split, params: LtvParams, *, champion: LtvModel | None = None
) -> Trained[LtvModel]:
    """Train on the dates before the test, judge on the test date beside baselines, refit with all labelled dates.

    `rows` are features with labels, one per (customer_id, as_of_date). The metrics belong to the judged model; the
    model given back is the same recipe one date later. Raises ModelError where the rows cannot teach anything.
    """
    schema.check_rows(rows)
    rows = schema.ordered(rows_on(rows, *split.dates_before_test, split.test_date))
    before, test = rows_on(rows, *split.dates_before_test), rows_on(rows, split.test_date)
    judged = _fit(before, split, params)
    revenue = _revenue(test)
    predictions = {MODEL: judged.expected(schema.matrix(test)), **baselines.ltv(before, split, test)}
    lower, upper = judged.intervals.bounds(predictions[MODEL])
    warnings = season_warnings(rows["tenure_days"].max())
    metrics: dict[str, dict[str, Any]] = {n: value_metrics(revenue, p) for n, p in predictions.items()}
    metrics[MODEL] |= {"interval": interval_metrics(revenue, lower, upper), "warnings": warnings}
    model = _fit(rows, split.rolled_forward(), params)
    card = ModelCard(
        model=MODEL,
        train_dates=split.dates_before_test,
        test_date=split.test_date,
        horizon_days=split.horizon_days,
        train_rows=len(before),
        test_rows=len(test),
        features=INPUTS,
        parameters={**asdict(params), **_facts(model, params), "refit": split.refit_sentence()},
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

    `reason_codes` are the 3 largest contributions to the log of what the trees expect; without `explain` they are empty.
    """
    schema.check_features(features)
    values = schema.matrix(features)
    expected = model.expected(values)
    lower, upper = model.intervals.bounds(expected)
    reasons = model.reasons(values) if explain else no_reasons(features)
    keys = features[list(schema.KEYS)].reset_index(drop=True)
    return keys.assign(
        expected_net_revenue_90d=expected,
        lower_net_revenue_90d=lower,
        upper_net_revenue_90d=upper,
        reason_codes=reasons,
    )


def losses(model: LtvModel, rows: pd.DataFrame) -> FloatArray:
    """Tweedie deviance per labelled row, of a power that does not depend on how the model was trained."""
    bought = np.maximum(_revenue(rows), 0.0)
    return unit_tweedie_deviances(bought, model.expected(schema.matrix(rows)), LOSS_POWER)


def _fit(rows: pd.DataFrame, split: Split, params: LtvParams) -> LtvModel:
    """Early stopping, weights, level and intervals on customers kept apart, then one fit on all rows before the test.

    Trees learn what is bought (net revenue, or 0 where refunds prevail); the level is set so that totals are net.
    """
    _check_trainable(rows)
    values, revenue = schema.matrix(rows), _revenue(rows)
    bought = np.maximum(revenue, 0.0)
    newest = schema.matrix(rows_on(rows, split.calibration_date))
    rhythm = fit_rhythm(newest, horizon_days=split.horizon_days)
    objective = {"objective": "tweedie", "tweedie_variance_power": params.tweedie_power}
    grower = Grower(params.boosting, objective, schema.FEATURE_NAMES, params.seed)
    tree_count, raw = grower.grow_out_of_fold(values, bought, crossfit_folds(rows, split))
    known = ~np.isnan(raw)
    by_trees, by_rhythm = np.exp(raw[known]), rhythm.revenue(values[known])
    shares = _shares(by_trees, by_rhythm, revenue[known], params)
    intervals = fit_intervals(blend(by_trees, by_rhythm, *shares), revenue[known])
    return LtvModel(rhythm, grower.grow(values, bought, trees=tree_count), *shares, intervals)


def _shares(by_trees: FloatArray, by_rhythm: FloatArray, revenue: FloatArray, params: LtvParams) -> tuple[float, float]:
    """Factors for trees and rhythm: their weights, times what brings the total of each to the net total.

    Both weigh the same unless other weights lower the deviance by more than EQUAL_UNLESS: measured over quarters, the
    mean of both is the safest. The net total is taken as at least 1 % of the gross one: a shop that refunds everything
    still gets an expectation.
    """
    total = float(max(revenue.sum(), 0.01 * np.abs(revenue).sum()))
    tree_level = total / float(by_trees.sum())
    if not by_rhythm.sum() > 0:
        return tree_level, 0.0
    rhythm_level = total / float(by_rhythm.sum())
    bought = np.maximum(revenue, 0.0)
    mixes = {weight: (weight * tree_level, (1 - weight) * rhythm_level) for weight in (0.5, *params.tree_weights)}
    losses = {
        w: tweedie_deviance(bought, blend(by_trees, by_rhythm, *m), params.tweedie_power) for w, m in mixes.items()
    }
    best = min(losses, key=lambda weight: losses[weight])
    return mixes[best if losses[best] < losses[0.5] * (1 - EQUAL_UNLESS) else 0.5]


def _revenue(rows: pd.DataFrame) -> FloatArray:
    return rows["net_revenue_in_horizon"].to_numpy(dtype=np.float64)


def _check_trainable(rows: pd.DataFrame) -> None:
    revenue = _revenue(rows)
    buyers = int((revenue > 0).sum())
    if buyers < SMALLEST_BUYERS:
        raise ModelError(
            f"LTV cannot be learnt: of {len(rows)} training rows only {buyers} have revenue in the horizon, "
            f"{SMALLEST_BUYERS} are needed."
        )
    if not np.isfinite(revenue).all():
        raise ModelError("LTV cannot be learnt: net_revenue_in_horizon is infinite in some training rows.")
    if not schema.varies(schema.matrix(rows)):
        raise ModelError("LTV cannot be learnt: every feature has the same value in all training rows.")


def _facts(model: LtvModel, params: LtvParams) -> dict[str, Any]:
    return {
        "tree_weights": list(params.tree_weights),
        "trees_grown": model.trees.tree_count,
        "tree_share": model.tree_share,
        "rhythm_share": model.rhythm_share,
        "rhythm": model.rhythm.to_dict(),
        "target": "max(net revenue, 0) for the trees, level set to the net total",
    }
