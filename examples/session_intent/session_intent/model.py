"""Session purchase intent: the probability that a session ends in a purchase, while it still goes on."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.boosting import BoostingParams, Grower, Trees
from ml.calibration import Calibration, calibration_from_dict, fit_calibration
from ml.drift import histograms
from ml.evaluation import churn_metrics
from ml.fingerprint import data_fingerprint
from ml.leaks import overshadowing
from ml.linear import fit_logistic
from ml.model import ModelCard, ModelError, ModelOptions, Reads, Trained
from ml.reasons import reason_codes
from ml.schema import FloatArray
from ml.splits import CALIBRATION_FOLDS, Fold, Split, customer_folds, rows_on
from session_intent.columns import FEATURES, MONTH, NAMES, PAGE_VALUE, matrix

MODEL: Final = "session_intent"
TABLE: Final = "session_intent_scores"
COLUMNS: Final = {
    "session_id": "VARCHAR",
    "as_of_date": "DATE",
    "purchase_probability": "FLOAT8",
    "reason_codes": "JSON",
    "model_version": "VARCHAR",
}
PURPOSE: Final = (
    "How likely a session is to end in a purchase, so that those who hesitate can be helped while they are there."
)
LIMITS: Final = (
    "Learnt from sessions of one shop and one year; months are the finest dates it has.",
    "It says who is likely to buy, not whom an offer would bring to buy.",
)
LOSS: Final = "Brier score"
HEADLINE: Final = ("roc_auc", "brier")
INPUTS: Final = NAMES
SMALLEST_CLASS: Final = 20

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SessionParams:
    """How it is trained; `inputs` is what it reads of a session."""

    seed: int
    threshold: float = 0.5
    inputs: tuple[str, ...] = INPUTS
    boosting: BoostingParams = field(default_factory=BoostingParams)


@dataclass(frozen=True)
class SessionModel:
    """Boosted trees and the calibration of what they say."""

    trees: Trees
    calibration: Calibration
    inputs: tuple[str, ...]

    def probability(self, rows: pd.DataFrame) -> FloatArray:
        """Calibrated probability of a purchase per row."""
        return self.calibration.probability(self.trees.raw(matrix(rows, self.inputs)))

    def to_files(self) -> dict[str, bytes]:
        """LightGBM's text and one JSON of numbers."""
        numbers = {"calibration": self.calibration.to_dict(), "inputs": list(self.inputs)}
        return {"trees.txt": self.trees.text.encode(), "model.json": json.dumps(numbers, sort_keys=True).encode()}


def from_files(files: dict[str, bytes]) -> SessionModel:
    """The inverse of `SessionModel.to_files`."""
    numbers = json.loads(files["model.json"])
    calibration = calibration_from_dict(numbers["calibration"])
    return SessionModel(Trees(files["trees.txt"].decode()), calibration, tuple(numbers["inputs"]))


def reads(options: ModelOptions) -> Reads:
    """Sessions; their outcome is known the day after."""
    return Reads("sessions", (1,))


def params(options: ModelOptions) -> SessionParams:
    """The one configuration for all shops."""
    return SessionParams(seed=options.seed)


def train(
    rows: pd.DataFrame, split: Split, params: SessionParams, *, champion: SessionModel | None = None
) -> Trained[SessionModel]:
    """Train on the months before the newest, judge on the newest beside baselines, refit with it among the rows.

    `rows` are ended sessions: `columns.COLUMNS` with as_of_date, the last day of the month. Raises ModelError.
    """
    rows = rows_on(rows, *split.dates_before_test, split.test_date).sort_values("session_id", ignore_index=True)
    before, test = rows_on(rows, *split.dates_before_test), rows_on(rows, split.test_date)
    judged, bought = fit(before, params), _bought(test)
    chances = {MODEL: judged.probability(test), **_baselines(before, test, params)}
    metrics = {name: churn_metrics(bought, chance, threshold=params.threshold) for name, chance in chances.items()}
    metrics[MODEL]["warnings"] = overshadowing(
        (matrix(before, params.inputs), _bought(before)), (matrix(test, params.inputs), bought), params.inputs
    )
    model = fit(rows, params)
    card = ModelCard(
        model=MODEL,
        train_dates=split.dates_before_test,
        test_date=split.test_date,
        horizon_days=split.horizon_days,
        train_rows=len(before),
        test_rows=len(test),
        features=params.inputs,
        parameters={**asdict(params), "trees_grown": model.trees.tree_count, "refit": split.refit_sentence()},
        metrics=metrics.pop(MODEL),
        baseline_metrics=metrics,
        reference=histograms(rows[list(params.inputs)].assign(purchase_probability=model.probability(rows))),
        data_fingerprint=data_fingerprint(rows),
        seed=params.seed,
    )
    scores = test[["session_id", "as_of_date"]].assign(actual=bought, **chances)
    return Trained(model, judged, card, scores.reset_index(drop=True))


def score(model: SessionModel, features: pd.DataFrame) -> pd.DataFrame:
    """The columns of session_intent_scores but model_version, one row per session, in its order."""
    values = matrix(features, model.inputs)
    words = tuple(feature for feature in (*FEATURES, MONTH, PAGE_VALUE) if feature.name in model.inputs)
    reasons = reason_codes(
        values, model.trees.contributions(values)[:, :-1], features=words, outcome="the chance of a purchase"
    )
    keys = features[["session_id", "as_of_date"]].reset_index(drop=True)
    return keys.assign(purchase_probability=model.probability(features), reason_codes=reasons)


def losses(model: SessionModel, rows: pd.DataFrame) -> FloatArray:
    """Squared distance between probability and outcome per ended session."""
    return np.asarray((model.probability(rows) - _bought(rows)) ** 2)


def fit(rows: pd.DataFrame, params: SessionParams) -> SessionModel:
    """Early stopping and calibration on sessions kept apart, then one fit on all rows."""
    bought = _bought(rows)
    rarer = int(min(bought.sum(), (~bought).sum()))
    if rarer < SMALLEST_CLASS:
        raise ModelError(
            f"Purchase intent cannot be learnt: of {len(rows)} sessions the rarer outcome has {rarer}, {SMALLEST_CLASS} are needed."
        )
    values, target = matrix(rows, params.inputs), bought.astype(np.float64)
    grower = Grower(params.boosting, {"objective": "binary"}, params.inputs, params.seed)
    # By session and not by month: months differ in how many buy, and trees that are stopped and calibrated on another
    # level than the one they are grown on would carry the difference twice (calibration error .10 and not .06).
    fold = customer_folds(rows["session_id"])
    folds = [Fold(fold != held, fold == held, fold == held) for held in range(CALIBRATION_FOLDS)]
    trees, raw = grower.grow_out_of_fold(values, target, folds)
    known = ~np.isnan(raw)
    calibration = fit_calibration(raw[known], bought[known])
    return SessionModel(grower.grow(values, target, trees=trees), calibration, params.inputs)


def _baselines(before: pd.DataFrame, test: pd.DataFrame, params: SessionParams) -> dict[str, Any]:
    bought = _bought(before)
    line = fit_logistic(matrix(before, params.inputs), bought, strength=1.0)
    return {
        "base_rate": np.full(len(test), float(bought.mean())),
        "logistic_regression": 1 / (1 + np.exp(-line.raw(matrix(test, params.inputs)))),
    }


def _bought(rows: pd.DataFrame) -> BoolArray:
    return np.asarray(rows["has_purchased"].to_numpy(dtype=bool))
