"""Metrics: each takes arrays of one length and returns a number, a table (list of rows) or a dict of both."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata
from sklearn.metrics import (
    average_precision_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from ml.schema import FloatArray

BoolArray = npt.NDArray[np.bool_]
TOO_GOOD: Final = 0.95
LEAK: Final = "look for a leak"
"""What every warning of a suspected leak says, after the name of its column: the gate does not promote on its own then."""
FULL_YEAR: Final = 365


def churn_metrics(actual: BoolArray, probability: FloatArray, *, threshold: float) -> dict[str, Any]:
    """Accuracy, precision, recall, F1 at `threshold`, ROC-AUC, PR-AUC, Brier, ECE (10 bins), the calibration table.

    ROC-AUC and PR-AUC are None where only one class occurs.
    """
    predicted = probability >= threshold
    precision, recall, f1, _ = precision_recall_fscore_support(actual, predicted, average="binary", zero_division=0.0)
    has_both = 0 < actual.sum() < len(actual)
    return {
        "rows": len(actual),
        "base_rate": float(actual.mean()),
        "threshold": threshold,
        "accuracy": float((predicted == actual).mean()),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(f1),
        "roc_auc": float(roc_auc_score(actual, probability)) if has_both else None,
        "pr_auc": float(average_precision_score(actual, probability)) if has_both else None,
        "brier": brier(actual, probability),
        "ece": expected_calibration_error(actual, probability),
        "mean_probability": float(probability.mean()),
        "calibration_table": calibration_table(actual, probability),
    }


def leak_warnings(values: FloatArray, actual: BoolArray, names: Sequence[str]) -> list[str]:
    """One sentence per column that tells the outcome almost alone: it probably looks past as_of_date."""
    if not 0 < actual.sum() < len(actual):
        return []
    found = []
    for name, column in zip(names, values.T, strict=True):
        auc = float(roc_auc_score(actual, np.nan_to_num(column)))
        if max(auc, 1 - auc) >= TOO_GOOD:
            found.append(f"{name} alone tells the outcome (ROC-AUC {max(auc, 1 - auc):.3f}): {LEAK} in it.")
    return found


def too_good(roc_auc: float | None) -> list[str]:
    """A sentence where a model tells the outcome almost perfectly: several of its features together probably look ahead."""
    if roc_auc is None or roc_auc < TOO_GOOD:
        return []
    return [
        f"The model tells churners apart almost perfectly (ROC-AUC {roc_auc:.3f}): look for a leak in its features."
    ]


def season_warnings(longest_tenure: float) -> list[str]:
    """A sentence where the longest tenure, in days, is under a year: the model has never seen every season."""
    if longest_tenure >= FULL_YEAR:
        return []
    return [
        f"Less than a year of history ({longest_tenure:.0f} days): a season was never seen, scores may be far off in it."
    ]


def brier(actual: BoolArray, probability: FloatArray) -> float:
    """Mean squared distance between probability and outcome (Brier 1950); 0 is perfect."""
    return float(np.mean((probability - actual) ** 2))


def calibration_table(actual: BoolArray, probability: FloatArray, *, bins: int = 10) -> list[dict[str, float]]:
    """One row per equally wide probability bin that holds rows: bounds, rows, mean probability, observed rate."""
    index = np.clip((probability * bins).astype(np.int64), 0, bins - 1)
    return [
        {
            "from": chosen / bins,
            "to": (chosen + 1) / bins,
            "rows": int((index == chosen).sum()),
            "mean_probability": float(probability[index == chosen].mean()),
            "observed_rate": float(actual[index == chosen].mean()),
        }
        for chosen in np.unique(index).tolist()
    ]


def expected_calibration_error(actual: BoolArray, probability: FloatArray, *, bins: int = 10) -> float:
    """Mean distance of probability and observed rate over equally wide bins, weighted by rows (Guo et al. 2017)."""
    table = calibration_table(actual, probability, bins=bins)
    return sum(row["rows"] * abs(row["mean_probability"] - row["observed_rate"]) for row in table) / len(actual)


def value_metrics(actual: FloatArray, predicted: FloatArray) -> dict[str, Any]:
    """MAE, RMSE, R2, MAPE over positive outcomes, Spearman, normalised Gini, decile lift and table, and total bias.

    Units are those of the input (money); `total_bias` is predicted / actual total - 1, None where there is no total.
    """
    error = predicted - actual
    spread = float(((actual - actual.mean()) ** 2).sum())
    positive = actual > 0
    total = float(actual.sum())
    return {
        "rows": len(actual),
        "mae": float(np.abs(error).mean()),
        "rmse": float(np.sqrt((error**2).mean())),
        "r2": 1.0 - float((error**2).sum()) / spread if spread > 0 else None,
        "mape_positive": float((np.abs(error[positive]) / actual[positive]).mean()) if positive.any() else None,
        "spearman": spearman(actual, predicted),
        "normalised_gini": normalised_gini(actual, predicted),
        "top_decile_lift": top_decile_lift(actual, predicted),
        "actual_total": total,
        "predicted_total": float(predicted.sum()),
        "total_bias": float(predicted.sum()) / total - 1.0 if total > 0 else None,
        "decile_table": decile_table(actual, predicted),
    }


def spearman(actual: FloatArray, predicted: FloatArray) -> float | None:
    """Rank correlation, ties at their mean rank; None where one side is constant."""
    return _correlation(rankdata(actual), rankdata(predicted))


def normalised_gini(actual: FloatArray, predicted: FloatArray) -> float | None:
    """Gini of the outcome in the order of the prediction over that in its own order (arXiv 1912.07753); mean ranks."""
    best = _covariance(actual, rankdata(actual))
    return _covariance(actual, rankdata(predicted)) / best if best > 0 else None


def top_decile_lift(actual: FloatArray, predicted: FloatArray) -> float | None:
    """Mean outcome of the tenth with the highest predictions over the mean of all."""
    mean = float(actual.mean())
    top = np.argsort(-predicted, kind="stable")[: max(1, len(actual) // 10)]
    return float(actual[top].mean()) / mean if mean > 0 else None


def decile_table(actual: FloatArray, predicted: FloatArray) -> list[dict[str, float]]:
    """One row per tenth of the rows by prediction, highest first: rows, mean prediction, mean outcome."""
    parts = np.array_split(np.argsort(-predicted, kind="stable"), 10)
    return [
        {
            "decile": decile,
            "rows": len(part),
            "mean_predicted": float(predicted[part].mean()),
            "mean_actual": float(actual[part].mean()),
        }
        for decile, part in enumerate(parts, start=1)
        if len(part)
    ]


def interval_metrics(actual: FloatArray, lower: FloatArray, upper: FloatArray) -> dict[str, float]:
    """Share of outcomes inside [lower, upper], shares below and above, and the mean width in the outcome's unit."""
    return {
        "coverage": float(((actual >= lower) & (actual <= upper)).mean()),
        "below": float((actual < lower).mean()),
        "above": float((actual > upper).mean()),
        "mean_width": float((upper - lower).mean()),
    }


def _covariance(left: FloatArray, right: FloatArray) -> float:
    return float(((left - left.mean()) * (right - right.mean())).mean())


def _correlation(left: FloatArray, right: FloatArray) -> float | None:
    scale = float(left.std() * right.std())
    return _covariance(left, right) / scale if scale > 0 else None


def tweedie_deviance(actual: FloatArray, predicted: FloatArray, power: float) -> float:
    """Mean Tweedie deviance up to terms of the outcome alone, 1 < power < 2, outcomes >= 0; the mean minimises it."""
    return float(_tweedie_terms(actual, predicted, power).mean())


def unit_tweedie_deviances(actual: FloatArray, predicted: FloatArray, power: float) -> FloatArray:
    """Tweedie deviance per row, 0 where the prediction is the outcome; 1 < power < 2, outcomes >= 0."""
    perfect = actual ** (2 - power) * (1 / (power - 1) + 1 / (2 - power))
    return 2 * (_tweedie_terms(actual, predicted, power) - perfect)


def _tweedie_terms(actual: FloatArray, predicted: FloatArray, power: float) -> FloatArray:
    return np.asarray(-actual * predicted ** (1 - power) / (1 - power) + predicted ** (2 - power) / (2 - power))
