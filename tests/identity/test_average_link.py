"""Average link against a direct implementation, and the promises that its callers rely on."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.average_link import Grouping, average_link

SCORES = [0.1, 0.3, 0.5, 0.9, 1.0]


@st.composite
def scored_pairs(draw: st.DrawFn) -> tuple[int, dict[tuple[int, int], float]]:
    rows = draw(st.integers(1, 9))
    pairs = draw(
        st.sets(st.tuples(st.integers(0, rows - 1), st.integers(0, rows - 1)).filter(lambda pair: pair[0] < pair[1]))
    )
    return rows, {pair: draw(st.sampled_from(SCORES)) for pair in sorted(pairs)}


def group(rows: int, pairs: dict[tuple[int, int], float], *, threshold: float = 0.3, max_size: int = 50) -> Grouping:
    left, right = (np.array([pair[side] for pair in pairs], dtype=np.int64) for side in (0, 1))
    return average_link(rows, left, right, np.array(list(pairs.values())), threshold=threshold, max_size=max_size)


def directly(rows: int, pairs: dict[tuple[int, int], float], *, threshold: float, max_size: int) -> list[int]:
    """The definition, word by word: all means anew after every join."""
    groups = [[row] for row in range(rows)]
    while True:
        best = None
        for one, other in combinations(range(len(groups)), 2):
            if len(groups[one]) + len(groups[other]) > max_size:
                continue
            between = sum(pairs.get((min(a, b), max(a, b)), 0.0) for a in groups[one] for b in groups[other])
            mean = between / (len(groups[one]) * len(groups[other]))
            names = min(groups[one][0], groups[other][0]), max(groups[one][0], groups[other][0])
            if mean > threshold and (best is None or (-round(mean, 9), names) < best[0]):
                best = (-round(mean, 9), names), one, other
        if best is None:
            break
        _, one, other = best
        groups[one] = sorted(groups[one] + groups.pop(other))
        groups.sort()
    return [min(members) for row in range(rows) for members in groups if row in members]


@given(scored_pairs(), st.sampled_from([0.05, 0.25, 0.45]), st.integers(1, 9))
def test_it_groups_as_the_definition_says(drawn, threshold, max_size):
    rows, pairs = drawn
    # scores whose sums are exact, so that equal means are equal in both ways of adding
    exact = {pair: round(score * 8) / 8 for pair, score in pairs.items()}
    found = group(rows, exact, threshold=threshold, max_size=max_size)
    assert found.groups.tolist() == directly(rows, exact, threshold=threshold, max_size=max_size)


@given(scored_pairs(), st.randoms(use_true_random=False))
def test_the_order_of_pairs_does_not_matter(drawn, random):
    rows, pairs = drawn
    shuffled = list(pairs.items())
    random.shuffle(shuffled)
    assert group(rows, pairs).groups.tolist() == group(rows, dict(shuffled)).groups.tolist()


@given(scored_pairs(), st.integers(1, 4))
def test_no_group_is_larger_than_allowed(drawn, max_size):
    rows, pairs = drawn
    groups = group(rows, pairs, threshold=0.05, max_size=max_size).groups
    assert np.bincount(groups).max() <= max_size


def test_a_chain_of_lookalikes_is_not_one_person():
    chain = {(row, row + 1): 1.0 for row in range(9_999)}
    groups = group(10_000, chain).groups
    assert np.bincount(groups).max() <= 4, "neighbours are alike, the ends of the chain are strangers"


def test_a_hub_whom_everybody_resembles_takes_in_few():
    star = {(0, row): 1.0 for row in range(1, 20_000)}
    assert np.bincount(group(20_000, star).groups).max() <= 4


def test_a_join_over_the_largest_size_is_counted():
    found = group(4, {pair: 1.0 for pair in combinations(range(4), 2)}, max_size=3)
    assert found.groups.tolist() == [0, 0, 0, 3] or found.groups.tolist() == [0, 0, 2, 2]
    assert found.refused >= 1


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_without_pairs_everybody_is_alone(rows):
    assert group(rows, {}).groups.tolist() == list(range(rows))
