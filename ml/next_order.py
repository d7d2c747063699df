"""Next order date: when a customer will order next, as chances, a date and the days that it probably lies between."""

from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd

from ml import schema
from ml.bgnbd import BgNbd, fit_bgnbd
from ml.boosting import BoostingParams, Grower
from ml.calibration import fit_calibration
from ml.drift import histograms
from ml.evaluation import churn_metrics, leak_warnings, season_warnings
from ml.fingerprint import data_fingerprint
from ml.linear import fit_logistic
from ml.model import ModelCard, ModelError, ModelOptions, Reads, Trained
from ml.next_order_baselines import baselines
from ml.next_order_model import (
    INPUT_NAMES,
    NextOrderModel,
    from_files,
    period_inputs,
    rhythm_log_odds,
)
from ml.reasons import no_reasons
from ml.rhythm import history
from ml.schema import FloatArray
from ml.splits import Fold, Split, crossfit_folds, customer_sample, rows_on
from ml.survival import (
    HORIZON_DAYS,
    PERIOD_ENDS,
    at_risk,
    brier_by_period,
    chance_by,
    concordance,
    date_metrics,
    day_of_share,
    interval_coverage,
)

__all__ = ["MODEL", "TABLE", "NextOrderModel", "NextOrderParams", "from_files", "losses", "score", "train"]

MODEL: Final = "next_order"
TABLE: Final = "next_orders"
PURPOSE: Final = "When a customer will probably order next, so that a message comes before that day and not after it, and stock is there."
LIMITS: Final = (
    "Only customers with an order are scored.",
    f"It looks {HORIZON_DAYS} days ahead: without an expected date an order is less likely than not by then, "
    "without a latest date it may well come later.",
    "Single orders come when they come: eight of ten fall between the earliest and the latest date, two do not.",
)
LOSS: Final = "Brier score over the ends of the periods"
HEADLINE: Final = ("integrated_brier", "concordance")
INPUTS: Final = schema.FEATURE_NAMES
EARLIEST, LATEST = 0.1, 0.9
SMALLEST_CLASS: Final = 20


@dataclass(frozen=True)
class NextOrderParams:
    """How the model is trained; `most_rows` rows (of customers drawn by a hash of their id) teach it, all are judged."""

    seed: int
    logistic_strength: float = 0.05
    tree_weight: float = 0.5
    most_rows: int = 20_000
    folds: int = 2
    boosting: BoostingParams = field(
        default_factory=lambda: BoostingParams(most_trees=100, learning_rate=0.15, patience=15)
    )


def reads(options: ModelOptions) -> Reads:
    """Feature rows of customers with labels of the horizon that it looks ahead."""
    return Reads("customers", (HORIZON_DAYS,))


def params(options: ModelOptions) -> NextOrderParams:
    """The one configuration for all shops."""
    return NextOrderParams(seed=options.seed)


def train(
    rows: pd.DataFrame, split: Split, params: NextOrderParams, *, champion: NextOrderModel | None = None
) -> Trained[NextOrderModel]:
    """Train on the dates before the test, judge on the test date beside rules, refit with all labelled dates.

    `rows` are features with labels, one per (customer_id, as_of_date); `days_to_next_order` is null where no order came.
    Raises ModelError where the rows cannot teach anything.
    """
    schema.check_rows(rows)
    rows = schema.ordered(rows_on(rows, *split.labelled_dates))
    before, test = rows_on(rows, *split.dates_before_test), rows_on(rows, split.test_date)
    judged = _fit(before, split, params)
    values, times = schema.matrix(test), _times(test)
    curves = {MODEL: judged.curves(values), **baselines(_times(before), judged.rhythm, values)}
    metrics = {name: _metrics(times, curve) for name, curve in curves.items()}
    leaks = leak_warnings(values, ~np.isnan(times), INPUTS)
    metrics[MODEL]["warnings"] = leaks + _better_rules(metrics) + season_warnings(rows["tenure_days"].max())
    model = _fit(rows, split.rolled_forward(), params)
    scores = score(model, rows[[*schema.KEYS, *INPUTS]], explain=False)
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
        reference=histograms(rows[list(INPUTS)].join(scores[["chance_of_order_30d", "chance_of_order_90d"]])),
        data_fingerprint=data_fingerprint(rows),
        seed=params.seed,
    )
    of_test = test[list(schema.KEYS)].assign(actual=times, **{n: 1.0 - c[:, -1] for n, c in curves.items()})
    return Trained(model, judged, card, of_test.reset_index(drop=True))


def score(model: NextOrderModel, features: pd.DataFrame, *, explain: bool = True) -> pd.DataFrame:
    """The columns of next_orders but model_version, one row per row of `features`, in its order.

    `expected_on` is the day by which half the chance lies; null where an order is less likely than not within 90 days.
    `reason_codes` are the 3 largest contributions to the log-odds of an order in weeks 3 and 4; without `explain` empty.
    """
    schema.check_features(features)
    values = schema.matrix(features)
    curves = model.curves(values)
    keys = features[list(schema.KEYS)].reset_index(drop=True)
    day = schema.keyed(keys)["as_of_date"]
    dates = {
        name: _date(day, day_of_share(curves, share))
        for name, share in (("expected_on", 0.5), ("earliest_on", EARLIEST), ("latest_on", LATEST))
    }
    return keys.assign(
        chance_of_order_30d=chance_by(curves, 30.0),
        chance_of_order_90d=chance_by(curves, 90.0),
        **dates,
        reason_codes=model.reasons(values) if explain else no_reasons(features),
    )


