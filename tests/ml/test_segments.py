import numpy as np
import pandas as pd
import pytest

from ml import schema, segments, splits
from ml.clustering import choose_k
from ml.model import ModelError, Trained
from ml.robust_scaling import fit_robust_scaling
from ml.segment_names import segment_names
from ml.splits import Split
from tests.ml.conftest import SEED

PARAMS = segments.SegmentParams(seed=SEED)
Model = Trained[segments.SegmentsModel]


def centroids(*rows: tuple[float, ...]) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=list(segments.TRAITS))


def test_segments_are_clearer_than_baselines_and_everyone_is_in_one(trained_segments: Model) -> None:
    card = trained_segments.card
    assert set(card.baseline_metrics) == {"rfm_terciles", "random"}
    for baseline in card.baseline_metrics.values():
        assert card.metrics["silhouette"] > baseline["silhouette"]
        assert sum(baseline["sizes"]) == card.test_rows
    assert sum(card.metrics["names_and_sizes"].values()) == card.test_rows
    assert card.metrics["later_spend_explained"] > card.baseline_metrics["random"]["later_spend_explained"] + 0.1
    assert 3 <= card.parameters["k"] <= 8


def test_k_is_chosen_from_what_was_tried(trained_segments: Model) -> None:
    tried = {t["k"]: t for t in trained_segments.card.parameters["choice_of_k"]}
    assert set(tried) == set(range(3, 9))
    clearest = max(t["silhouette"] for t in tried.values())
    good = [k for k, t in tried.items() if t["silhouette"] >= 0.85 * clearest and t["stability"] >= 0.8]
    best = max(tried, key=lambda k: tried[k]["silhouette"] * tried[k]["stability"])
    assert trained_segments.card.parameters["k"] == (max(good) if good else best)


def test_four_clear_groups_are_found_as_four() -> None:
    random = np.random.default_rng(1)
    centres = np.array([[0, 0], [9, 0], [0, 9], [9, 9]])
    points = centres[random.integers(0, 4, 800)] + random.normal(size=(800, 2))
    k, _ = choose_k(points, range(3, 9), rows=800, bootstraps=4, seed=1)
    assert k == 4


def test_names_are_unique_and_the_same_whatever_the_row_order(
    trained_segments: Model, rows: pd.DataFrame, split: Split, features: pd.DataFrame
) -> None:
    again = segments.train(rows.sample(frac=1, random_state=5), split, PARAMS)
    names = again.model.names
    assert len(set(names)) == len(names)
    assert again.card == trained_segments.card
    first, second = (segments.assign(t.model, features) for t in (trained_segments, again))
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_scores_have_the_promised_columns(trained_segments: Model, features: pd.DataFrame) -> None:
    scores = segments.score(trained_segments.model, features)
    assert [*scores.columns, "model_version"] == list(schema.PREDICTIONS["segments"])
    assert scores["segment_id"].dtype == np.int32
    for found, name in zip(scores["segment_id"], scores["segment_name"], strict=True):
        assert trained_segments.model.names[trained_segments.model.ids.index(found)] == name


def test_assignment_uses_the_scaling_of_training_not_that_of_the_rows(
    trained_segments: Model, features: pd.DataFrame
) -> None:
    together = segments.score(trained_segments.model, features)
    alone = pd.concat([segments.score(trained_segments.model, features.iloc[[row]]) for row in range(20)])
    assert (alone["segment_id"].to_numpy() == together["segment_id"].head(20).to_numpy()).all()


def test_names_say_where_a_centroid_stands() -> None:
    # recency_days, order_day_count, net_revenue, average_order_value, sessions, views, discount_share
    names = segment_names(
        centroids(
            (10, 12, 900, 75, 9, 30, 0.0),
            (20, 1, 40, 40, 2, 5, 0.0),
            (200, 3, 60, 20, 0, 0, 0.3),
            (90, 4, 300, 75, 4, 9, 0.1),
        )
    )
    assert names == (
        "recent loyal high spenders",
        "new low-spending one-time buyers",
        "lapsed bargain hunters",
        "repeat buyers",
    )


def test_names_do_not_depend_on_the_index_of_a_centroid() -> None:
    frame = centroids((10, 12, 900, 75, 9, 30, 0.0), (20, 1, 40, 40, 2, 5, 0.0), (200, 1.2, 60, 50, 0, 0, 0.0))
    backwards = frame.iloc[::-1].reset_index(drop=True)
    assert segment_names(backwards) == tuple(reversed(segment_names(frame)))


def test_centroids_that_are_nearly_alike_still_get_different_names() -> None:
    frame = centroids(*((10.0, 2.0, 50.0 + step, 25.0, 0.0, 0.0, 0.0) for step in (0.0, 1e-4, 2e-4, 3e-4)))
    assert len(set(segment_names(frame))) == 4


def test_scaling_and_its_inverse_agree_where_nothing_is_clipped() -> None:
    values = np.random.default_rng(2).lognormal(2, 0.5, (300, 3))
    values[:, 2] = 4.0
    scaling = fit_robust_scaling(values)
    inner = np.abs(scaling.apply(values)).max(axis=1) < 3
    np.testing.assert_allclose(scaling.undo(scaling.apply(values))[inner], values[inner], rtol=1e-9)
    assert (scaling.apply(values)[:, 2] == 0).all()


def test_bad_values_get_a_segment_and_never_crash(trained_segments: Model, features: pd.DataFrame) -> None:
    bad = features.head(3).copy()
    numbers = list(schema.FEATURE_NAMES)
    bad[numbers] = bad[numbers].astype(float)
    for row, value in enumerate([np.nan, np.inf, 1e300]):
        bad.loc[row, numbers] = value
    assert segments.score(trained_segments.model, bad)["segment_name"].notna().all()
    assert len(segments.score(trained_segments.model, bad.head(0))) == 0


def test_features_without_spread_and_tiny_shops_are_said(rows: pd.DataFrame, split: Split) -> None:
    constant = rows.assign(**dict.fromkeys(schema.FEATURE_NAMES, 1.0))
    with pytest.raises(ModelError, match="only 1 different pattern"):
        segments.train(constant, split, PARAMS)
    few = splits.rows_on(rows, *split.dates_before_test, split.test_date).groupby("as_of_date").head(10)
    with pytest.raises(ModelError, match="in 10 customers"):
        segments.train(few, split, PARAMS)
