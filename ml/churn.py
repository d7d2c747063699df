"""Churn: the probability that a customer places no order within the horizon after as_of_date."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml import baselines, schema
from ml.boosting import BoostingParams, Grower
from ml.calibration import fit_calibration
from ml.churn_model import INPUT_NAMES, ChurnModel, churn_inputs, from_files
from ml.contacting import Economics, choose_threshold
from ml.drift import histograms
from ml.evaluation import churn_metrics, leak_warnings, season_warnings, too_good
from ml.fingerprint import data_fingerprint
from ml.linear import fit_logistic
from ml.model import ModelCard, ModelError, ModelOptions, Reads, Trained
from ml.reasons import no_reasons
from ml.rhythm import fit_rhythm
from ml.schema import FloatArray
from ml.splits import Fold, Split, crossfit_folds, rows_on

__all__ = ["MODEL", "TABLE", "ChurnModel", "ChurnParams", "from_files", "losses", "score", "train"]

MODEL: Final = "churn"
TABLE: Final = "churn_scores"
PURPOSE: Final = (
    "How likely a customer is to place no order within the horizon, so that those worth keeping can be reached in time."
)
LIMITS: Final = (
    "Only customers with an order are scored; it says nothing of visitors who never bought.",
    "It says who is likely to stay away, not whom a message would win back.",
)
LOSS: Final = "Brier score"
HEADLINE: Final = ("roc_auc", "brier")
INPUTS: Final = schema.FEATURE_NAMES
SMALLEST_CLASS: Final = 20


@dataclass(frozen=True)
class ChurnParams:
    """How churn is trained; `economics` set the probability from which reaching a customer pays."""

    seed: int
    economics: Economics = field(default_factory=Economics)
    logistic_strength: float = 0.05
    tree_weight: float = 0.5
    # Over ten splits of two real shops and a made-up one, fewer features a tree gave a little better AUC and Brier on each.
    boosting: BoostingParams = field(default_factory=lambda: BoostingParams(feature_share=0.4))


def reads(options: ModelOptions) -> Reads:
    """Feature rows of customers with labels."""
    return Reads("customers", (options.churn_horizon,))


def params(options: ModelOptions) -> ChurnParams:
    """The one configuration for all shops."""
    return ChurnParams(seed=options.seed, economics=options.economics)


def train(
    rows: pd.DataFrame, split: Split, params: ChurnParams, *, champion: ChurnModel | None = None
) -> Trained[ChurnModel]:
    """Train on the dates before the test, judge on the test date beside baselines, refit on all labelled dates.

    `rows` are features with labels, one per (customer_id, as_of_date). The metrics belong to the judged model; the
    model given back is the same recipe on all rows. Raises ModelError where the rows cannot teach anything.
    """
    schema.check_rows(rows)
    rows = schema.ordered(rows_on(rows, *split.labelled_dates))
    before, test = rows_on(rows, *split.dates_before_test), rows_on(rows, split.test_date)
    judged = _fit(before, split, params)
    churned = _churned(test)
    predictions = {MODEL: judged.probability(schema.matrix(test)), **baselines.churn(before, split, test)}
    metrics = {name: _metrics(judged, churned, chances) for name, chances in predictions.items()}
    leaks = leak_warnings(schema.matrix(test), churned, INPUTS) + too_good(metrics[MODEL]["roc_auc"])
    metrics[MODEL]["warnings"] = leaks + season_warnings(rows["tenure_days"].max())
    model = _fit(rows, split.rolled_forward(), params)
    card = ModelCard(
        model=MODEL,
        train_dates=split.dates_before_test,
        test_date=split.test_date,
        horizon_days=split.horizon_days,
        train_rows=len(before),
        test_rows=len(test),
        features=INPUTS,
        parameters={**asdict(params), **_facts(model, rows), "refit": split.refit_sentence()},
        metrics=metrics.pop(MODEL),
        baseline_metrics=metrics,
        reference=histograms(rows[list(INPUTS)].assign(churn_probability=model.probability(schema.matrix(rows)))),
        data_fingerprint=data_fingerprint(rows),
        seed=params.seed,
    )
    scores = test[list(schema.KEYS)].assign(actual=churned, **predictions).reset_index(drop=True)
    return Trained(model, judged, card, scores)


def score(model: ChurnModel, features: pd.DataFrame, *, explain: bool = True) -> pd.DataFrame:
    """The columns of churn_scores but model_version, one row per row of `features`, in its order.

    `reason_codes` are the 3 largest contributions to the log-odds before calibration; without `explain` they are empty.
    """
    schema.check_features(features)
    values = schema.matrix(features)
    keys = features[list(schema.KEYS)].reset_index(drop=True)
    reasons = model.reasons(values) if explain else no_reasons(features)
    chances = model.probability(values)
    return keys.assign(churn_probability=chances, is_at_risk=model.contacting.is_at_risk(chances), reason_codes=reasons)


def losses(model: ChurnModel, rows: pd.DataFrame) -> FloatArray:
    """Squared distance between probability and outcome per labelled row."""
    return np.asarray((model.probability(schema.matrix(rows)) - _churned(rows)) ** 2)


def _fit(rows: pd.DataFrame, split: Split, params: ChurnParams) -> ChurnModel:
    """Early stopping and calibration on customers kept apart, then one fit on all rows before the test."""
    _check_trainable(rows)
    values, churned = schema.matrix(rows), _churned(rows)
    newest = schema.matrix(rows_on(rows, split.calibration_date))
    rhythm = fit_rhythm(newest, horizon_days=split.horizon_days)
    inputs, folds = churn_inputs(rhythm, values), crossfit_folds(rows, split)
    grower = Grower(params.boosting, {"objective": "binary"}, INPUT_NAMES, params.seed)
    tree_count, _ = grower.grow_out_of_fold(inputs, churned.astype(np.float64), folds)
    # Calibrated on members that know every date, as those that score do: members that have not seen the newest date sit on
    # an older level, and mending that would push those that score beyond theirs (Online Retail: ECE .064, not .079).
    trees_raw = grower.raw_of_unseen(inputs, churned.astype(np.float64), folds, trees=tree_count)
    line_raw = _line_of_unseen(inputs, churned, folds, params)
    raw = params.tree_weight * trees_raw + (1 - params.tree_weight) * line_raw
    known = ~np.isnan(raw)
    # Calibrated over all dates: the level of one date is the level of one season (Online Retail: ECE .076, not .124).
    calibration = fit_calibration(raw[known], churned[known])
    revenue = rows["net_revenue_in_horizon"].to_numpy(dtype=np.float64)[known]
    contacting = choose_threshold(calibration.probability(raw[known]), churned[known], revenue, params.economics)
    trees = grower.grow(inputs, churned.astype(np.float64), trees=tree_count)
    line = fit_logistic(inputs, churned, strength=params.logistic_strength)
    return ChurnModel(rhythm, trees, line, params.tree_weight, calibration, contacting)


def _line_of_unseen(
    inputs: FloatArray, churned: npt.NDArray[np.bool_], folds: list[Fold], params: ChurnParams
) -> FloatArray:
    raw = np.full(len(inputs), np.nan)
    for fold in folds:
        if len(np.unique(churned[~fold.held])) > 1:
            line = fit_logistic(inputs[~fold.held], churned[~fold.held], strength=params.logistic_strength)
            raw[fold.held] = line.raw(inputs[fold.held])
    return raw


def _churned(rows: pd.DataFrame) -> npt.NDArray[np.bool_]:
    return np.asarray(rows["has_churned"].to_numpy(dtype=bool))


def _check_trainable(rows: pd.DataFrame) -> None:
    odd = int((_churned(rows) == (rows["order_count_in_horizon"].to_numpy() > 0)).sum())
    if odd:
        raise ModelError(
            f"Churn cannot be learnt: in {odd} of {len(rows)} training rows has_churned contradicts order_count_in_horizon."
        )
    churned = int(_churned(rows).sum())
    rarer, name = min((churned, "churned"), (len(rows) - churned, "stayed"))
    if rarer < SMALLEST_CLASS:
        raise ModelError(
            f"Churn cannot be learnt: of {len(rows)} training rows only {rarer} {name}, {SMALLEST_CLASS} are needed."
        )
    if not schema.varies(schema.matrix(rows)):
        raise ModelError("Churn cannot be learnt: every feature has the same value in all training rows.")


def _metrics(judged: ChurnModel, churned: npt.NDArray[np.bool_], chances: FloatArray) -> dict[str, Any]:
    """Metrics at the judged model's threshold (none at risk: nobody reaches 1), and what acting on it would have earned."""
    threshold = judged.contacting.threshold
    found = churn_metrics(churned, chances, threshold=1.0 if threshold is None else threshold)
    return found | judged.contacting.metrics(churned, chances)


def _facts(model: ChurnModel, rows: pd.DataFrame) -> dict[str, Any]:
    shares = rows.groupby("as_of_date")["has_churned"].mean()
    threshold = model.contacting.threshold
    return {
        "trees_grown": model.trees.tree_count,
        "calibration": model.calibration.method,
        "rhythm": model.rhythm.to_dict(),
        "class_balance": {f"churned of {day:%Y-%m-%d}": round(float(share), 4) for day, share in shares.items()},
        "class_weights": "none: probabilities keep the base rate",
        "threshold": "reaching anybody costs more than it earns" if threshold is None else threshold,
        "worth_of_a_kept_customer_by_tenth_of_risk": [round(worth, 2) for worth in model.contacting.worths],
    }
