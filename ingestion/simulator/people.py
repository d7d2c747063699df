"""The true people: who they are, how often and what they buy, and what makes them leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.simulator.arrays import Flags, Floats, Ints, chance, choose, exactly
from ingestion.simulator.catalogue import BUNDLES, CATEGORIES, PER_CATEGORY, Catalogue
from ingestion.simulator.config import Difficulty
from ingestion.simulator.places import COUNTRIES, CURRENCIES

CUSTOMER, PASSER_BY, BOT = 0, 1, 2
CUSTOMER_SHARE = 0.24  # of the visitors who are not bots
FAVOURITES = 3
MEAN_QUANTITY = 1.26
USUAL_RATE = 0.5  # orders in 30 days of the median customer
_RHYTHM_SIGMA = 0.75


@dataclass(frozen=True)
class People:
    """Parallel arrays over the visitors of one chunk; times are days since the window's start."""

    kind: Ints  # CUSTOMER, PASSER_BY, BOT
    country: Ints
    town: Ints
    currency: Ints
    arrived: Floats  # negative: a customer already when the window begins
    monthly_rate: Floats  # orders in 30 days while active
    basket: Floats  # lines in an order beyond the first, on average
    price_tier: Floats  # 0 buys the cheap bundles, 1 the dear ones
    favourites: Ints  # categories, shape (people, FAVOURITES)
    favourite_bounds: Floats  # cumulated shares of the three, shape (people, FAVOURITES)
    staple: Ints  # a product bought again and again, or -1
    browsing: Floats  # visits without an order for each one with
    refund_chance: Floats  # of an order
    coupon_chance: Floats  # of an order
    store_chance: Floats  # of an order: at a till instead of online
    lives_near_store: Flags
    is_buyer: Flags
    has_account: Flags
    has_loyalty_card: Flags
    uses_whatsapp: Flags
    housemate: Ints  # who shares a device with this person, or -1
    consent: Ints  # bits analytics 1, personalisation 2, advertising 4, sharing 8; -1 was never asked

    @property
    def count(self) -> int:
        """How many visitors there are."""
        return self.kind.size

    @property
    def is_customer(self) -> Flags:
        """Whether each visitor ever tells who they are."""
        return np.asarray(self.kind == CUSTOMER)


def _kinds(rng: np.random.Generator, count: int, bot_share: float) -> Ints:
    bots = round(count * bot_share)
    customers = round((count - bots) * CUSTOMER_SHARE)
    kind = np.full(count, PASSER_BY, np.int64)
    kind[:bots] = BOT
    kind[bots : bots + customers] = CUSTOMER
    return rng.permutation(kind)


def _housemates(rng: np.random.Generator, customers: Ints, share: float, count: int) -> Ints:
    """Pairs of customers; which of the two owns the shared device is the lower index."""
    pairs = round(customers.size * share / 2)
    drawn = rng.permutation(customers)[: 2 * pairs].reshape(pairs, 2)
    mate = np.full(count, -1, np.int64)
    mate[drawn[:, 0]], mate[drawn[:, 1]] = drawn[:, 1], drawn[:, 0]
    return mate


def _favourites(rng: np.random.Generator, count: int) -> tuple[Ints, Floats]:
    """One to three categories of each person, with the cumulated shares of their interest."""
    chosen = np.argsort(rng.random((count, len(CATEGORIES))), axis=1)[:, :FAVOURITES]
    weights = rng.dirichlet((2.5, 1.0, 0.5), count)
    weights[np.arange(FAVOURITES)[None, :] > rng.integers(0, FAVOURITES, count)[:, None]] = 0
    return chosen.astype(np.int64), np.cumsum(weights / weights.sum(axis=1, keepdims=True), axis=1)