def losses(model: NextOrderModel, rows: pd.DataFrame) -> FloatArray:
    """Squared distance between the chance of an order by each period's end and the outcome, mean per labelled row."""
    return brier_by_period(_times(rows), model.curves(schema.matrix(rows)))


def _fit(rows: pd.DataFrame, split: Split, params: NextOrderParams) -> NextOrderModel:
    """Early stopping and calibration on customers kept apart, then one fit on all rows before the test."""
    newest = schema.matrix(rows_on(rows, split.calibration_date))
    rhythm = _rhythm(newest)
    rows = customer_sample(rows, params.most_rows)
    _check_trainable(rows)
    entries = at_risk(_times(rows))
    values = schema.matrix(rows)
    inputs = period_inputs(values, rhythm_log_odds(rhythm, values), entries.row, entries.period)
    happened = entries.happened.astype(np.float64)
    folds = [
        Fold(fold.seen[entries.row], fold.held[entries.row], fold.later[entries.row])
        for fold in crossfit_folds(rows, split)[: params.folds]
    ]
    grower = Grower(params.boosting, {"objective": "binary"}, INPUT_NAMES, params.seed)
    tree_count, raw = grower.grow_out_of_fold(inputs, happened, folds)
    for fold in folds:
        line = fit_logistic(inputs[fold.seen], entries.happened[fold.seen], strength=params.logistic_strength)
        raw[fold.held] *= params.tree_weight
        raw[fold.held] += (1 - params.tree_weight) * line.raw(inputs[fold.held])
    known = ~np.isnan(raw)
    calibration = fit_calibration(raw[known], entries.happened[known])
    trees = grower.grow(inputs, happened, trees=tree_count)
    line = fit_logistic(inputs, entries.happened, strength=params.logistic_strength)
    return NextOrderModel(rhythm, trees, line, params.tree_weight, calibration)


def _rhythm(values: FloatArray) -> BgNbd | None:
    """BG/NBD of the histories of one date; None where they do not allow a fit: the features do without it then."""
    try:
        return fit_bgnbd(history(values))
    except ModelError:
        return None


def _metrics(times: FloatArray, curves: FloatArray) -> dict[str, Any]:
    came = ~np.isnan(times)
    by_horizon, by_month = 1.0 - curves[:, -1], chance_by(curves, 30.0)
    ordered = churn_metrics(came, by_horizon, threshold=0.5)
    in_month = churn_metrics(came & (np.nan_to_num(times) < 30.0), by_month, threshold=0.5)
    days = [day_of_share(curves, share) for share in (0.5, EARLIEST, LATEST)]
    names = ("rows", "base_rate", "roc_auc", "brier", "ece", "calibration_table")
    return {
        **{name: ordered[name] for name in names},
        "integrated_brier": float(brier_by_period(times, curves).mean()),
        "concordance": concordance(times, 1.0 - curves.mean(axis=1)),
        **{f"{name}_30d": in_month[name] for name in ("roc_auc", "brier", "ece")},
        **date_metrics(times, days[0]),
        "interval": interval_coverage(times, days[1], days[2], curves),
    }


def _better_rules(metrics: dict[str, dict[str, Any]]) -> list[str]:
    """A sentence per rule that was better on the test date than the model."""
    own = metrics[MODEL]["integrated_brier"]
    return [
        f"On the test date the rule {name} had a lower loss ({found['integrated_brier']:.4f}) than the model ({own:.4f})."
        for name, found in metrics.items()
        if found["integrated_brier"] < own
    ]


def _date(day: pd.Series, days: FloatArray) -> pd.Series:
    return day + pd.to_timedelta(np.floor(days), unit="D")


def _times(rows: pd.DataFrame) -> FloatArray:
    return np.asarray(pd.to_numeric(rows["days_to_next_order"]).to_numpy(dtype=np.float64, na_value=np.nan))


def _check_trainable(rows: pd.DataFrame) -> None:
    came = int((~np.isnan(_times(rows))).sum())
    rarer, name = min((came, "ordered"), (len(rows) - came, "did not order"))
    if rarer < SMALLEST_CLASS:
        raise ModelError(
            f"Next orders cannot be learnt: of {len(rows)} training rows only {rarer} {name} within {HORIZON_DAYS} days, "
            f"{SMALLEST_CLASS} are needed."
        )
    if not schema.varies(schema.matrix(rows)):
        raise ModelError("Next orders cannot be learnt: every feature has the same value in all training rows.")


def _facts(model: NextOrderModel) -> dict[str, Any]:
    return {
        "trees_grown": model.trees.tree_count,
        "calibration": model.calibration.method,
        "rhythm": asdict(model.rhythm) if model.rhythm else None,
        "period_ends": list(PERIOD_ENDS),
    }
