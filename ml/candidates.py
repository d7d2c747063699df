"""Candidates: the products that may interest a customer, with the numbers that a ranker orders them by."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from ml.baskets import Histories, IntArray, Pairs, distinct, pairs_of
from ml.retrieval import Shop, best, pairs_from, places
from ml.schema import Feature, FloatArray

OWN: Final = 100
POPULAR: Final = 40
NEIGHBOURING: Final = 40
LATENT: Final = 40
IN_CATEGORY: Final = 20
JUST_BOUGHT_DAYS: Final = 14
"""A product bought once, this short ago, is not offered again, unless it is repeatable."""
REPEATABLE_SHARE: Final = 0.1
"""Where the catalogue does not say it, a product is repeatable when this share of its buyers ordered it again."""

FEATURES: Final = (
    Feature("own_order_count", "FLOAT8", "orders", "ordered {value} times", "ordered once"),
    Feature("own_order_share", "FLOAT8", "share", "in {value} of the customer's orders"),
    Feature("own_days_since_last", "FLOAT8", "days", "ordered {value} days ago", "ordered a day ago", "never ordered"),
    Feature("own_days_since_first", "FLOAT8", "days", "first ordered {value} days ago", "", "never ordered"),
    Feature("own_decayed_orders", "FLOAT8", "orders", "{value} orders, halved every 90 days"),
    Feature("viewed", "FLOAT8", "views", "{value} views, halved every 7 days"),
    Feature("in_cart", "FLOAT8", "carts", "{value} times in the cart, halved every 7 days"),
    Feature("bought_together", "FLOAT8", "similarity", "{value} together with what the customer bought"),
    Feature("bought_together_mean", "FLOAT8", "similarity", "{value} together with the mean product bought"),
    Feature("bought_together_place", "FLOAT8", "place", "place {value} among what goes with earlier orders"),
    Feature("shared_buyers", "FLOAT8", "similarity", "{value} by the buyers shared with what the customer bought"),
    Feature("shared_buyers_place", "FLOAT8", "place", "place {value} among what the same buyers bought"),
    Feature("latent_score", "FLOAT8", "score", "{value} by latent factors"),
    Feature("latent_place", "FLOAT8", "place", "place {value} by latent factors"),
    Feature("category_share", "FLOAT8", "share", "{value} of the customer's interest is in its category"),
    Feature("buyers_7d", "FLOAT8", "customers", "{value} buyers in 7 days"),
    Feature("buyers_30d", "FLOAT8", "customers", "{value} buyers in 30 days"),
    Feature("buyers_90d", "FLOAT8", "customers", "{value} buyers in 90 days"),
    Feature("buyers_place", "FLOAT8", "place", "place {value} of 30 days among the candidates"),
    Feature("trend_7d", "FLOAT8", "ratio", "{value} of its buyers of 30 days came in 7"),
    Feature("trend_30d", "FLOAT8", "ratio", "{value} of its buyers of 90 days came in 30"),
    Feature("days_since_first_sold", "FLOAT8", "days", "sold for {value} days", "", "never sold"),
    Feature("days_since_last_sold", "FLOAT8", "days", "last sold {value} days ago", "", "never sold"),
    Feature("repeat_share", "FLOAT8", "share", "{value} of its buyers order it again"),
    Feature("order_count", "FLOAT8", "orders", "{value} orders of the customer"),
    Feature("days_since_order", "FLOAT8", "days", "no order for {value} days", "", "no order yet"),
    Feature("product_count", "FLOAT8", "products", "{value} different products bought"),
    Feature("products_per_order", "FLOAT8", "products", "{value} different products per order"),
)
INPUTS: Final = tuple(feature.name for feature in FEATURES)


@dataclass(frozen=True)
class Candidates:
    """Pairs of customers and products that may be offered, ascending by `keys`; `values` (pairs, INPUTS)."""

    of: Histories
    shop: Shop
    keys: IntArray
    values: FloatArray

    @property
    def rows(self) -> IntArray:
        """Customer row per candidate."""
        return self.keys // self.shop.width

    @property
    def columns(self) -> IntArray:
        """Product column per candidate."""
        return self.keys % self.shop.width

    def column(self, name: str) -> FloatArray:
        """One of INPUTS, per candidate."""
        return np.asarray(self.values[:, INPUTS.index(name)])

    @property
    def is_new(self) -> npt.NDArray[np.bool_]:
        """Whether the customer has never ordered the product."""
        return self.column("own_order_count") == 0

    def only(self, kept: npt.NDArray[np.bool_]) -> "Candidates":
        """Some of them."""
        return Candidates(self.of, self.shop, self.keys[kept], self.values[kept])


def candidates(shop: Shop, of: Histories, *, in_stock_only: bool = False) -> Candidates:
    """Own history, what goes with it, what the same buyers bought, latent factors, the popular, the category's popular.

    Left out is what must not be offered: out of stock (with `in_stock_only`: stock is known for today alone), bought
    once and short ago, bought once at any time where the catalogue says that it is bought once.
    """
    count = len(of.ids)
    cares = of.interest
    matrix = cares.matrix(count)
    together, shared = pairs_of(matrix @ shop.together), pairs_of(matrix @ shop.shared_buyers)
    factors = shop.customer_factors(of)
    sources = [
        best(cares, count, OWN).keys,
        best(_unowned(together, of), count, NEIGHBOURING).keys,
        best(_unowned(shared, of), count, NEIGHBOURING).keys,
        _latent(shop, of, factors),
        _popular(shop, count),
        _popular_in_category(shop, cares, count),
    ]
    keys = distinct(*sources)
    keys = keys[_may_be_offered(shop, of, keys, in_stock_only=in_stock_only)]
    values = np.column_stack(list(_columns(shop, of, keys, together, shared, factors=factors)))
    return Candidates(of, shop, keys, values)


def _columns(
    shop: Shop, of: Histories, keys: IntArray, together: Pairs, shared: Pairs, *, factors: npt.NDArray[np.float32]
) -> Iterator[FloatArray]:
    """The columns INPUTS, in their order."""
    count = len(of.ids)
    rows, columns = keys // shop.width, keys % shop.width
    orders = of.order_count[rows]
    own = of.orders.at(keys)
    yield own
    yield own / np.maximum(orders, 1)
    yield of.last_days.at(keys, otherwise=np.nan)
    yield of.first_days.at(keys, otherwise=np.nan)
    yield of.decayed.at(keys)
    yield of.views.at(keys)
    yield of.carts.at(keys)
    goes = together.at(keys)
    weight = np.bincount(of.interest.rows, weights=of.interest.values, minlength=count)
    yield goes
    yield goes / np.maximum(weight[rows], 1e-6)
    yield _place(keys, goes, shop.width, count)
    yield shared.at(keys)
    yield _place(keys, shared.at(keys), shop.width, count)
    latent = np.einsum("ij,ij->i", factors[rows], shop.product_factors[columns]).astype(np.float64)
    yield latent
    yield _place(keys, latent, shop.width, count)
    yield _category_share(shop, of, keys)
    week, month, quarter = shop.buyers(7)[columns], shop.buyers(30)[columns], shop.buyers(90)[columns]
    yield week
    yield month
    yield quarter
    yield _place(keys, month, shop.width, count)
    yield week / (month + 5)
    yield month / (quarter + 5)
    yield shop.first_sold_days[columns]
    yield shop.last_sold_days[columns]
    yield shop.repeat_share[columns]
    yield orders
    yield of.days_since_order[rows]
    products = np.bincount(of.orders.rows, minlength=count)[rows].astype(np.float64)
    yield products
    yield products / np.maximum(orders, 1)


def _place(keys: IntArray, values: FloatArray, width: int, count: int) -> FloatArray:
    return places(Pairs(keys, values, width), count).astype(np.float64)


def _unowned(pairs: Pairs, of: Histories) -> Pairs:
    kept = of.orders.at(pairs.keys) == 0
    return Pairs(pairs.keys[kept], pairs.values[kept], pairs.width)


def _latent(shop: Shop, of: Histories, factors: npt.NDArray[np.float32]) -> IntArray:
    """The nearest by factors that were never ordered; as many again are looked at, since the nearest often were."""
    found = shop.nearest_by_factors(factors, min(2 * LATENT, shop.width))
    order = np.tile(np.arange(found.shape[1], 0, -1, dtype=np.float64), len(found))
    keys = (np.arange(len(found), dtype=np.int64)[:, None] * shop.width + found).ravel()
    known = found.ravel() >= 0
    return best(_unowned(pairs_from(keys[known], order[known], shop.width), of), len(found), LATENT).keys


def _popular(shop: Shop, count: int) -> IntArray:
    top = np.argsort(-shop.popularity, kind="stable")[:POPULAR]
    return np.asarray((np.arange(count, dtype=np.int64)[:, None] * shop.width + np.sort(top)[None]).ravel())


def _popular_in_category(shop: Shop, cares: Pairs, count: int) -> IntArray:
    """The popular products of the category that a customer cares most for; also new ones that were only looked at."""
    if (shop.categories < 0).all() or not len(cares.keys):
        return np.empty(0, dtype=np.int64)
    width = int(shop.categories.max()) + 1
    liked = best(_by_category(shop, cares, width), count, 1)
    seen = np.bincount(shop.sample.views.columns, minlength=shop.width)
    order = np.lexsort((np.arange(shop.width), -seen, -shop.popularity, shop.categories))
    starts = np.searchsorted(shop.categories[order], np.arange(width))
    ends = np.searchsorted(shop.categories[order], np.arange(width), side="right")
    first = starts[liked.columns][:, None] + np.arange(IN_CATEGORY)[None]
    exists = first < ends[liked.columns][:, None]
    keys = liked.rows[:, None] * shop.width + order[np.minimum(first, shop.width - 1)]
    return np.asarray(keys[exists])


def _by_category(shop: Shop, cares: Pairs, width: int) -> Pairs:
    category = shop.categories[cares.columns]
    keys, inverse = np.unique(cares.rows[category >= 0] * width + category[category >= 0], return_inverse=True)
    return Pairs(keys, np.bincount(inverse, weights=cares.values[category >= 0], minlength=len(keys)), width)


def _category_share(shop: Shop, of: Histories, keys: IntArray) -> FloatArray:
    rows, category = keys // shop.width, shop.categories[keys % shop.width]
    if (category < 0).all():
        return np.zeros(len(keys))
    width = int(shop.categories.max()) + 1
    by_category = _by_category(shop, of.interest, width)
    total = np.bincount(by_category.rows, weights=by_category.values, minlength=len(of.ids))
    share = by_category.at(rows * width + np.maximum(category, 0)) / np.maximum(total[rows], 1e-9)
    return np.where(category < 0, 0.0, share)


def _may_be_offered(shop: Shop, of: Histories, keys: IntArray, *, in_stock_only: bool) -> npt.NDArray[np.bool_]:
    columns = keys % shop.width
    said = (
        shop.products["is_repeatable"].map({True: 1.0, False: 0.0}).to_numpy(dtype=np.float64, na_value=np.nan)[columns]
    )
    is_repeatable = np.where(np.isnan(said), shop.repeat_share[columns] >= REPEATABLE_SHARE, said == 1)
    once, last = of.orders.at(keys) == 1, of.last_days.at(keys, otherwise=np.inf)
    allowed = ~(once & ~is_repeatable & ((last < JUST_BOUGHT_DAYS) | (said == 0)))
    if in_stock_only:
        stock = shop.products["stock"].to_numpy(dtype=np.float64, na_value=np.nan)[columns]
        allowed &= ~(stock <= 0)
    return np.asarray(allowed)
