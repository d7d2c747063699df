"""Segments: Weft's centroids from a sample and a segment for everybody, beside scikit-learn's KMeans on all customers."""

import numpy as np
from sklearn.cluster import KMeans

from bench.comparison import Comparison, Ratio
from bench.harness import Contender, Facts, Run
from bench.made_up_features import DATES, feature_rows
from ml import schema
from ml.clustering import IntArray, fit_centroids, nearest
from ml.robust_scaling import fit_robust_scaling
from ml.schema import FEATURE_NAMES, FloatArray
from ml.segments import TRAITS, SegmentParams

GROUPS = 8
SEED = 7


def prepare(run: Run) -> Facts:
    """The traits of made-up customers, scaled as the product scales them."""
    columns = [FEATURE_NAMES.index(name) for name in TRAITS]
    values = schema.matrix(feature_rows(run.size, DATES[-1], seed=99))[:, columns]
    np.save(run.inputs / "points.npy", fit_robust_scaling(values).apply(values))
    return {"traits": len(TRAITS), "groups": GROUPS}


def weft(run: Run) -> Facts:
    """The fit and the assignment of ml.segments: ten starts on a sample of customers, one thread."""
    points = np.load(run.inputs / "points.npy")
    with run.clock.running():
        centroids = fit_centroids(points, GROUPS, rows=SegmentParams(SEED).fit_rows, seed=SEED)
        labels = nearest(points, centroids)
    return {"inertia per row, Weft": _inertia(points, labels)}


def once(run: Run) -> Facts:
    """KMeans on all rows from one start: fast, and now and then in a poor optimum."""
    return _scikit_learn(run, starts=1)


def ten_times(run: Run) -> Facts:
    """KMeans on all rows from ten starts, as many as Weft's."""
    return _scikit_learn(run, starts=10)


def _scikit_learn(run: Run, *, starts: int) -> Facts:
    points = np.load(run.inputs / "points.npy")
    with run.clock.running():
        labels = KMeans(GROUPS, n_init=starts, random_state=SEED).fit(points).labels_
    return {f"inertia per row, n_init={starts}": _inertia(points, labels)}


def _inertia(points: FloatArray, labels: IntArray) -> float:
    """Mean squared distance to the mean of the own group, so that sides are judged by their groups alone."""
    spread = sum(
        float(((part - part.mean(axis=0)) ** 2).sum()) for g in range(GROUPS) if len(part := points[labels == g])
    )
    return round(spread / len(points), 4)


WEFT, ONCE, TEN_TIMES = "Weft, sample of 100,000", "scikit-learn KMeans, n_init=1", "scikit-learn KMeans, n_init=10"

COMPARISON = Comparison(
    title="KMeans",
    unit="customers",
    prepare=prepare,
    contenders=(Contender(WEFT, weft), Contender(ONCE, once), Contender(TEN_TIMES, ten_times)),
    ratios=(Ratio(WEFT, TEN_TIMES, at_most=1.0), Ratio(WEFT, ONCE)),
)
