"""Two answers to who is who, beside each other: which of today's customers would merge, split or hold other identifiers."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
NOBODY = -1


@dataclass(frozen=True)
class Example:
    """One customer that would change, and the identifiers that go where: (customer id, count), the most first."""

    customer_id: str
    parts: list[tuple[str | None, int]]

    @property
    def size(self) -> int:
        """Identifiers in all."""
        return sum(count for _, count in self.parts)


@dataclass(frozen=True)
class Differences:
    """What differs between memberships before and after (each: identifier_id, customer_id, valid_from, valid_to).

    `customers`: ids of today's customers; by those: `merges` (with another of today's customers), `splits` (its own identifiers go to
    two or more), `otherwise` (only loses identifiers to nobody or to several people, or gains such, or other periods of shared ones).
    `merged` and `split`: the largest examples, of a customer after and of one before.
    """

    customers: pa.Array
    merges: Flags
    splits: Flags
    otherwise: Flags
    merged_count: int
    merged: list[Example]
    split: list[Example]
    split_into: int

    @property
    def moves(self) -> Flags:
        """Today's customers that would not be what they are."""
        return self.merges | self.splits | self.otherwise

    @property
    def only_otherwise(self) -> Flags:
        """Today's customers that change, but neither merge nor split."""
        return self.otherwise & ~self.merges & ~self.splits

    def among(self, customer_ids: pa.ChunkedArray) -> dict[str, int]:
        """How many of these customers would merge, split (the same may do both), or only change otherwise."""
        places = pc.drop_null(pc.index_in(customer_ids, value_set=self.customers))
        known = np.asarray(places.to_numpy(), dtype=np.int64)
        return {
            "members": len(customer_ids),
            "merge": int(self.merges[known].sum()),
            "split": int(self.splits[known].sum()),
            "otherwise": int(self.only_otherwise[known].sum()),
        }


def compare(before: pa.Table, after: pa.Table, *, examples: int) -> Differences:
    """Compare two answers. Cost: n log n in their rows."""
    customers = pc.unique(before["customer_id"])
    new_ids = pc.unique(after["customer_id"])
    own_before, own_after = (table.filter(pc.is_null(table["valid_from"])) for table in (before, after))
    identifiers = pc.unique(
        pa.chunked_array([*own_before["identifier_id"].chunks, *own_after["identifier_id"].chunks], pa.string())
    )
    old = _by_identifier(own_before, identifiers, customers)
    new = _by_identifier(own_after, identifiers, new_ids)

    both = (old != NOBODY) & (new != NOBODY)
    pairs, counts = np.unique(np.column_stack((old[both], new[both])), axis=0, return_counts=True)
    pairs = pairs.reshape(-1, 2)
    holders = np.bincount(pairs[:, 1], minlength=len(new_ids))
    heirs = np.bincount(pairs[:, 0], minlength=len(customers))
    merges, otherwise = np.zeros(len(customers), dtype=bool), np.zeros(len(customers), dtype=bool)
    merges[pairs[holders[pairs[:, 1]] > 1, 0]] = True
    otherwise[old[(old != NOBODY) & (new == NOBODY)]] = True
    gaining = np.zeros(len(new_ids), dtype=bool)
    gaining[new[(old == NOBODY) & (new != NOBODY)]] = True
    otherwise[pairs[gaining[pairs[:, 1]], 0]] = True
    otherwise[_holders_of_other_periods(before, after, customers)] = True
    splits = heirs > 1
    return Differences(
        customers=customers,
        merges=merges,
        splits=splits,
        otherwise=otherwise,
        merged_count=int((holders > 1).sum()),
        merged=_examples(pairs[:, ::-1], counts, (new_ids, customers), holders > 1, examples),
        split=_examples(pairs, counts, (customers, new_ids), splits, examples),
        split_into=int(heirs[splits].sum()),
    )


def largest(memberships: pa.Table, count: int) -> list[tuple[str, int]]:
    """Customers with the most identifiers of their own, and how many."""
    own = memberships.filter(pc.is_null(memberships["valid_from"]))
    sizes = own.group_by("customer_id").aggregate([([], "count_all")])
    order = [("count_all", "descending"), ("customer_id", "ascending")]
    rows: list[dict[str, Any]] = sizes.take(pc.sort_indices(sizes, sort_keys=order)[:count]).to_pylist()
    return [(row["customer_id"], row["count_all"]) for row in rows]


def _by_identifier(own: pa.Table, identifiers: pa.Array, ids: pa.Array) -> Ints:
    """By identifier: the place of its customer in `ids`, NOBODY where it has none of its own."""
    found = np.full(len(identifiers), NOBODY, dtype=np.int64)
    found[_places(own["identifier_id"], identifiers)] = _places(own["customer_id"], ids)
    return found


def _places(values: pa.ChunkedArray, ids: pa.Array) -> Ints:
    return np.asarray(pc.index_in(values, value_set=ids).to_numpy(), dtype=np.int64)


def _holders_of_other_periods(before: pa.Table, after: pa.Table, customers: pa.Array) -> Ints:
    """Today's customers with a period of a shared identifier in one answer only."""
    columns = ["identifier_id", "customer_id", "valid_from", "valid_to"]
    shared = [table.filter(pc.is_valid(table["valid_from"])).select(columns) for table in (before, after)]
    counted = pa.concat_tables(shared).group_by(columns).aggregate([([], "count_all")])
    alone = counted.filter(pc.equal(counted["count_all"], 1))["customer_id"]
    places = pc.index_in(alone, value_set=customers)
    return np.asarray(pc.drop_null(places).to_numpy(), dtype=np.int64)


def _examples(pairs: Ints, counts: Ints, ids: tuple[pa.Array, pa.Array], wanted: Flags, count: int) -> list[Example]:
    """The largest of the wanted customers by identifiers, each with its parts. `ids`: those of the two columns of `pairs`."""
    whole, parts = ids
    sizes = np.bincount(pairs[:, 0], weights=counts, minlength=len(whole))
    chosen = np.flatnonzero(wanted)
    chosen = chosen[np.argsort(-sizes[chosen], kind="stable")][:count]
    found = []
    for each in chosen.tolist():
        rows = np.flatnonzero(pairs[:, 0] == each)
        rows = rows[np.argsort(-counts[rows], kind="stable")]
        listed: list[tuple[str | None, int]] = [(parts[int(pairs[row, 1])].as_py(), int(counts[row])) for row in rows]
        found.append(Example(whole[each].as_py(), listed))
    return found
