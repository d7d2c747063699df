"""What recommendations are handed: acts of customers with products, known at a date; and the numbers made of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from ml.schema import FloatArray

IntArray = npt.NDArray[np.int64]
TextArray = npt.NDArray[np.object_]
ONE_DAY: Final = 86_400_000_000
"""In microseconds."""
HALF_LIFE_DAYS: Final = 90.0
VIEW_HALF_LIFE_DAYS: Final = 7.0
VIEW_WEIGHT: Final = 0.3
"""What a view weighs beside an order in a customer's interest; a cart weighs twice that."""
VIEW_DAYS: Final = 30
"""How far back views and carts are read."""

PURCHASES: Final = ("customer_id", "order_key", "product_id", "ordered_at")
"""One row per line of an order that stood at the date, of the customer that it was known to be of."""
VIEWS: Final = ("customer_id", "product_id", "occurred_at", "is_cart")
"""One row per product looked at or put into a cart in the `VIEW_DAYS` before the date."""
PRODUCTS: Final = ("product_id", "product_name", "category", "stock", "is_repeatable")
"""One row per product of the catalogue or of an order; nulls where nobody says."""
OUTCOMES: Final = ("customer_id", "product_id")
"""One row per product that a customer with an order before the date bought in the horizon after it."""


@dataclass(frozen=True)
class Acts:
    """What was known at `as_of_date` of some customers: frames with the columns PURCHASES and VIEWS."""

    as_of_date: date
    purchases: pd.DataFrame
    views: pd.DataFrame

    def of(self, ids: Sequence[str]) -> "Acts":
        """The part of those customers."""
        bought, seen = self.purchases, self.views
        wanted = set(ids)
        return Acts(self.as_of_date, bought[bought["customer_id"].isin(wanted)], seen[seen["customer_id"].isin(wanted)])


@dataclass(frozen=True)
class Baskets:
    """Everything with known outcomes, of a sample of `share` of the customers, by date; `products` as they are now."""

    horizon_days: int
    acts: Mapping[date, Acts]
    outcomes: Mapping[date, pd.DataFrame]
    products: pd.DataFrame
    share: float = 1.0

    def has_products(self, day: date) -> bool:
        """Whether orders name products on both sides of `day`, so that something can be learnt of it."""
        return not self.acts[day].purchases.empty and not self.outcomes[day].empty

    def on(self, *days: date) -> "Baskets":
        """The part of those dates."""
        acts, outcomes = {day: self.acts[day] for day in days}, {day: self.outcomes[day] for day in days}
        return Baskets(self.horizon_days, acts, outcomes, self.products, self.share)


@dataclass(frozen=True)
class Pairs:
    """Numbers of (customer row, product column) pairs, ascending by `keys` = row * width + column, each pair once."""

    keys: IntArray
    values: FloatArray
    width: int

    @property
    def rows(self) -> IntArray:
        """Customer row per pair."""
        return self.keys // self.width

    @property
    def columns(self) -> IntArray:
        """Product column per pair."""
        return self.keys % self.width

    def at(self, keys: IntArray, *, otherwise: float = 0.0) -> FloatArray:
        """The number of each asked pair, `otherwise` where there is none."""
        if not len(self.keys):
            return np.full(len(keys), otherwise)
        place = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[place] == keys, self.values[place], otherwise)

    def matrix(self, rows: int) -> sparse.csr_matrix:
        """As a sparse matrix (rows, width)."""
        return sparse.csr_matrix((self.values, (self.rows, self.columns)), shape=(rows, self.width))

    def plus(self, other: "Pairs", weight: float) -> "Pairs":
        """These numbers plus `weight` times those of the other pairs."""
        if not len(other.keys):
            return self
        keys = distinct(self.keys, other.keys)
        return Pairs(keys, self.at(keys) + weight * other.at(keys), self.width)


def distinct(*keys: IntArray) -> IntArray:
    """All keys, ascending, each once; sorting is several times faster here than np.unique, which hashes."""
    every = np.sort(np.concatenate(keys))
    return every[np.r_[True, every[1:] != every[:-1]]] if len(every) else every


def pairs_of(matrix: sparse.csr_matrix) -> Pairs:
    """The entries of a sparse matrix (customers, products)."""
    matrix.sort_indices()
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.int64), np.diff(matrix.indptr))
    return Pairs(rows * matrix.shape[1] + matrix.indices, matrix.data.astype(np.float64), matrix.shape[1])


