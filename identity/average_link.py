"""Groups from scored pairs by average link: no group holds people who are not alike on average, whatever chain connects them.

Connected components at a threshold make one person of a whole chain of lookalikes. Here two groups join only while the mean
score over ALL pairs between them, pairs that were never compared counting 0, is above the threshold; the most alike join first.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Grouping:
    """groups: the smallest row of each row's group. refused: joins that would have made a group larger than allowed."""

    groups: np.ndarray
    refused: int


def average_link(
    rows: int, left: np.ndarray, right: np.ndarray, score: np.ndarray, *, threshold: float, max_size: int
) -> Grouping:
    """Group `rows` rows by the scores (0 to 1) of pairs left[i] < right[i], each pair at most once.

    O(m log m) time and O(pairs) memory, where m is the pairs plus, for each of the at most rows - 1 joins, the neighbours of the
    group it makes. Equal means join in the order of their smallest rows, so the answer does not depend on the order of pairs.
    """
    sums: list[dict[int, float] | None] = [None] * rows
    order = np.lexsort((right, left))
    edges = list(zip(left[order].tolist(), right[order].tolist(), score[order].tolist(), strict=True))
    for one, other, value in edges:
        for here, there in ((one, other), (other, one)):
            neighbours = sums[here]
            if neighbours is None:
                neighbours = sums[here] = {}
            neighbours[there] = value
    waiting = [(-value, one, other) for one, other, value in edges if value > threshold]
    heapq.heapify(waiting)
    size, parent, refused = [1] * rows, list(range(rows)), 0
    while waiting:
        negative_mean, one, other = heapq.heappop(waiting)
        mine, theirs = sums[one], sums[other]
        if parent[one] != one or parent[other] != other or mine is None or theirs is None:
            continue  # one of the two is part of a larger group by now
        if mine[other] / (size[one] * size[other]) != -negative_mean:
            continue  # so is this mean, of a pair that has a newer one
        if size[one] + size[other] > max_size:
            refused += 1
            continue
        del mine[other], theirs[one]
        if len(mine) < len(theirs):
            mine, theirs = theirs, mine
        _take_over(sums, mine, theirs, old=other, keeper=one)
        sums[one], sums[other] = mine, None
        parent[other], size[one] = one, size[one] + size[other]
        for neighbour, total in mine.items():
            mean = total / (size[one] * size[neighbour])
            if mean > threshold:
                heapq.heappush(waiting, (-mean, min(one, neighbour), max(one, neighbour)))
    return Grouping(_roots(parent), refused)


def _take_over(
    sums: list[dict[int, float] | None], mine: dict[int, float], theirs: dict[int, float], *, old: int, keeper: int
) -> None:
    """Add the sums `theirs` to `mine`, and let all neighbours know them under `keeper` and no more under `old`."""
    for neighbour, total in theirs.items():
        mine[neighbour] = mine.get(neighbour, 0.0) + total
    for neighbour, total in mine.items():
        known = sums[neighbour]
        if known is not None:
            known.pop(old, None)
            known[keeper] = total


def _roots(parent: list[int]) -> np.ndarray:
    """The end of each row's chain of parents. A parent is always the smaller row, so one pass in order is enough."""
    for row, above in enumerate(parent):
        parent[row] = parent[above]
    return np.array(parent, dtype=np.int64)
