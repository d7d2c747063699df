"""What the product's scores stand beside in the bench: rules and library models on the features that the product built."""

import lightgbm as lgb
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from ml import schema
from ml.rhythm import fit_rhythm
from ml.schema import FloatArray

SEED = 7


def churn(past: pd.DataFrame, today: pd.DataFrame, *, horizon_days: int) -> dict[str, FloatArray]:
    """Chance of no order within the horizon per row of `today`; learnt from the rows of `past` with labels."""
    x, y, asked = schema.matrix(past), past["has_churned"].to_numpy(dtype=bool), schema.matrix(today)
    recency, tenure, days = (
        asked[:, schema.FEATURE_NAMES.index(n)] for n in ("recency_days", "tenure_days", "order_day_count")
    )
    found = {
        "recency rank": recency.argsort(kind="stable").argsort(kind="stable") / len(today),
        "own mean rate": np.exp(-days / np.maximum(tenure, 1.0) * horizon_days),
        "logistic regression": _scaled(LogisticRegression(max_iter=1_000))
        .fit(_filled(x), y)
        .predict_proba(_filled(asked))[:, 1],
        "plain LightGBM": np.asarray(
            lgb.train(
                {"objective": "binary", "seed": SEED, "num_threads": 1, "verbosity": -1}, lgb.Dataset(x, y)
            ).predict(asked)
        ),
    }
    rhythm = fit_rhythm(asked, horizon_days=horizon_days)
    return found | ({"BG/NBD": rhythm.no_order_chance(asked)} if rhythm.purchases else {})


def ltv(past: pd.DataFrame, today: pd.DataFrame, *, label_days: int, horizon_days: int) -> dict[str, FloatArray]:
    """Money within `horizon_days` per row of `today`; what is learnt from labels of `label_days` is stretched in proportion."""
    x, y, asked = schema.matrix(past), past["net_revenue_in_horizon"].to_numpy(dtype=np.float64), schema.matrix(today)
    stretch = horizon_days / label_days
    tenure, revenue = (asked[:, schema.FEATURE_NAMES.index(n)] for n in ("tenure_days", "net_revenue"))
    trees = {"objective": "tweedie", "seed": SEED, "num_threads": 1, "verbosity": -1}
    grown = lgb.train(trees, lgb.Dataset(x, np.maximum(y, 0.0)))
    found = {
        "own mean rate": revenue / np.maximum(tenure, 1.0) * horizon_days,
        "linear model": np.maximum(_scaled(Ridge()).fit(_filled(x), y).predict(_filled(asked)), 0.0) * stretch,
        "plain LightGBM": np.asarray(grown.predict(asked)) * stretch,
    }
    rhythm = fit_rhythm(asked, horizon_days=horizon_days)
    return found | ({"BG/NBD + Gamma-Gamma": rhythm.revenue(asked)} if rhythm.spend else {})


def _scaled(last: LogisticRegression | Ridge) -> Pipeline:
    return make_pipeline(FunctionTransformer(lambda v: np.sign(v) * np.log1p(np.abs(v))), StandardScaler(), last)


def _filled(values: FloatArray) -> FloatArray:
    return np.nan_to_num(values)
