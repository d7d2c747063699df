"""What a model must beat: simple rules, fitted on the same rows and judged on the same test rows."""

from typing import Final

import numpy as np
import pandas as pd
from scipy.special import expit
from scipy.stats import rankdata

from ml import schema
from ml.clustering import IntArray
from ml.linear import fit_logistic, fit_tweedie
from ml.ltv_model import money
from ml.rhythm import Rhythm, fit_rhythm
from ml.schema import FloatArray
from ml.splits import Split, rows_on

RECENCY_GROUPS: Final = 10


def churn(before: pd.DataFrame, split: Split, test: pd.DataFrame) -> dict[str, FloatArray]:
    """Chance of churn per test row by: the base rate, recency alone, logistic regression, BG/NBD (where it fits)."""
    churned = before["has_churned"].to_numpy(dtype=bool)
    line = fit_logistic(schema.matrix(before), churned, strength=1.0)
    rhythm = _rhythm(before, split)
    found = {
        "base_rate": np.full(len(test), float(churned.mean())),
        "recency_rule": _recency_rule(before, churned.astype(np.float64), test),
        "logistic_regression": np.asarray(expit(line.raw(schema.matrix(test)))),
    }
    return found | ({"bg_nbd": rhythm.no_order_chance(schema.matrix(test))} if rhythm.purchases else {})


def ltv(before: pd.DataFrame, split: Split, test: pd.DataFrame) -> dict[str, FloatArray]:
    """Money per test row by: own mean rate, mean of all, last 90 days again, linear model, BG/NBD x Gamma-Gamma (where it fits)."""
    values, horizon = schema.matrix(test), split.horizon_days
    tenure, revenue, last_quarter = (
        np.nan_to_num(values[:, schema.FEATURE_NAMES.index(name)])
        for name in ("tenure_days", "net_revenue", "net_revenue_90d")
    )
    rhythm = _rhythm(before, split)
    found = {
        "own_mean_rate": revenue / np.maximum(tenure, 1.0) * horizon,
        "mean_of_all": np.full(len(test), float(before["net_revenue_in_horizon"].mean())),
        "last_90_days_again": last_quarter / 90 * horizon,
        "linear_model": _linear(before, values),
    }
    return found | ({"bg_nbd_gamma_gamma": rhythm.revenue(values)} if rhythm.spend else {})


def segments(test: pd.DataFrame, k: int, seed: int) -> dict[str, IntArray]:
    """Group per test row: sum of the terciles of recency, frequency and value (up to 7 groups), and k random groups."""
    columns = (-test["recency_days"], test["order_day_count"], test["net_revenue"])
    ranks = (rankdata(column.fillna(column.min()).to_numpy(dtype=np.float64)) for column in columns)
    rfm = np.sum([np.floor(3 * (rank - 1) / len(test)) for rank in ranks], axis=0).astype(np.int64)
    return {"rfm_terciles": rfm, "random": np.random.default_rng(seed).integers(0, k, len(test))}


def _linear(before: pd.DataFrame, values: FloatArray) -> FloatArray:
    """Tweedie regression of what is bought on the features."""
    bought = np.maximum(before["net_revenue_in_horizon"].to_numpy(dtype=np.float64), 0.0)
    return money(fit_tweedie(schema.matrix(before), bought, power=1.5, strength=0.03).raw(values))


def _rhythm(before: pd.DataFrame, split: Split) -> Rhythm:
    return fit_rhythm(schema.matrix(rows_on(before, split.calibration_date)), horizon_days=split.horizon_days)


def _recency_rule(before: pd.DataFrame, churned: FloatArray, test: pd.DataFrame) -> FloatArray:
    """Churn rate by tenth of recency in the training rows, read off between the tenths' mean recencies."""
    column = schema.FEATURE_NAMES.index("recency_days")
    recency, asked = (np.nan_to_num(schema.matrix(frame)[:, column]) for frame in (before, test))
    edges = np.unique(np.quantile(recency, np.linspace(0, 1, RECENCY_GROUPS + 1)[1:-1]))
    group = np.searchsorted(edges, recency, side="right")
    means = pd.DataFrame({"recency": recency, "churned": churned}).groupby(group).mean()
    return np.asarray(np.interp(asked, means["recency"], means["churned"]))
