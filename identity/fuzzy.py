"""Which contacts are probably one person: Splink compares and scores them, average link groups them. One configuration for all.

Nothing here is tuned to a set of data: which fields are there decides what is compared and under which keys, and what an
agreement is worth is learned from the contacts (identity.fuzzy_training). The answer is a proposal; it merges nobody.
Splink is an extra; without it match_contacts raises MissingSplinkError, and match_exactly works.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from identity.average_link import Grouping, average_link
from identity.comparisons import comparisons
from identity.contacts import (
    EXACT_KEYS,
    MIN_PAIRS,
    blocks,
    key_codes,
    normalise_contacts,
    pair_count,
    without_large_blocks,
)
from identity.fuzzy_training import Patterns, Trained, could_be_one, train
from identity.tables import IdentityError

JOIN_ABOVE: Final = 0.3
"""Mean probability over all pairs of two groups above which they join. Between 0.2 and 0.4 the answer hardly changes."""

LARGEST_PERSON: Final = 50
"""Nobody has more contacts than this; a join that would make such a person is refused."""

KEPT_PROBABILITY: Final = 0.01
"""A pair below this counts as one that was never compared."""

PAIRS_IN_MEMORY: Final = 5_000_000
"""Splink keeps about 1 KB a compared pair; more pairs than this are kept in files of a temporary folder."""

RANDOM_PAIRS: Final = 300_000
"""Pairs at random on which it is counted how often people agree by chance. Equal values are weighed by their own frequency."""

SEED: Final = 1

PAIRS: Final = pa.schema(
    [
        ("left", pa.int64()),
        ("right", pa.int64()),
        ("probability", pa.float64()),
        ("equal", pa.string()),
        ("alike", pa.string()),
    ]
)
"""One row per pair of contacts (places in the table, left < right) that may be one person; equal, alike: names of fields."""


class MissingSplinkError(IdentityError):
    """Splink is not installed."""


@dataclass(frozen=True)
class Matches:
    """What was found: scored pairs, groups (the smallest place of each contact's group), and how it was found."""

    pairs: pa.Table
    groups: np.ndarray
    refused_joins: int
    compared_pairs: int
    prior: float


def match_contacts(contacts: pa.Table, *, join_above: float = JOIN_ABOVE, max_size: int = LARGEST_PERSON) -> Matches:
    """Score pairs of contacts and group them. `contacts`: any of the columns of identity.contacts.FIELDS and full_name, text.

    Time and memory grow with the pairs compared, at most 100 per contact (MIN_PAIRS for few contacts), and their logarithm.
    """
    if not 0 < join_above < 1 or max_size < 1:
        raise IdentityError(
            f"join_above must be between 0 and 1 and max_size at least 1, not {join_above} and {max_size}."
        )
    splink = _import_splink()
    written, keys = normalise_contacts(contacts), {}
    rows, total = contacts.num_rows, contacts.num_rows * (contacts.num_rows - 1) // 2
    with_everybody = total <= MIN_PAIRS
    if not with_everybody:
        keys = blocks(written)
    if not written.num_columns or total == 0 or not (with_everybody or keys):
        return Matches(PAIRS.empty_table(), np.arange(rows, dtype=np.int64), 0, 0, 0.0)
    pairs = sum(pair_count(codes) for codes in keys.values()) if keys else total
    with TemporaryDirectory(prefix="weft-fuzzy-") as folder:
        in_files = {"materialisation": "parquet", "materialisation_dir": folder} if pairs > PAIRS_IN_MEMORY else {}
        scored, compared, prior = _score(splink, splink.DuckDBAPI(**in_files), written, keys, total)
    left, right = scored["left"].to_numpy(), scored["right"].to_numpy()
    grouping = average_link(
        rows, left, right, scored["probability"].to_numpy(), threshold=join_above, max_size=max_size
    )
    return Matches(scored, grouping.groups, grouping.refused, compared, prior)


def links_to_propose(matches: Matches, *, least: float, allowed: np.ndarray | None = None) -> pa.Table:
    """The fewest and most probable pairs that make each group one person: rows of PAIRS, the most probable first.

    A group of n needs n - 1 of them; fewer where the pairs left are below `least` or not `allowed` (a flag per pair).
    """
    pairs, groups = matches.pairs, matches.groups
    left, right = pairs["left"].to_numpy(), pairs["right"].to_numpy()
    probability = pairs["probability"].to_numpy()
    usable = (probability >= least) & (groups[left] == groups[right])
    if allowed is not None:
        usable &= allowed
    places = np.flatnonzero(usable)
    places = places[np.lexsort((right[places], left[places], -probability[places]))]
    together = list(range(groups.size))
    chosen = []
    for place in places.tolist():
        one, other = _find(together, int(left[place])), _find(together, int(right[place]))
        if one != other:
            together[max(one, other)] = min(one, other)
            chosen.append(place)
    return pairs.take(pa.array(chosen, pa.int64()))


def _find(together: list[int], row: int) -> int:
    while together[row] != row:
        together[row] = together[together[row]]
        row = together[row]
    return row


def match_exactly(contacts: pa.Table, *, max_size: int = LARGEST_PERSON) -> Grouping:
    """Exact mode: contacts that share a key of EXACT_KEYS letter by letter are one person. Needs no Splink. O(contacts).

    A key that more than max_size contacts share is no key; a group that still becomes larger is taken apart (`refused` groups).
    """
    rows, ones, others = contacts.num_rows, [], []
    for _, codes in key_codes(normalise_contacts(contacts), EXACT_KEYS):
        kept = without_large_blocks(codes, max_size)
        places = np.flatnonzero(kept >= 0)
        places = places[np.argsort(kept[places], kind="stable")]
        together = kept[places[1:]] == kept[places[:-1]]
        ones.append(places[:-1][together])
        others.append(places[1:][together])
    if not ones:
        return Grouping(np.arange(rows, dtype=np.int64), 0)
    one, other = np.concatenate(ones), np.concatenate(others)
    links = coo_array((np.ones(one.size, dtype=np.int8), (one, other)), shape=(rows, rows))
    _, labels = connected_components(links, directed=False)
    _, first, inverse, sizes = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    too_large = sizes > max_size
    groups = np.where(too_large[inverse], np.arange(rows), first[inverse])
    return Grouping(groups.astype(np.int64), int(too_large.sum()))


def _import_splink() -> Any:
    try:
        import splink  # noqa: PLC0415  an extra: the rest of the package works without it
    except ImportError as error:
        raise MissingSplinkError(
            "Fuzzy matching needs Splink, which is not installed: type pip install 'weft[fuzzy]'."
        ) from error
    return splink


def _score(
    splink: Any, database: Any, written: pa.Table, keys: dict[str, np.ndarray], total: int
) -> tuple[pa.Table, int, float]:
    """The pairs above KEPT_PROBABILITY, how many pairs were compared, and the prior."""
    columns = {"unique_id": pa.array(np.arange(written.num_rows, dtype=np.int64))}
    columns |= {field: written.column(field) for field in written.column_names}
    columns |= {f"key_{name}": pa.array(codes, mask=codes < 0) for name, codes in keys.items()}
    database.duckdb_con.execute("set enable_progress_bar = false")
    table = database.register(pa.table(columns))
    settings = splink.SettingsCreator(
        link_type="dedupe_only",
        comparisons=comparisons(written.column_names),
        blocking_rules_to_generate_predictions=[f"l.key_{name} = r.key_{name}" for name in keys] or ["1 = 1"],
        retain_matching_columns=True,
        retain_intermediate_calculation_columns=False,
    )
    untrained = splink.Linker(table, settings, log_level=logging.ERROR)
    untrained.training.estimate_u_using_random_sampling(max_pairs=RANDOM_PAIRS, seed=SEED, min_count_per_level=None)
    model = untrained.misc.save_model_to_json()
    u = [_u(comparison, min(RANDOM_PAIRS, total)) for comparison in model["comparisons"]]
    fields = [comparison["output_column_name"] for comparison in model["comparisons"]]
    levels = ", ".join(f"gamma_{field}" for field in fields)
    compared = untrained.inference.predict(warning_mode="never")
    counted = untrained.misc.query_sql(
        f"select {levels}, count(*) as pairs from {compared.physical_name} group by {levels} order by {levels}"
    ).as_pyarrow_table()
    patterns = Patterns(fields, _matrix(counted, fields), counted["pairs"].to_numpy().astype(float))
    if not patterns.pairs.size:
        return PAIRS.empty_table(), 0, 0.0
    trained = train(patterns, u, total)
    linker = splink.Linker(table, _trained_model(model, trained, u), log_level=logging.ERROR)
    predicted = linker.inference.predict(threshold_match_probability=KEPT_PROBABILITY, warning_mode="never")
    answer = linker.misc.query_sql(
        "select least(unique_id_l, unique_id_r) as lower_id, greatest(unique_id_l, unique_id_r) as upper_id, "
        f"match_probability, {levels} from {predicted.physical_name} order by 1, 2"
    ).as_pyarrow_table()
    answer = answer.filter(pa.array(could_be_one(fields, _matrix(answer, fields))))
    return _pairs(answer, fields, [len(levels) - 1 for levels in u]), int(patterns.pairs.sum()), trained.prior


def _observed(comparison: dict[str, Any]) -> list[dict[str, Any]]:
    """The levels of a comparison from the lowest (different) to the highest (equal): the order of their numbers."""
    return [level for level in reversed(comparison["comparison_levels"]) if not level.get("is_null_level")]


def _u(comparison: dict[str, Any], sampled: int) -> np.ndarray:
    """Share of random pairs at each level. What was never seen among them is as rare as half a pair."""
    shares = [level.get("u_probability") for level in _observed(comparison)]
    least = 0.5 / sampled
    return np.array([max(share, least) if isinstance(share, float) else least for share in shares])


def _trained_model(model: dict[str, Any], trained: Trained, u: list[np.ndarray]) -> dict[str, Any]:
    for comparison, m, shares in zip(model["comparisons"], trained.m, u, strict=True):
        for level, of_matches, of_all in zip(_observed(comparison), m, shares, strict=True):
            level["m_probability"], level["u_probability"] = float(of_matches), float(min(of_all, 1.0))
    return {**model, "probability_two_random_records_match": trained.prior}


def _matrix(table: pa.Table, fields: list[str]) -> np.ndarray:
    return np.column_stack([table[f"gamma_{field}"].to_numpy().astype(np.int64) for field in fields])


def _pairs(answer: pa.Table, fields: list[str], highest: list[int]) -> pa.Table:
    """Splink's answer as PAIRS; the names of fields are put together once for each pattern that occurs."""
    patterns, places = np.unique(_matrix(answer, fields), axis=0, return_inverse=True)
    named: list[tuple[str, str]] = []
    for pattern in patterns:
        seen = list(zip(fields, pattern, highest, strict=True))
        named.append(
            (
                ", ".join(field for field, level, top in seen if level == top),
                ", ".join(field for field, level, top in seen if 0 < level < top),
            )
        )
    indices = pa.array(places.reshape(-1))
    return pa.table(
        [
            answer["lower_id"],
            answer["upper_id"],
            answer["match_probability"].combine_chunks().fill_null(math.nan),
            pa.array([equal for equal, _ in named], pa.string()).take(indices),
            pa.array([alike for _, alike in named], pa.string()).take(indices),
        ],
        schema=PAIRS,
    )
