"""Training churn with everything that makes it trustworthy, beside one fit of as many trees on the same matrix."""

import lightgbm as lgb
import numpy as np
import pandas as pd

from bench.comparison import Comparison, Ratio
from bench.harness import Contender, Facts, Run
from bench.made_up_features import DATES, feature_rows, with_labels
from ml import churn, schema, splits
from ml.boosting import BoostingParams

PARAMS = churn.ChurnParams(seed=7)


def prepare(run: Run) -> Facts:
    """Labelled rows of `size` customers and dates, a sixth of them a date; the matrix and the trees a training grows."""
    each = run.size // len(DATES)
    dated = [with_labels(feature_rows(each, day, seed=number), seed=number) for number, day in enumerate(DATES)]
    rows = pd.concat(dated, ignore_index=True)
    rows.to_parquet(run.inputs / "rows.parquet")
    np.save(run.inputs / "matrix.npy", schema.matrix(rows))
    np.save(run.inputs / "churned.npy", rows["has_churned"].to_numpy(dtype=np.float64))
    trees = churn.train(rows, splits.time_split(rows), PARAMS).model.trees.tree_count
    (run.inputs / "trees").write_text(str(trees), encoding="utf-8")
    return {"trees": trees, "features": len(schema.FEATURE_NAMES)}


def weft(run: Run) -> Facts:
    """churn.train: early stopping, calibration, baselines and metrics before the test date, and the fit that scores."""
    rows = pd.read_parquet(run.inputs / "rows.parquet")
    with run.clock.running():
        trained = churn.train(rows, splits.time_split(rows), PARAMS)
    return {"trees": trained.model.trees.tree_count}


def lightgbm(run: Run) -> Facts:
    """LightGBM's train: as many trees of the same shape on all rows, once."""
    values, churned = np.load(run.inputs / "matrix.npy"), np.load(run.inputs / "churned.npy")
    trees, params = int((run.inputs / "trees").read_text(encoding="utf-8")), BoostingParams()
    settings = {
        "objective": "binary",
        "learning_rate": params.learning_rate,
        "num_leaves": params.num_leaves,
        "max_bin": 127,
        "num_threads": 1,
        "verbosity": -1,
    }
    with run.clock.running():
        booster = lgb.train(settings, lgb.Dataset(values, churned), num_boost_round=trees)
    return {"trees": booster.num_trees()}


WEFT, LIGHTGBM = "Weft churn.train", "LightGBM train"

COMPARISON = Comparison(
    title="Training",
    unit="rows",
    prepare=prepare,
    contenders=(Contender(WEFT, weft), Contender(LIGHTGBM, lightgbm)),
    ratios=(Ratio(WEFT, LIGHTGBM),),
    note="Weft fits eight times or so (folds, judged, scoring), LightGBM once.",
)
