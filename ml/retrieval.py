"""What a shop's purchases say of its products at a date: popularity, what is bought together, latent factors."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from threadpoolctl import threadpool_limits

from ml.baskets import Acts, Histories, IntArray, Pairs, TextArray, extreme, histories, places_of
from ml.schema import FloatArray

if TYPE_CHECKING:
    from implicit.cpu.als import AlternatingLeastSquares

NEIGHBOURS: Final = 50
# A product that was bought a handful of times goes with nothing for sure: added to the product of both norms.
SHRINKAGE: Final = 5.0
LARGEST_BASKET: Final = 500


@dataclass(frozen=True)
class RetrievalParams:
    """How products are related; implicit factors by alternating least squares (Hu, Koren, Volinsky 2008)."""

    seed: int
    factors: int = 64
    iterations: int = 15
    regularisation: float = 0.05
    confidence: float = 10.0


class Shop:
    """The products of a shop at a date (columns: `ids`, ascending) and what the acts of a sample of its customers say of them.

    Nothing is computed before it is asked for; all of it depends on the acts and the seed alone, bit for bit.
    """

    def __init__(self, acts: Acts, products: pd.DataFrame, params: RetrievalParams, *, share: float = 1.0) -> None:
        self.acts, self.params, self.share = acts, params, share
        known = {*acts.purchases["product_id"].dropna(), *acts.views["product_id"].dropna(), *products["product_id"]}
        self.ids: TextArray = np.array(sorted(known), dtype=object)
        self.products = products.drop_duplicates("product_id").set_index("product_id").reindex(self.ids)

    @property
    def width(self) -> int:
        """How many products there are."""
        return len(self.ids)

    @cached_property
    def sample(self) -> Histories:
        """The sampled customers with these products."""
        return histories(self.acts, self.ids)

    def buyers(self, days: float) -> FloatArray:
        """Sampled customers who bought a product in the last `days`, per product."""
        recent = self.sample.last_days.values <= days
        return np.bincount(self.sample.last_days.columns[recent], minlength=self.width).astype(np.float64)

    @cached_property
    def popularity(self) -> FloatArray:
        """Buyers of the last 30 days; of products with equally many, those of 90 days decide."""
        return self.buyers(30) + self.buyers(90) / (1.0 + self.sample.ids.size)

    @cached_property
    def first_sold_days(self) -> FloatArray:
        """Days since a product was first sold, NaN for one that never was."""
        return extreme(np.fmax, self.sample.first_days.values, self.sample.first_days.columns, self.width)

    @cached_property
    def last_sold_days(self) -> FloatArray:
        """Days since a product was last sold, NaN for one that never was."""
        return extreme(np.fmin, self.sample.last_days.values, self.sample.last_days.columns, self.width)

    @cached_property
    def repeat_share(self) -> FloatArray:
        """Share of a product's buyers who ordered it more than once, shrunk towards a twentieth."""
        orders = self.sample.orders
        buyers = np.bincount(orders.columns, minlength=self.width)
        again = np.bincount(orders.columns, weights=orders.values > 1, minlength=self.width)
        return np.asarray((again + 0.5) / (buyers + 10))

    @cached_property
    def categories(self) -> IntArray:
        """Number of a product's category, -1 where it has none."""
        return np.asarray(pd.factorize(self.products["category"], sort=True)[0].astype(np.int64))

    @cached_property
    def together(self) -> sparse.csr_matrix:
        """Per product its nearest others: cosine over orders, shrunk (item-kNN on baskets)."""
        frame = self.acts.purchases
        columns = places_of(self.ids, frame["product_id"])
        return neighbours(binary(pd.factorize(frame["order_key"])[0][columns >= 0], columns[columns >= 0], self.width))

    @cached_property
    def shared_buyers(self) -> sparse.csr_matrix:
        """Per product its nearest others: cosine over customers, shrunk."""
        pairs = self.sample.orders
        return neighbours(binary(pairs.rows, pairs.columns, self.width))

    @cached_property
    def _als(self) -> "AlternatingLeastSquares":
        from implicit.cpu.als import AlternatingLeastSquares

        wanted = self.params
        model = AlternatingLeastSquares(
            wanted.factors,
            wanted.regularisation,
            wanted.confidence,
            iterations=wanted.iterations,
            num_threads=1,
            random_state=wanted.seed,
        )
        with threadpool_limits(1):
            model.fit(_confidences(self.sample.interest, len(self.sample.ids)), show_progress=False)
        return model

    @property
    def product_factors(self) -> npt.NDArray[np.float32]:
        """(products, factors)."""
        return np.asarray(self._als.item_factors, dtype=np.float32)

    def customer_factors(self, of: Histories) -> npt.NDArray[np.float32]:
        """(customers, factors) for customers of the sample or not: one step of the same least squares."""
        confidences = _confidences(of.interest, len(of.ids))
        with threadpool_limits(1):
            found = self._als.recalculate_user(np.arange(len(of.ids)), confidences)
        return np.asarray(found, dtype=np.float32)

    def nearest_by_factors(self, customers: npt.NDArray[np.float32], most: int) -> IntArray:
        """The `most` products of largest inner product per customer, best first (FAISS, exact); -1 where there are fewer."""
        import faiss

        if not most:
            return np.empty((len(customers), 0), dtype=np.int64)
        index = faiss.IndexFlatIP(self.product_factors.shape[1])
        index.add(self.product_factors)
        with threadpool_limits(1):
            _, found = index.search(customers, most)
        return np.asarray(found, dtype=np.int64)


