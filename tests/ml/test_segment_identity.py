from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml import schema, segments, splits
from ml.model import Trained
from ml.robust_scaling import RobustScaling
from ml.schema import FloatArray
from ml.segment_identity import matches, new_ids, shared, went_on
from ml.segment_names import segment_names
from ml.segments import SegmentsModel
from ml.splits import Split
from tests.ml.conftest import SEED
from tests.ml.made_up_shop import TEST_DATE, made_up_rows

PARAMS = segments.SegmentParams(seed=SEED, bootstraps=2, silhouette_rows=400)
Model = Trained[SegmentsModel]


@pytest.fixture(scope="module")
def later() -> pd.DataFrame:
    """The same kind of shop with other customers: more than a week changes."""
    return made_up_rows(400, seed=4)


def test_training_again_on_other_rows_keeps_the_ids_of_the_groups_that_stayed(
    trained_segments: Model, later: pd.DataFrame
) -> None:
    again = segments.train(later, splits.time_split(later), PARAMS, champion=trained_segments.model)
    ours, theirs = again.model, trained_segments.model
    values = schema.matrix(splits.rows_on(later, TEST_DATE))
    overlap = shared(ours.assign(values), theirs.assign(values), groups=(len(ours.ids), len(theirs.ids)))
    kept = set(ours.ids) & set(theirs.ids)
    assert len(kept) >= 2
    for number in kept:
        new, old = ours.ids.index(number), theirs.ids.index(number)
        assert overlap[new, old] == overlap[new].max() >= 1 / 3
    alone = new_ids(np.array(ours.places))
    assert not set(alone) & set(theirs.ids), "without the champion every group would be a new one"
    assert set(ours.ids) - kept <= set(alone)


def test_training_again_on_the_same_rows_gives_the_same_files_as_the_champion(
    trained_segments: Model, rows: pd.DataFrame, split: Split
) -> None:
    again = segments.train(rows, split, segments.SegmentParams(seed=SEED), champion=trained_segments.model)
    assert again.model.to_files() == trained_segments.model.to_files()
    assert again.judged.to_files() == trained_segments.judged.to_files()
    assert again.card == trained_segments.card


def test_the_judged_model_shares_the_ids_of_the_one_that_scores(trained_segments: Model) -> None:
    assert set(trained_segments.judged.ids) & set(trained_segments.model.ids)
    assert set(trained_segments.test_scores["segment_id"]) <= set(trained_segments.judged.ids)


def model_of(*centres: float, ids: tuple[int, ...] = (), names: tuple[str, ...] = ()) -> SegmentsModel:
    """Groups along the number of order days alone, in a scaling that changes nothing else."""
    traits = len(segments.TRAITS)
    scaling = RobustScaling((0.0,) * traits, (0.0,) * traits, (1.0,) * traits)
    centroids = np.zeros((len(centres), traits))
    centroids[:, segments.TRAITS.index("order_day_count")] = centres
    since = ("2025-01-01",) * len(centres)
    model = SegmentsModel(scaling, tuple(map(tuple, centroids.tolist())), (), since, names, ())
    return replace(model, ids=ids or new_ids(np.array(model.places)), named_at=model.places)


def values_at(positions: FloatArray) -> FloatArray:
    values = np.zeros((len(positions), len(schema.FEATURE_NAMES)))
    values[:, schema.FEATURE_NAMES.index("order_day_count")] = np.expm1(positions)
    return values


EVERYWHERE = values_at(np.linspace(0, 3, 301))


def test_a_group_that_splits_keeps_its_id_for_the_larger_part_and_the_other_part_is_new() -> None:
    before = model_of(0.5, 2.5, ids=(1, 2), names=("few", "many"))
    after = went_on(replace(model_of(0.5, 2.1, 2.9), since=("2025-02-01",) * 3), before, EVERYWHERE)
    assert after.ids[:2] == (1, 2)
    assert after.ids[2] not in (1, 2)
    assert after.since == ("2025-01-01", "2025-01-01", "2025-02-01")


def test_groups_that_become_one_leave_one_id_and_the_other_is_never_given_again() -> None:
    before = model_of(0.5, 1.5, 2.5, ids=(1, 2, 3), names=("few", "some", "many"))
    two = went_on(model_of(0.5, 2.2), before, EVERYWHERE)
    assert two.ids in {(1, 2), (1, 3)}
    three = went_on(model_of(0.5, 1.7, 2.7), two, EVERYWHERE)
    assert set(two.ids) < set(three.ids)
    assert not (set(three.ids) - set(two.ids)) & {1, 2, 3}


def test_a_name_stays_while_its_group_stays_and_goes_when_it_has_wandered() -> None:
    before = model_of(0.5, 1.5, 2.5, ids=(1, 2, 3), names=("the quiet", "the middle", "the eager"))
    near = went_on(model_of(0.6, 1.6, 2.6), before, EVERYWHERE)
    assert (near.ids, near.names) == ((1, 2, 3), before.names)
    for step in (0.7, 0.8, 0.9, 1.0):
        near = went_on(model_of(step, 1.6, 2.6), near, EVERYWHERE)
    assert near.ids[0] == 1, "the same customers, so the same group"
    assert near.names[0] != "the quiet", "but it is no longer where it got that name, however small the steps were"
    assert near.names[1:] == before.names[1:]


def test_a_new_name_is_never_one_that_another_group_keeps() -> None:
    wanted = segment_names(model_of(0.5, 1.5, 2.5).centroid_frame())
    before = model_of(2.5, ids=(9,), names=(wanted[0],))
    after = went_on(model_of(0.5, 1.5, 2.5), before, values_at(np.linspace(2.2, 3, 50)))
    assert after.names[2] == wanted[0]
    assert len(set(after.names)) == 3


def test_the_pairing_is_the_best_for_all_groups_together() -> None:
    assert matches(np.array([[0.6, 0.5], [0.55, 0.0]])) == {0: 1, 1: 0}
    assert matches(np.array([[0.3, 0.0]])) == {}


def test_ids_depend_on_the_place_alone_and_avoid_those_that_are_taken() -> None:
    places = np.array([[1.0, 2.0], [3.0, 4.0]])
    first = new_ids(places)
    assert first == new_ids(places)
    assert first == tuple(reversed(new_ids(places[::-1])))
    assert all(0 < number < 2**31 for number in first)
    assert not set(new_ids(places, taken=first)) & set(first)
