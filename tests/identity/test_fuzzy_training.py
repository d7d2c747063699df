"""What is learned from patterns of agreement: the truth where there is one, nothing where there is none."""

import numpy as np
import pytest

from identity.fuzzy_training import PRIOR_MATCHES, Patterns, could_be_one, plausible, train

U = [np.array([0.95, 0.04, 0.01]), np.array([0.98, 0.015, 0.005]), np.array([0.9, 0.1])]
M = [np.array([0.05, 0.15, 0.8]), np.array([0.1, 0.3, 0.6]), np.array([0.2, 0.8])]
FIELDS = ["email", "birth_date", "city"]


def drawn(matches: int, others: int) -> Patterns:
    """Patterns of so many pairs of one person and so many of two, each field on its own."""
    random = np.random.default_rng(11)
    rows = [
        np.column_stack([random.choice(len(shares), size=size, p=shares) for shares in chances])
        for size, chances in ((matches, M), (others, U))
    ]
    levels, pairs = np.unique(np.concatenate(rows), axis=0, return_counts=True)
    return Patterns(FIELDS, levels, pairs.astype(float))


def test_m_and_the_prior_are_found_again():
    trained = train(drawn(20_000, 980_000), U, 1_000_000)
    assert trained.prior == pytest.approx(0.02, rel=0.1)
    for learned, true in zip(trained.m, M, strict=True):
        assert learned == pytest.approx(true, abs=0.05)


def test_without_duplicates_none_are_expected():
    trained = train(drawn(0, 500_000), U, 500_000)
    assert trained.prior * 500_000 < 5


def test_missing_values_say_nothing():
    patterns = Patterns(FIELDS, np.full((1, 3), -1), np.array([1000.0]))
    trained = train(patterns, U, 1000)
    assert [learned.tolist() for learned in trained.m] == [
        pytest.approx(plausible(len(shares)).tolist()) for shares in U
    ]


def test_everything_is_a_probability_on_any_counts():
    random = np.random.default_rng(5)
    for _ in range(50):
        levels = np.column_stack([random.integers(-1, len(shares), 40) for shares in U])
        patterns = Patterns(FIELDS, levels, random.integers(0, 10**6, 40).astype(float) + 1)
        trained = train(patterns, U, int(patterns.pairs.sum()))
        assert 0 < trained.prior <= 0.5
        for learned in trained.m:
            assert learned.min() > 0 and learned.sum() == pytest.approx(1)


def test_the_plausible_match_is_a_distribution():
    for levels in range(1, 7):
        assert plausible(levels).shape == (levels,) and plausible(levels).sum() == pytest.approx(1)
    assert PRIOR_MATCHES > 0


def test_what_is_a_persons_own_can_speak_against_any_household():
    fields = ["given_name", "birth_date", "phone", "street"]
    levels = np.array([[0, 0, 0, 3], [4, 0, 0, 3], [4, 0, -1, 3], [0, -1, -1, 3], [4, 5, 0, 0], [-1, -1, -1, 3]])
    assert could_be_one(fields, levels).tolist() == [False, True, True, True, True, True]
    assert could_be_one([*fields, "email"], np.column_stack([levels, np.zeros(6, dtype=int)])).tolist() == [
        *(False, False, True, False, True, True)
    ]