def _staples(rng: np.random.Generator, favourites: Ints, has: Flags) -> Ints:
    """A repeatable product of a favourite category for those who have such a category (and `has`)."""
    repeatable = np.array([category.repeatable for category in CATEGORIES])[favourites]
    category = favourites[np.arange(favourites.shape[0]), repeatable.argmax(axis=1)]
    product = category * PER_CATEGORY + rng.integers(0, PER_CATEGORY, favourites.shape[0])
    return np.asarray(np.where(has & repeatable.any(axis=1), product, -1), np.int64)


def _towns(rng: np.random.Generator, country: Ints) -> Ints:
    sizes = np.array([len(item.towns) for item in COUNTRIES])[country]
    return np.asarray(rng.random(country.size) ** 1.5 * sizes, np.int64)


def _consents(rng: np.random.Generator, count: int) -> Ints:
    given = rng.random((count, 4)) < np.array([0.9, 0.75, 0.5, 0.3])
    return np.where(chance(rng, count, 0.12), -1, (given * np.array([1, 2, 4, 8])).sum(axis=1))


def draw_people(rng: np.random.Generator, count: int, days: int, difficulty: Difficulty) -> People:
    """`count` visitors: bots, passers-by who never say who they are, and customers."""
    kind = _kinds(rng, count, difficulty.bot_share)
    is_customer = kind == CUSTOMER
    country = choose(rng, count, [item.weight for item in COUNTRIES])
    favourites, bounds = _favourites(rng, count)
    near_store = np.array([item.stores > 0 for item in COUNTRIES])[country]
    store_chance = near_store * np.select([chance(rng, count, 0.35), chance(rng, count, 0.6)], [0.0, 0.35], 0.85)
    is_buyer = is_customer & ~exactly(rng, count, 0.10)
    # two in five customers were there before; the others come, more and more of them, during the window
    arrived = np.where(is_customer & chance(rng, count, 0.4), -1.0, days * rng.random(count) ** 0.85)
    return People(
        kind=kind,
        country=country,
        town=_towns(rng, country),
        currency=np.array([CURRENCIES.index(item.currency) for item in COUNTRIES])[country],
        arrived=arrived,
        monthly_rate=np.clip(USUAL_RATE * np.exp(rng.normal(0, _RHYTHM_SIGMA, count)), 0.08, 6.0),
        basket=np.clip(0.7 * np.exp(rng.normal(0, 0.6, count)), 0.05, 5.0),
        price_tier=rng.beta(1.1, 1.6, count),
        favourites=favourites,
        favourite_bounds=bounds,
        staple=_staples(rng, favourites, chance(rng, count, 0.8)),
        browsing=1.3 * np.exp(rng.normal(0, 0.5, count)),
        refund_chance=rng.beta(0.8, 9.0, count),
        coupon_chance=rng.beta(0.7, 2.0, count),
        store_chance=store_chance,
        lives_near_store=near_store,
        is_buyer=is_buyer,
        has_account=is_customer & (exactly(rng, count, 0.86) | ~is_buyer),
        has_loyalty_card=is_customer & chance(rng, count, np.where(store_chance > 0, 0.75, 0.15)),
        uses_whatsapp=is_customer & chance(rng, count, 0.3),
        housemate=_housemates(rng, np.flatnonzero(is_customer), difficulty.shared_device_share, count),
        consent=_consents(rng, count),
    )


def mean_order_value(people: People, catalogue: Catalogue) -> Floats:
    """EUR an order of each person is worth on average before discounts: lines x quantity x price at their tier."""
    starts = catalogue.bundle_start
    euros = catalogue.price[:, 0] / 100
    level = np.array([[euros[row[b] : row[b + 1]].mean() for b in range(BUNDLES)] for row in starts.tolist()])
    tier = np.clip((people.price_tier * BUNDLES).astype(np.int64), 0, BUNDLES - 1)
    shares = np.diff(people.favourite_bounds, axis=1, prepend=0.0)
    a_product: Floats = (shares * level[people.favourites, tier[:, None]]).sum(axis=1)
    return a_product * (1 + people.basket) * MEAN_QUANTITY
