"""Scoring customers: Weft's churn scores from the feature frame, beside LightGBM's predict on the same matrix."""

import pickle
from pathlib import Path

import lightgbm as lgb
import numpy as np
import pandas as pd

from bench.comparison import Comparison, Ratio
from bench.harness import Contender, Facts, Run
from bench.made_up_features import DATES, feature_rows, with_labels
from ml import churn, schema, splits
from ml.churn_model import INPUT_NAMES, churn_inputs

TRAINED_ON = 20_000
"""Customers the model is trained on, at each of six dates."""


def prepare(run: Run) -> Facts:
    """Train a churn model with the product's own recipe; write it, the feature rows and the matrix its trees read."""
    dated = [with_labels(feature_rows(TRAINED_ON, day, seed=number), seed=number) for number, day in enumerate(DATES)]
    rows = pd.concat(dated, ignore_index=True)
    model = churn.train(rows, splits.time_split(rows), churn.ChurnParams(seed=7)).model
    (run.inputs / "model.pickle").write_bytes(pickle.dumps(model.to_files()))
    features = feature_rows(run.size, DATES[-1], seed=99)
    features.to_parquet(run.inputs / "features.parquet")
    np.save(run.inputs / "matrix.npy", churn_inputs(model.rhythm, schema.matrix(features)))
    return {"trees": model.trees.tree_count, "inputs": len(INPUT_NAMES)}


def weft(run: Run) -> Facts:
    """churn.score without reasons: checks, matrix, BG/NBD, trees, logistic regression, calibration, the frame of scores."""
    model = churn.from_files(_files(run))
    features = pd.read_parquet(run.inputs / "features.parquet")
    with run.clock.running():
        scores = churn.score(model, features, explain=False)
    return {"scores": len(scores)}


def lightgbm(run: Run) -> Facts:
    """LightGBM's predict of the same trees on the matrix they read, ready in memory."""
    text, matrix = _files(run)["trees.txt"].decode(), np.load(run.inputs / "matrix.npy")
    with run.clock.running():
        scores = lgb.Booster(model_str=text).predict(matrix)
    return {"scores": len(np.asarray(scores))}


def _files(run: Run) -> dict[str, bytes]:
    files: dict[str, bytes] = pickle.loads(Path(run.inputs / "model.pickle").read_bytes())
    return files


WEFT, LIGHTGBM = "Weft churn.score", "LightGBM predict"

COMPARISON = Comparison(
    title="Scoring",
    unit="customers",
    prepare=prepare,
    contenders=(Contender(WEFT, weft), Contender(LIGHTGBM, lightgbm)),
    ratios=(Ratio(WEFT, LIGHTGBM, at_most=1.3),),
)
