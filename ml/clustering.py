"""KMeans, the choice of k, and how good a grouping is; everything seeded and single-threaded, so that bits repeat."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_samples, silhouette_score
from sklearn.metrics.pairwise import euclidean_distances
from threadpoolctl import threadpool_limits

from ml.model import ModelError
from ml.schema import FloatArray

IntArray = npt.NDArray[np.int64]
SMALLEST_SHARE: Final = 0.01
CLEAR_ENOUGH: Final = 0.85
STABLE_ENOUGH: Final = 0.8


def nearest(points: FloatArray, centroids: FloatArray, *, chunk: int = 200_000) -> IntArray:
    """Index of the nearest centroid per point."""
    found = np.empty(len(points), dtype=np.int64)
    offsets = (centroids**2).sum(axis=1)
    for start in range(0, len(points), chunk):
        part = points[start : start + chunk]
        found[start : start + chunk] = np.argmin(offsets - 2.0 * (part @ centroids.T), axis=1)
    return found


def fit_centroids(points: FloatArray, k: int, *, rows: int, seed: int) -> FloatArray:
    """KMeans (k-means++, best of 10 starts) on at most `rows` points: (k, columns)."""
    with threadpool_limits(limits=1):
        return np.asarray(KMeans(k, n_init=10, random_state=seed).fit(_sample(points, rows, seed)).cluster_centers_)


def choose_k(
    points: FloatArray, ks: Sequence[int], *, rows: int, bootstraps: int, seed: int
) -> tuple[int, list[dict[str, Any]]]:
    """The largest k that is nearly as clear as the clearest and stable, and the table of what was tried.

    Clear: a silhouette within CLEAR_ENOUGH of the best. Stable: a mean adjusted Rand index between the grouping of a
    sample and those from its bootstraps of STABLE_ENOUGH. No group under 1 %. Where nothing is all that, the k with the
    largest silhouette x stability.
    """
    sample = _sample(points, rows, seed)
    distinct = len(np.unique(sample, axis=0))
    distances = euclidean_distances(sample) if distinct > min(ks) else None
    tried = [_try(sample, k, distances, bootstraps=bootstraps, seed=seed) for k in ks if k < distinct]
    if not tried:
        raise ModelError(f"Segments cannot be found: customers show only {distinct} different patterns.")
    clearest = max(t["silhouette"] for t in tried)
    good = [t for t in tried if _is_good(t, clearest)]
    if good:
        return max(t["k"] for t in good), tried
    return max(tried, key=lambda t: (t["silhouette"] * t["stability"], -t["k"]))["k"], tried


def _is_good(tried: dict[str, Any], clearest: float) -> bool:
    is_clear = tried["silhouette"] >= CLEAR_ENOUGH * clearest > 0
    return bool(is_clear and tried["stability"] >= STABLE_ENOUGH and tried["smallest_share"] >= SMALLEST_SHARE)


def judge(points: FloatArray, labels: IntArray, spend: FloatArray, *, rows: int, seed: int) -> dict[str, Any]:
    """Silhouette (on a sample), inertia, sizes, and the share of the variance of later log spend between the groups."""
    groups = np.unique(labels)
    chosen = np.random.default_rng(seed).permutation(len(points))[:rows]
    several = 1 < len(np.unique(labels[chosen])) < len(chosen)
    logged = np.log1p(np.maximum(spend, 0.0))
    within = sum(float(((logged[labels == g] - logged[labels == g].mean()) ** 2).sum()) for g in groups)
    total = float(((logged - logged.mean()) ** 2).sum())
    inertia = sum(float(((points[labels == g] - points[labels == g].mean(axis=0)) ** 2).sum()) for g in groups)
    return {
        "silhouette": float(silhouette_score(points[chosen], labels[chosen])) if several else None,
        "inertia": inertia,
        "inertia_per_row": inertia / len(points),
        "sizes": [int((labels == g).sum()) for g in groups],
        "later_spend_explained": 1.0 - within / total if total > 0 else None,
    }


def silhouettes(points: FloatArray, labels: IntArray, *, rows: int, seed: int) -> FloatArray:
    """Silhouette per point of a sample; 0 for all where the sample holds one group only."""
    chosen = np.random.default_rng(seed).permutation(len(points))[:rows]
    if not 1 < len(np.unique(labels[chosen])) < len(chosen):
        return np.zeros(len(chosen))
    return np.asarray(silhouette_samples(points[chosen], labels[chosen]), dtype=np.float64)


def _try(sample: FloatArray, k: int, distances: FloatArray | None, *, bootstraps: int, seed: int) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    with threadpool_limits(limits=1):
        labels = nearest(sample, KMeans(k, n_init=4, random_state=seed).fit(sample).cluster_centers_)
        agreements = []
        for _ in range(bootstraps):
            drawn = sample[random.integers(0, len(sample), len(sample))]
            again = KMeans(k, n_init=2, random_state=seed).fit(drawn).cluster_centers_
            agreements.append(float(adjusted_rand_score(labels, nearest(sample, again))))
        several = len(np.unique(labels)) > 1
        silhouette = float(silhouette_score(distances, labels, metric="precomputed")) if several else -1.0
    smallest = float(np.bincount(labels, minlength=k).min() / len(sample))
    return {"k": k, "silhouette": silhouette, "stability": float(np.mean(agreements)), "smallest_share": smallest}


def _sample(points: FloatArray, rows: int, seed: int) -> FloatArray:
    if len(points) <= rows:
        return points
    return points[np.sort(np.random.default_rng(seed).permutation(len(points))[:rows])]