@dataclass
class ShopActs:
    """The acts of a sample of `share` of the customers at a date, with the catalogue: what a `Shop` is made of, once per params."""

    acts: Acts
    products: pd.DataFrame
    share: float = 1.0
    made: dict[RetrievalParams, Shop] = field(default_factory=dict, repr=False)

    def shop(self, params: RetrievalParams) -> Shop:
        """The shop by these params; kept for the next batch of customers."""
        if params not in self.made:
            self.made[params] = Shop(self.acts, self.products, params, share=self.share)
        return self.made[params]


def binary(rows: IntArray, columns: IntArray, width: int) -> sparse.csr_matrix:
    """1 where a row has a column, (rows, width); rows with more than LARGEST_BASKET columns are left out: they say little."""
    matrix = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(int(rows.max(initial=-1)) + 1, width))
    matrix.data[:] = 1.0
    return matrix[np.diff(matrix.indptr) <= LARGEST_BASKET]


def neighbours(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Per column its NEIGHBOURS nearest others by shrunk cosine."""
    counts = (matrix.T @ matrix).tocoo()
    norms = np.sqrt(np.asarray(matrix.sum(axis=0)).ravel())
    others = counts.row != counts.col
    rows, columns = counts.row[others], counts.col[others]
    values = counts.data[others] / (norms[rows] * norms[columns] + SHRINKAGE)
    width = matrix.shape[1]
    every = pairs_from(rows.astype(np.int64) * width + columns, values, width)
    return every.matrix(width) if not len(values) else best(every, width, NEIGHBOURS).matrix(width)


def pairs_from(keys: IntArray, values: FloatArray, width: int) -> Pairs:
    """Pairs in any order, each once."""
    order = np.argsort(keys, kind="stable")
    return Pairs(keys[order], values[order], width)


def places(pairs: Pairs, rows: int) -> IntArray:
    """Place of each pair among those of its customer, 0 for the largest number; of equal ones by column."""
    order = np.lexsort((pairs.keys, -pairs.values, pairs.rows))
    sorted_rows = pairs.rows[order]
    starts = np.searchsorted(sorted_rows, np.arange(rows))
    found = np.empty(len(order), dtype=np.int64)
    found[order] = np.arange(len(order)) - starts[sorted_rows]
    return found


def best(pairs: Pairs, rows: int, most: int) -> Pairs:
    """The `most` largest numbers of each customer, of equal ones by column."""
    starts = np.searchsorted(pairs.keys, np.arange(rows + 1, dtype=np.int64) * pairs.width)
    long = np.flatnonzero(np.diff(starts) > most)
    may_be = np.ones(len(pairs.keys), dtype=bool)
    for start, end in zip(starts[long].tolist(), starts[long + 1].tolist(), strict=True):
        values = pairs.values[start:end]
        may_be[start:end] = values >= np.partition(values, -most)[-most]
    few = Pairs(pairs.keys[may_be], pairs.values[may_be], pairs.width)
    kept = places(few, rows) < most
    return Pairs(few.keys[kept], few.values[kept], few.width)


def _confidences(pairs: Pairs, rows: int) -> sparse.csr_matrix:
    matrix = pairs.matrix(rows).astype(np.float32)
    matrix.data = np.log1p(matrix.data)
    return matrix
