"""Segments: which kind of customer. KMeans on scaled recency, frequency, value and behaviour, named by centroid."""

import json
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd

from ml import baselines, schema
from ml.clustering import IntArray, choose_k, fit_centroids, judge, nearest, silhouettes
from ml.drift import histograms
from ml.evaluation import season_warnings
from ml.fingerprint import data_fingerprint
from ml.model import ModelCard, ModelError, ModelOptions, Reads, Trained
from ml.robust_scaling import RobustScaling, fit_robust_scaling
from ml.schema import FEATURE_NAMES, FloatArray
from ml.segment_identity import group_table, new_ids, went_on
from ml.segment_names import segment_names
from ml.splits import Split, rows_on

MODEL: Final = "segments"
TABLE: Final = "segments"
PURPOSE: Final = (
    "Which kind of customer somebody is, so that people can speak of groups; named from what the groups do."
)
LIMITS: Final = (
    "Only customers with an order have a segment.",
    "Groups are a way to look, not a fact: customers near a border may change sides with one order.",
    "An id means the same group from version to version, but its borders move with every training.",
)
LOSS: Final = "1 - silhouette, scaled on the judged rows"
HEADLINE: Final = ("silhouette", "inertia")
SILHOUETTE_ROWS: Final = 4_000
SMALLEST_ROWS: Final = 50
# One or two columns per trait, so that no trait outvotes the others by being written down often.
TRAITS: Final = (
    "recency_days",
    "order_day_count",
    "net_revenue",
    "average_order_value",
    "session_count_90d",
    "product_view_count_90d",
    "discount_share",
)
INPUTS: Final = TRAITS
_COLUMNS: Final = [FEATURE_NAMES.index(name) for name in TRAITS]


@dataclass(frozen=True)
class SegmentParams:
    """How segments are found: the k tried, and the sizes of the samples on which they are compared."""

    seed: int
    smallest_k: int = 3
    largest_k: int = 8
    silhouette_rows: int = 2_000
    fit_rows: int = 100_000
    bootstraps: int = 8


@dataclass(frozen=True)
class SegmentsModel:
    """Scaling and centroids (k, traits, scaled) as fitted in training; per centroid its id, name and history.

    `since` is the test date of the version that found the group first, `named_at` where it got its name, in units of the
    features, because every version scales anew.
    """

    scaling: RobustScaling
    centroids: tuple[tuple[float, ...], ...]
    ids: tuple[int, ...]
    since: tuple[str, ...]
    names: tuple[str, ...]
    named_at: tuple[tuple[float, ...], ...]

    @property
    def places(self) -> tuple[tuple[float, ...], ...]:
        """The centroids in units of the features."""
        return tuple(tuple(place) for place in self.scaling.undo(np.array(self.centroids)).tolist())

    def centroid_frame(self) -> pd.DataFrame:
        """A row per centroid, a column per trait in its own unit."""
        return pd.DataFrame(list(self.places), columns=list(TRAITS))

    def assign(self, values: FloatArray) -> IntArray:
        """The nearest centroid per row of the feature matrix."""
        return nearest(self.scaling.apply(values[:, _COLUMNS]), np.array(self.centroids))

    def segment_ids(self, values: FloatArray) -> IntArray:
        """The id of the group per row of the feature matrix."""
        return np.asarray(np.array(self.ids, dtype=np.int64)[self.assign(values)])

    def to_files(self) -> dict[str, bytes]:
        """One JSON of numbers and names."""
        return {"model.json": json.dumps(asdict(self), sort_keys=True).encode()}


def from_files(files: dict[str, bytes]) -> SegmentsModel:
    """The inverse of `SegmentsModel.to_files`."""
    stored = json.loads(files["model.json"])
    scaling = RobustScaling(**{name: tuple(numbers) for name, numbers in stored["scaling"].items()})
    centroids, named_at = (tuple(tuple(place) for place in stored[name]) for name in ("centroids", "named_at"))
    ids, since, names = (tuple(stored[name]) for name in ("ids", "since", "names"))
    return SegmentsModel(scaling, centroids, ids, since, names, named_at)


def reads(options: ModelOptions) -> Reads:
    """Feature rows of customers with labels."""
    return Reads("customers", options.ltv_horizons[:1])


def params(options: ModelOptions) -> SegmentParams:
    """The one configuration for all shops."""
    return SegmentParams(seed=options.seed)


