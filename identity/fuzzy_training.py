"""How telling an agreement is, learned from the contacts themselves by expectation maximisation (EM).

A pair of contacts is a pattern: for each field a level, from 0 (differ) to the highest (equal), or -1 where one has no value.
u, how often a level is seen among any two people, is counted by Splink on random pairs. m, how often it is seen between two
contacts of one person, is learned here, in one session per field that identifies on its own: among the pairs that are equal
in that field, the others are either those of one person or no better than random. What the sessions count as one person's is
added up and smoothed by PRIOR_MATCHES matches of a plausible make, so that a set with few or no duplicates teaches nothing
instead of nonsense: without that, and in one EM over everything, whatever class of pairs is largest becomes 'the same person'.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

SESSIONS: Final[tuple[tuple[str, ...], ...]] = (
    ("given_name", "family_name"),
    ("birth_date",),
    ("email",),
    ("phone",),
    ("national_id",),
    ("postcode",),
    ("street",),
)

PRIOR_MATCHES: Final = 20
"""Weight of the plausible match beside those found."""

OWN: Final[dict[str, int]] = {"given_name": 2, "birth_date": 4, "email": 1, "phone": 2, "national_id": 2}
"""Fields that are a person's own, and the level from which two values of them agree. The others a household shares."""

DIFFERENT_PEOPLE: Final = 2
"""Two contacts that differ in so many more of these than they agree in are of two people, whatever household they share."""

ROUNDS: Final = 100
STEADY: Final = 1e-6


@dataclass(frozen=True)
class Patterns:
    """Distinct patterns of compared pairs: fields, a row of levels per pattern, and how many pairs show it."""

    fields: Sequence[str]
    levels: np.ndarray
    pairs: np.ndarray


@dataclass(frozen=True)
class Trained:
    """m per field and level, and the probability that two random contacts are one person's."""

    m: list[np.ndarray]
    prior: float


def could_be_one(fields: Sequence[str], levels: np.ndarray) -> np.ndarray:
    """A flag per pattern: what is a person's own does not speak against it.

    Those of one household agree in everything else, and are so many that the latent class would be 'the same household'.
    """
    against = np.zeros(len(levels), dtype=np.int64)
    for place, field in enumerate(fields):
        if field in OWN:
            against += (levels[:, place] >= 0).astype(np.int64) - 2 * (levels[:, place] >= OWN[field])
    return np.asarray(against < DIFFERENT_PEOPLE)


def plausible(levels: int) -> np.ndarray:
    """How two contacts of one person are expected to agree before anything is learned."""
    if levels < 3:
        return np.array([0.1, 0.9])[-levels:] / (1.0 if levels == 2 else 0.9)
    return np.array([0.1, *[0.2 / (levels - 2)] * (levels - 2), 0.7])


def train(patterns: Patterns, u: Sequence[np.ndarray], total_pairs: int) -> Trained:
    """Learn m and the prior. u: per field, the share of random pairs at each level; total_pairs: of all contacts."""
    possible = could_be_one(patterns.fields, patterns.levels)
    starting = [plausible(len(levels)) for levels in u]
    counted = [np.zeros(len(levels)) for levels in u]
    for session in SESSIONS:
        if not set(session) <= set(patterns.fields):
            continue
        known = [patterns.fields.index(field) for field in session]
        equal = possible & np.all([patterns.levels[:, place] == len(u[place]) - 1 for place in known], axis=0)
        free = [place for place in range(len(u)) if place not in known]
        if equal.any() and free:
            found = _session(patterns.levels[equal], patterns.pairs[equal], u, starting, free)
            for place, counts in found.items():
                counted[place] += counts
    m = [_smoothed(counts, start) for counts, start in zip(counted, starting, strict=True)]
    likely = Patterns(patterns.fields, patterns.levels[possible], patterns.pairs[possible])
    return Trained(m, _prior(likely, u, m, total_pairs))


def _session(
    levels: np.ndarray, pairs: np.ndarray, u: Sequence[np.ndarray], starting: Sequence[np.ndarray], free: Sequence[int]
) -> dict[int, np.ndarray]:
    """Expected counts of levels among the pairs of one person, for the fields that the session leaves free."""
    m = {place: starting[place] for place in free}
    share, counts = 0.5, {}
    for _ in range(ROUNDS):
        weights = _log_odds(share) + sum(_evidence(levels[:, place], m[place], u[place]) for place in free)
        expected = pairs / (1 + np.exp(-weights))
        counts = {place: _counts(levels[:, place], expected, len(u[place])) for place in free}
        m = {place: _smoothed(counts[place], starting[place]) for place in free}
        before, share = share, float(np.clip(expected.sum() / pairs.sum(), STEADY, 1 - STEADY))
        if abs(share - before) < STEADY:
            break
    return counts


def _prior(patterns: Patterns, u: Sequence[np.ndarray], m: Sequence[np.ndarray], total_pairs: int) -> float:
    """The share of all pairs that are one person's, such that it is also what the compared pairs then sum to."""
    evidence = sum(_evidence(patterns.levels[:, place], m[place], u[place]) for place in range(len(u)))
    least = 0.5 / total_pairs
    prior = 1 / np.sqrt(total_pairs)  # far more than is plausible: the way down finds the larger of several answers
    for _ in range(ROUNDS):
        expected = float((patterns.pairs / (1 + np.exp(-(_log_odds(prior) + evidence)))).sum())
        before, prior = prior, min(max(expected / total_pairs, least), 0.5)
        if abs(np.log(prior / before)) < STEADY:
            break
    return float(prior)


def _evidence(levels: np.ndarray, m: np.ndarray, u: np.ndarray) -> np.ndarray:
    weights = np.log(m / u)
    return np.where(levels >= 0, weights[np.maximum(levels, 0)], 0.0)


def _log_odds(probability: float) -> float:
    return float(np.log(probability) - np.log1p(-probability))


def _counts(levels: np.ndarray, expected: np.ndarray, size: int) -> np.ndarray:
    seen = levels >= 0
    return np.bincount(levels[seen], weights=expected[seen], minlength=size)


def _smoothed(counts: np.ndarray, start: np.ndarray) -> np.ndarray:
    weighted = counts + PRIOR_MATCHES * start
    return np.asarray(weighted / weighted.sum())
