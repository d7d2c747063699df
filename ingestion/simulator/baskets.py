"""What is looked at and bought: products drawn by a person's taste, and the money of each order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.simulator.arrays import Floats, Ints, chance, choose, expand
from ingestion.simulator.catalogue import BUNDLES, CATEGORIES, Catalogue
from ingestion.simulator.people import People
from ingestion.simulator.places import COUNTRIES, PRICE_LEVEL
from ingestion.simulator.purchases import Purchases

COUPONS = ("WELCOME10", "SPRING15", "SAVE20", "FRIENDS25")
_COUPON_PERCENT = (10, 15, 20, 25)
_FREE_SHIPPING_FROM = 50_00
_SHIPPING = 4_90
_OUTSIDE_FAVOURITES = 0.12
_OUTSIDE_BUNDLE = 0.25
_STAPLE = 0.22  # of the lines of those who have one
_MAX_EXTRA_LINES = 9


@dataclass(frozen=True)
class Lines:
    """Parallel arrays over order lines, sorted by order; money in cents of the order's currency."""

    order: Ints
    product: Ints
    quantity: Ints
    price: Ints
    discount: Ints
    tax: Ints
    number: Ints  # 1, 2, ... within the order

    @property
    def net(self) -> Ints:
        """Merchandise value of each line after its discount, without tax."""
        return self.quantity * self.price - self.discount


@dataclass(frozen=True)
class Orders:
    """Money of each order in cents; parallel to `Purchases`. total = revenue + shipping + tax."""

    coupon: Ints  # index into COUPONS, -1 none
    discount: Ints
    revenue: Ints
    shipping: Ints
    tax: Ints
    total: Ints


@dataclass(frozen=True)
class Wish:
    """What a visit or an order is about: a category and a bundle in it; parallel to visits or orders."""

    category: Ints
    bundle: Ints


def draw_wishes(rng: np.random.Generator, people: People, person: Ints) -> Wish:
    """One category (mostly a favourite) and one bundle (near the person's price tier) for each entry of `person`."""
    place = (rng.random(person.size)[:, None] > people.favourite_bounds[person]).sum(axis=1).clip(0, 2)
    category = people.favourites[person, place]
    strays = chance(rng, person.size, _OUTSIDE_FAVOURITES)
    category = np.where(strays, choose(rng, person.size, [1.0] * len(CATEGORIES)), category)
    level = people.price_tier[person] + rng.normal(0, 0.10, person.size)
    return Wish(category, np.clip((level * BUNDLES).astype(np.int64), 0, BUNDLES - 1))


def draw_products(rng: np.random.Generator, catalogue: Catalogue, wish: Wish, entry: Ints) -> Ints:
    """One product for each entry (an index into the wish): popular ones first, mostly from the wish's bundle."""
    elsewhere = chance(rng, entry.size, _OUTSIDE_BUNDLE)
    bundle = np.where(elsewhere, choose(rng, entry.size, [1.0] * BUNDLES), wish.bundle[entry])
    first = catalogue.bundle_start[wish.category[entry], bundle]
    last = catalogue.bundle_start[wish.category[entry], bundle + 1]
    bounds = np.r_[0.0, np.cumsum(catalogue.popularity)]
    point = bounds[first] + rng.random(entry.size) * (bounds[last] - bounds[first])
    return np.asarray(np.clip(np.searchsorted(bounds, point, side="right") - 1, first, last - 1), np.int64)


def _with_staples(rng: np.random.Generator, people: People, person: Ints, product: Ints) -> Ints:
    staple = people.staple[person]
    return np.where((staple >= 0) & chance(rng, person.size, _STAPLE), staple, product)


def _coupons(rng: np.random.Generator, purchases: Purchases) -> Ints:
    return np.where(purchases.has_coupon, choose(rng, purchases.count, [4, 3, 2, 1]), -1)


def draw_baskets(
    rng: np.random.Generator, people: People, catalogue: Catalogue, purchases: Purchases
) -> tuple[Lines, Orders]:
    """The lines of every order, each product once, and their money."""
    wish = draw_wishes(rng, people, purchases.person)
    wanted = 1 + np.minimum(rng.poisson(people.basket[purchases.person]), _MAX_EXTRA_LINES)
    order, _ = expand(wanted.astype(np.int64))
    product = _with_staples(rng, people, purchases.person[order], draw_products(rng, catalogue, wish, order))
    _, kept = np.unique(order * catalogue.category.size + product, return_index=True)
    kept.sort()
    order, product = order[kept], product[kept]
    quantity = 1 + choose(rng, order.size, [0.8, 0.14, 0.06])
    coupon = _coupons(rng, purchases)
    currency = people.currency[purchases.person]
    price = catalogue.price[product, currency[order]]
    percent = np.r_[np.array(_COUPON_PERCENT), 0][coupon]
    discount = _rounded_percent(quantity * price, percent[order])
    tax_percent = np.array([country.tax_percent for country in COUNTRIES])[people.country[purchases.person]]
    tax = _rounded_percent(quantity * price - discount, tax_percent[order])
    starts = np.searchsorted(order, np.arange(purchases.count))
    lines = Lines(order, product, quantity, price, discount, tax, np.arange(order.size) - starts[order] + 1)
    return lines, _totals(purchases, lines, coupon, level=np.array(PRICE_LEVEL)[currency])


def _rounded_percent(cents: Ints, percent: Ints) -> Ints:
    return (cents * percent + 50) // 100


def _totals(purchases: Purchases, lines: Lines, coupon: Ints, *, level: Floats) -> Orders:
    """The orders' money; `level` is what 1 EUR is in each order's currency."""
    revenue = _per_order(lines.net, lines.order, purchases.count)
    ships = ~purchases.in_store & (revenue < _FREE_SHIPPING_FROM * level)
    shipping = np.where(ships, (np.rint(_SHIPPING / 10 * level) * 10).astype(np.int64), 0)
    tax = _per_order(lines.tax, lines.order, purchases.count)
    return Orders(
        coupon=coupon,
        discount=_per_order(lines.discount, lines.order, purchases.count),
        revenue=revenue,
        shipping=shipping,
        tax=tax,
        total=revenue + shipping + tax,
    )


def _per_order(values: Ints, order: Ints, orders: int) -> Ints:
    # exact: cents stay far below 2^53
    return np.bincount(order, values, orders).astype(np.int64)


@dataclass(frozen=True)
class Refunds:
    """Refunded lines: `line` indexes Lines, `refund` numbers the refunds, `order` and `at` are over refunds."""

    order: Ints
    at: Floats
    line: Ints
    refund: Ints  # over `line`, sorted


def draw_refunds(rng: np.random.Generator, purchases: Purchases, lines: Lines) -> Refunds:
    """For each order that comes back: all of its lines (two in three) or only the first."""
    order = np.flatnonzero(~np.isnan(purchases.refunded_at))
    is_whole = chance(rng, order.size, 0.67)
    number = np.full(purchases.count, -1, np.int64)
    number[order] = np.arange(order.size)
    refund = number[lines.order]
    line = np.flatnonzero((refund >= 0) & (is_whole[refund] | (lines.number == 1)) if order.size else refund >= 0)
    return Refunds(order, purchases.refunded_at[order], line, refund[line])
