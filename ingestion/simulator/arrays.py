"""Grouped arithmetic on flat arrays: one person has many visits, one visit many events."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Strings = Any  # pyarrow.StringArray: pyarrow ships no types

MICROS_PER_DAY = 86_400_000_000


def expand(counts: Ints) -> tuple[Ints, Ints]:
    """For counts per group: the group of every member and its position in the group (both of length counts.sum())."""
    group = np.repeat(np.arange(counts.size), counts)
    position = np.arange(group.size) - np.repeat(np.cumsum(counts) - counts, counts)
    return group, position


def cumulated(values: Floats, group: Ints) -> Floats:
    """Running sum within each group; `group` is sorted."""
    total = np.cumsum(values)
    starts = np.flatnonzero(np.r_[True, group[1:] != group[:-1]]) if group.size else np.empty(0, np.int64)
    before: Floats = np.where(starts > 0, total[starts - 1], 0.0)
    return np.asarray(total - np.repeat(before, np.diff(np.r_[starts, group.size])))


def first_by_group(candidates: Ints, group: Ints, groups: int) -> Ints:
    """For each group the first of the candidate rows (indices into `group`, ascending) that is in it, else -1."""
    first = np.full(groups, -1, np.int64)
    owner, at = np.unique(group[candidates], return_index=True)
    first[owner] = candidates[at]
    return first


def chance(rng: np.random.Generator, size: int, share: float | Floats) -> Flags:
    """Independent flags that are true with the given probability."""
    return np.asarray(rng.random(size) < share)


def exactly(rng: np.random.Generator, size: int, share: float) -> Flags:
    """Flags of which a share is true, to the nearest whole number: keeps small worlds near the configured rates."""
    flags = np.zeros(size, np.bool_)
    flags[rng.permutation(size)[: round(size * share)]] = True
    return flags


def choose(rng: np.random.Generator, size: int, weights: list[float]) -> Ints:
    """Independent draws of 0..len(weights)-1 with the given relative weights."""
    bounds = np.cumsum(np.asarray(weights, np.float64))
    return np.searchsorted(bounds / bounds[-1], rng.random(size), side="right").clip(0, len(weights) - 1)
