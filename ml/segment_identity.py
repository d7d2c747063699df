"""Which groups of a new version are groups that the champion had: they keep their id, and their name where they stayed put."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from scipy.optimize import linear_sum_assignment

from ml.clustering import IntArray
from ml.schema import FloatArray
from ml.segment_names import segment_names

if TYPE_CHECKING:
    from ml.segments import SegmentsModel

SAME_FROM: Final = 1 / 3
"""Jaccard index from which two groups are one: of two groups of one size, half of each is in the other."""
SAME_PLACE: Final = 0.5
"""How far a group may be from where it got its name, in distances to the nearest other group of its version."""
HIGHEST_ID: Final = 999_999_999


def new_ids(places: FloatArray, *, taken: Iterable[int] = ()) -> tuple[int, ...]:
    """An id per centroid (rows, in units of the features) that no other group has had or will have, whatever the version.

    It is drawn from where the group was found, not counted up: a version that never scored, was rolled back or was lost
    cannot have used it for another group, and the same rows give the same ids.
    """
    used, found = set(taken), []
    for place in places.tolist():
        attempt = 0
        while (number := _number(place, attempt)) in used:
            attempt += 1
        used.add(number)
        found.append(number)
    return tuple(found)


def shared(found: IntArray, before: IntArray, *, groups: tuple[int, int]) -> FloatArray:
    """Jaccard index of every new group (rows) with every group before (columns), of the same customers in both."""
    both = np.zeros(groups)
    np.add.at(both, (found, before), 1.0)
    either = both.sum(axis=1, keepdims=True) + both.sum(axis=0, keepdims=True) - both
    return np.asarray(np.divide(both, either, out=np.zeros_like(both), where=either > 0))


def matches(overlap: FloatArray) -> dict[int, int]:
    """New group -> group before, so that the sum of what they share is largest; pairs below SAME_FROM are no match.

    Assignment by Kuhn's Hungarian method (1955). Both versions judge the same rows, so distances would say nothing more.
    """
    pairs = zip(*linear_sum_assignment(overlap, maximize=True), strict=True)
    return {int(new): int(old) for new, old in pairs if overlap[new, old] >= SAME_FROM}


def went_on(model: "SegmentsModel", before: "SegmentsModel", values: FloatArray) -> "SegmentsModel":
    """`model` with the ids, ages and names of `before` where a group is the same, judged on the rows of `values` (rows, features).

    The name stays while the group is nearer to where it was named than SAME_PLACE of the way to its nearest neighbour.
    """
    same = matches(_overlap(model, before, values))
    places = np.array(model.places)
    fresh = iter(new_ids(np.delete(places, list(same), axis=0), taken=before.ids))
    groups = range(len(places))
    ids = tuple(before.ids[same[group]] if group in same else next(fresh) for group in groups)
    since = tuple(before.since[same[group]] if group in same else model.since[group] for group in groups)
    stayed = {new: old for new, old in same.items() if _stayed(model, new, before.named_at[old])}
    named_at = tuple(before.named_at[stayed[group]] if group in stayed else model.places[group] for group in groups)
    names = segment_names(model.centroid_frame(), kept={new: before.names[old] for new, old in stayed.items()})
    return replace(model, ids=ids, since=since, names=names, named_at=named_at)


def group_table(model: "SegmentsModel", values: FloatArray) -> list[dict[str, Any]]:
    """A row per group: id, name, the test date of the version that found it first, and its customers among the rows."""
    sizes = np.bincount(model.assign(values), minlength=len(model.ids)).tolist()
    groups = zip(model.ids, model.names, model.since, sizes, strict=True)
    return [{"id": number, "name": name, "since": day, "customers": size} for number, name, day, size in groups]


def _overlap(model: "SegmentsModel", before: "SegmentsModel", values: FloatArray) -> FloatArray:
    return shared(model.assign(values), before.assign(values), groups=(len(model.ids), len(before.ids)))


def _stayed(model: "SegmentsModel", group: int, named_at: tuple[float, ...]) -> bool:
    centroids = np.array(model.centroids)
    point = model.scaling.apply(np.array([named_at]))[0]
    others = np.delete(centroids, group, axis=0)
    nearest_other = float(np.linalg.norm(others - centroids[group], axis=1).min())
    return bool(np.linalg.norm(point - centroids[group]) < SAME_PLACE * nearest_other)


def _number(place: list[float], attempt: int) -> int:
    digest = hashlib.sha256(json.dumps([*place, attempt]).encode()).digest()
    return 1 + int.from_bytes(digest[:8], "big") % HIGHEST_ID
