"""Fuzzy matching on four public sets: exact keys, Splink with thresholds and connected components, and Weft."""

import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bench.comparison import markdown_table
from bench.contact_sets import SETS, ContactSet, Score, score
from bench.harness import BenchError
from identity.average_link import average_link
from identity.contacts import key_codes, normalise_contacts
from identity.fuzzy import LARGEST_PERSON, Matches, MissingSplinkError, match_contacts, match_exactly

THRESHOLDS = (0.2, 0.5, 0.8, 0.95, 0.99)
OTHER_MEANS = (0.2, 0.4)
"""Beside the one that the product uses (identity.fuzzy.JOIN_ABOVE)."""

COLUMNS = ["set", "method", "P", "R", "F1", "B3", "largest (true)", "s"]
NAME_AND_BIRTH = (("given_name", "family_name", "birth_date"),)


def run(size: int, repeats: int) -> str:
    """Score every set whose files are here. Always the whole sets, always once: quality is what is asked."""
    del size, repeats
    rows: list[list[str]] = []
    for name, contact_set in SETS.items():
        if not all(path.exists() for path in contact_set.paths()):
            rows.append([name, "skipped: ../shared/data has no such files", *[""] * 6])
            continue
        try:
            rows += [[name, *row] for row in _methods(contact_set)]
        except MissingSplinkError as error:
            raise BenchError(str(error)) from error
    return "\n".join(["### Fuzzy", "", *markdown_table(COLUMNS, rows)])


def _methods(contact_set: ContactSet) -> Iterator[list[str]]:
    contacts, people = contact_set.read()
    largest = int(np.bincount(people).max())

    def row(method: str, result: Score, seconds: float | None = None) -> list[str]:
        shares = [f"{value:.4f}" for value in (result.precision, result.recall, result.f1, result.b_cubed)]
        return [method, *shares, f"{result.largest} ({largest})", "" if seconds is None else f"{seconds:.1f}"]

    yield row("name and birth date equal", score(_same_name_and_birth(contacts), people))
    started = time.perf_counter()
    exact = match_exactly(contacts)
    yield row("Weft, exact mode", score(exact.groups, people), time.perf_counter() - started)
    started = time.perf_counter()
    matches = match_contacts(contacts)
    seconds = time.perf_counter() - started
    for threshold in THRESHOLDS:
        groups = _components(matches, contacts.num_rows, threshold)
        yield row(f"the same scores, {threshold}, connected components", score(groups, people))
    for mean in OTHER_MEANS:
        yield row(
            f"the same scores, average link above {mean}",
            score(_average_link(matches, contacts.num_rows, mean), people),
        )
    yield row("**Weft, average link**", score(matches.groups, people), seconds)


def _same_name_and_birth(contacts: pa.Table) -> np.ndarray:
    codes = key_codes(normalise_contacts(contacts), NAME_AND_BIRTH)[0][1]
    return np.where(codes >= 0, codes, np.arange(codes.size) + codes.size)


def _average_link(matches: Matches, rows: int, mean: float) -> np.ndarray:
    left, right, probability = (matches.pairs[name].to_numpy() for name in ("left", "right", "probability"))
    return average_link(rows, left, right, probability, threshold=mean, max_size=LARGEST_PERSON).groups


def _components(matches: Matches, rows: int, threshold: float) -> np.ndarray:
    kept = matches.pairs["probability"].to_numpy() >= threshold
    one, other = (matches.pairs[side].to_numpy()[kept] for side in ("left", "right"))
    links = coo_array((np.ones(one.size, dtype=np.int8), (one, other)), shape=(rows, rows))
    return np.asarray(connected_components(links, directed=False)[1])