def train(
    rows: pd.DataFrame, split: Split, params: SegmentParams, *, champion: SegmentsModel | None = None
) -> Trained[SegmentsModel]:
    """Choose k and fit on the newest date before the test, judge on the test date, refit by that recipe on the test date.

    `rows` are features with labels, one per (customer_id, as_of_date); labels serve only to judge how well segments
    tell spenders apart. Groups that `champion` has too keep its ids and names, by the customers of the test date (see
    `ml.segment_identity`). Raises ModelError.
    """
    schema.check_rows(rows)
    rows = schema.ordered(rows_on(rows, split.calibration_date, split.test_date))
    before, test = rows_on(rows, split.calibration_date), rows_on(rows, split.test_date)
    model, final_choice = _fit(test, params)
    if champion is not None:
        model = went_on(model, champion, schema.matrix(test))
    judged, choice = _fit(before, params)
    judged = went_on(judged, model, schema.matrix(test))
    scaled = judged.scaling.apply(schema.matrix(test)[:, _COLUMNS])
    spend = test["net_revenue_in_horizon"].to_numpy(dtype=np.float64)
    labels = {MODEL: judged.assign(schema.matrix(test)), **baselines.segments(test, len(judged.names), params.seed)}
    metrics = {
        n: judge(scaled, found, spend, rows=params.silhouette_rows, seed=params.seed) for n, found in labels.items()
    }
    sizes = dict(zip(judged.names, np.bincount(labels[MODEL], minlength=len(judged.names)).tolist(), strict=True))
    warnings = season_warnings(rows["tenure_days"].max())
    metrics[MODEL] |= {"names_and_sizes": sizes, "choice_of_k": choice, "warnings": warnings}
    metrics[MODEL]["groups"] = group_table(model, schema.matrix(test))
    card = ModelCard(
        model=MODEL,
        train_dates=(split.calibration_date,),
        test_date=split.test_date,
        horizon_days=split.horizon_days,
        train_rows=len(before),
        test_rows=len(test),
        features=TRAITS,
        parameters={**asdict(params), "k": len(model.names), "names": list(model.names), "choice_of_k": final_choice},
        metrics=metrics.pop(MODEL),
        baseline_metrics=metrics,
        reference=histograms(test[list(TRAITS)].assign(segment_id=model.segment_ids(schema.matrix(test)))),
        data_fingerprint=data_fingerprint(rows),
        seed=params.seed,
    )
    found = labels[MODEL]
    names = np.array(judged.names, dtype=object)[found]
    ids = np.array(judged.ids)[found]
    scores = test[list(schema.KEYS)].assign(actual=spend, segment_id=ids, segment_name=names)
    return Trained(model, judged, card, scores.reset_index(drop=True))


def score(model: SegmentsModel, features: pd.DataFrame, *, explain: bool = True) -> pd.DataFrame:
    """The columns of segments but model_version, one row per row of `features`, in its order (`explain` changes nothing)."""
    schema.check_features(features)
    found = model.assign(schema.matrix(features))
    names = np.array(model.names, dtype=object)[found]
    keys = features[list(schema.KEYS)].reset_index(drop=True)
    return keys.assign(segment_id=np.array(model.ids, dtype=np.int32)[found], segment_name=names)


def losses(model: SegmentsModel, rows: pd.DataFrame) -> FloatArray:
    """1 - silhouette per row of a sample that depends on the rows alone, in a scaling that is neither model's own."""
    values = schema.matrix(rows)
    points = fit_robust_scaling(values[:, _COLUMNS]).apply(values[:, _COLUMNS])
    return 1.0 - silhouettes(points, model.assign(values), rows=SILHOUETTE_ROWS, seed=0)


assign = score


def _fit(rows: pd.DataFrame, params: SegmentParams) -> tuple[SegmentsModel, list[dict[str, Any]]]:
    values = schema.matrix(rows)[:, _COLUMNS]
    if len(values) < SMALLEST_ROWS:
        raise ModelError(f"Segments cannot be found in {len(values)} customers; at least {SMALLEST_ROWS} are needed.")
    scaling = fit_robust_scaling(values)
    scaled = scaling.apply(values)
    ks = range(params.smallest_k, params.largest_k + 1)
    k, choice = choose_k(scaled, ks, rows=params.silhouette_rows, bootstraps=params.bootstraps, seed=params.seed)
    centroids = fit_centroids(scaled, k, rows=params.fit_rows, seed=params.seed)
    # The order follows value, not that in which KMeans happened to find the centroids.
    centroids = centroids[np.lexsort((*centroids.T, -centroids[:, TRAITS.index("net_revenue")]))]
    found = SegmentsModel(scaling, tuple(tuple(c) for c in centroids.tolist()), (), (), (), ())
    ids, names = new_ids(np.array(found.places)), segment_names(found.centroid_frame())
    since = (pd.Timestamp(rows["as_of_date"].max()).date().isoformat(),) * k
    return replace(found, ids=ids, since=since, names=names, named_at=found.places), choice