@dataclass(frozen=True)
class Histories:
    """Acts of the customers `ids` (row = place in it) with the products of an index (column = place in it).

    Per pair: orders with the product, days since the last and first of them, orders halved every `HALF_LIFE_DAYS`, views
    and carts halved every `VIEW_HALF_LIFE_DAYS`. Per customer: orders, days since the last one (NaN without any).
    """

    ids: TextArray
    orders: Pairs
    last_days: Pairs
    first_days: Pairs
    decayed: Pairs
    views: Pairs
    carts: Pairs
    order_count: FloatArray
    days_since_order: FloatArray

    @cached_property
    def interest(self) -> Pairs:
        """How much customers care for products: decayed orders, and views and carts for less."""
        return self.decayed.plus(self.views, VIEW_WEIGHT).plus(self.carts, VIEW_WEIGHT)


def histories(acts: Acts, products: TextArray, ids: Sequence[str] | None = None) -> Histories:
    """Pairs of the customers in `acts` (or of `ids`) with `products`, ascending ids; acts with others are left out."""
    known = acts_customers(acts) if ids is None else np.array(ids, dtype=object)
    bought = _coded(acts.purchases, known, products, "ordered_at", acts.as_of_date)
    seen = _coded(acts.views, known, products, "occurred_at", acts.as_of_date)
    orders = pd.factorize(acts.purchases["order_key"])[0].astype(np.int64)[bought.places]
    keys, pair = np.unique(bought.keys, return_inverse=True)
    # a product that is on two lines of an order was ordered once
    once = _first_of_each(pair, orders)
    weights = once * 0.5 ** (bought.days / HALF_LIFE_DAYS)
    view_keys, view_pair = np.unique(seen.keys, return_inverse=True)
    view_weights = 0.5 ** (seen.days / VIEW_HALF_LIFE_DAYS)
    cart_weights = view_weights * acts.views["is_cart"].to_numpy(dtype=bool)[seen.places]
    order_rows = bought.rows[_first_of_each(bought.rows, orders)]
    width = len(products)

    def per_pair(values: npt.ArrayLike) -> Pairs:
        return Pairs(keys, np.asarray(values, dtype=np.float64), width)

    def per_view(values: FloatArray) -> Pairs:
        summed = np.bincount(view_pair, weights=values, minlength=len(view_keys)).astype(np.float64)
        return Pairs(view_keys, summed, width)

    return Histories(
        ids=known,
        orders=per_pair(np.bincount(pair, weights=once, minlength=len(keys))),
        last_days=per_pair(extreme(np.fmin, bought.days, pair, len(keys))),
        first_days=per_pair(extreme(np.fmax, bought.days, pair, len(keys))),
        decayed=per_pair(np.bincount(pair, weights=weights, minlength=len(keys))),
        views=per_view(view_weights),
        carts=per_view(cart_weights),
        order_count=np.bincount(order_rows, minlength=len(known)).astype(np.float64),
        days_since_order=extreme(np.fmin, bought.days, bought.rows, len(known)),
    )


def acts_customers(acts: Acts) -> TextArray:
    """Ids of the customers who did something, ascending."""
    return np.array(sorted({*acts.purchases["customer_id"], *acts.views["customer_id"]}), dtype=object)


def extreme(function: np.ufunc, values: FloatArray, groups: IntArray, size: int) -> FloatArray:
    """The smallest (np.fmin) or largest (np.fmax) value per group 0..size-1, NaN for an empty one."""
    out = np.full(size, np.nan)
    function.at(out, groups, values)
    return out


@dataclass(frozen=True)
class _Coded:
    """Acts whose customer and product are known: place in the frame, row, pair, days before the date (0 at least)."""

    places: IntArray
    rows: IntArray
    keys: IntArray
    days: FloatArray


def _coded(frame: pd.DataFrame, customers: TextArray, products: TextArray, time: str, day: date) -> _Coded:
    rows, columns = places_of(customers, frame["customer_id"]), places_of(products, frame["product_id"])
    places = np.flatnonzero((rows >= 0) & (columns >= 0))
    keys, days = rows[places] * len(products) + columns[places], days_before(frame[time], day)[places]
    # sums are made in one order, whatever the order of the frame
    order = np.lexsort((days, keys))
    places = places[order]
    return _Coded(places, rows[places], keys[order], days[order])


def places_of(index: TextArray, values: pd.Series) -> IntArray:
    """Place of each value in an index of unique values, -1 where it is not there."""
    return np.asarray(pd.Index(index).get_indexer(pd.Index(values)), dtype=np.int64)


def days_before(instants: pd.Series, day: date) -> FloatArray:
    """Days from each instant to the midnight that begins `day`; 0 at least, since the run's own day has begun."""
    since = np.datetime64(day, "us") - instants.to_numpy(dtype="datetime64[us]")
    return np.asarray(np.maximum(since.astype(np.int64) / ONE_DAY, 0.0), dtype=np.float64)


def _first_of_each(groups: IntArray, members: IntArray) -> npt.NDArray[np.bool_]:
    """Whether a row is the first with its (group, member)."""
    both = pd.DataFrame({"group": groups, "member": members})
    return np.asarray(~both.duplicated().to_numpy())
