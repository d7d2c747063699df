"""What the shop sells: categories, and in each of them bundles of products that go together at one price level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from ingestion.simulator.arrays import MICROS_PER_DAY, Flags, Floats, Ints, Strings, choose, expand
from ingestion.simulator.arrow_text import joined, letters, money_text, picked, second_text
from ingestion.simulator.places import CURRENCIES, PRICE_LEVEL
from ingestion.simulator.seasons import Seasons

PER_CATEGORY = 34
BUNDLES = 6
_OUT_OF_STOCK_SHARE = 0.07


@dataclass(frozen=True)
class Category:
    """One category: prices run from `low` to `high` EUR, `things` name its products."""

    path: str
    low: float
    high: float
    repeatable: bool
    things: tuple[str, ...]


CATEGORIES = (
    Category("Home > Kitchen", 8, 220, False, ("Pan", "Pot", "Knife", "Bowl", "Kettle", "Grater")),
    Category("Home > Textiles", 9, 160, False, ("Towel", "Blanket", "Cushion", "Curtain", "Duvet")),
    Category("Home > Lighting", 12, 260, False, ("Lamp", "Lantern", "Spotlight", "Candlestick")),
    Category("Grocery > Coffee", 5, 48, True, ("Espresso", "Filter Coffee", "Decaf", "Beans", "Capsules")),
    Category("Grocery > Tea", 3, 34, True, ("Green Tea", "Black Tea", "Herbal Tea", "Chai", "Matcha")),
    Category("Beauty > Skin Care", 6, 95, True, ("Cream", "Serum", "Cleanser", "Mask", "Sunscreen")),
    Category("Pets > Food", 6, 80, True, ("Dry Food", "Wet Food", "Snack", "Chew", "Litter")),
    Category("Fashion > Shoes", 35, 240, False, ("Sneaker", "Boot", "Sandal", "Loafer", "Runner")),
    Category("Fashion > Outerwear", 40, 380, False, ("Jacket", "Coat", "Parka", "Vest", "Raincoat")),
    Category("Electronics > Audio", 20, 480, False, ("Headphones", "Speaker", "Turntable", "Earbuds", "Radio")),
    Category("Sports > Outdoor", 12, 340, False, ("Tent", "Backpack", "Stove", "Lamp", "Bottle", "Mat")),
    Category("Kids > Toys", 6, 120, False, ("Puzzle", "Train", "Doll", "Blocks", "Game", "Kite")),
)
_SERIES = ("Alva", "Birk", "Cala", "Dune", "Elm", "Fjord", "Grove", "Haze", "Isla", "Juno", "Kelp", "Luma")
_FINISH = ("Classic", "Plus", "Mini", "Duo", "Pro", "Natural", "Grand", "Light", "Studio", "Origin")


@dataclass(frozen=True)
class Catalogue:
    """Parallel arrays over products, ordered by category, then bundle (cheap to dear), then place in the bundle."""

    product_id: Strings
    name: Strings
    category: Ints
    bundle: Ints  # 0..BUNDLES-1 within the category
    price: Ints  # cents, shape (products, currencies)
    popularity: Floats
    stock: Ints
    updated_at: Ints  # microseconds
    bundle_start: Ints  # shape (categories, BUNDLES + 1): products of a bundle are start[b]..start[b+1]-1
    fragments: Strings  # JSON members of product x currency

    @property
    def repeatable(self) -> Flags:
        """Whether each product is bought again and again."""
        return np.array([category.repeatable for category in CATEGORIES])[self.category]

    @property
    def category_paths(self) -> Strings:
        """The category of each product, written out."""
        return picked([category.path for category in CATEGORIES], self.category)

    def fragment(self, product: Ints, currency: Ints) -> Strings:
        """The members product_id, name, category and price of a JSON object, without braces."""
        return picked(self.fragments, product * len(CURRENCIES) + currency)

    def table(self) -> pa.Table:
        """The catalogue file: one row per product; prices in EUR."""
        return pa.table(
            {
                "id": self.product_id,
                "name": self.name,
                "category_path": self.category_paths,
                "price": money_text(self.price[:, 0]),
                "currency": pa.array(["EUR"] * self.category.size),
                "stock": pa.array(self.stock),
                "repeatable": pa.array(self.repeatable),
                "updated_at": second_text(self.updated_at),
            }
        )


def _bundle_sizes() -> Ints:
    sizes = np.full(BUNDLES, PER_CATEGORY // BUNDLES, np.int64)
    sizes[: PER_CATEGORY % BUNDLES] += 1
    return sizes


def _prices(rng: np.random.Generator, category: Ints, bundle: Ints) -> Ints:
    low, high = (np.array([getattr(item, side) for item in CATEGORIES])[category] for side in ("low", "high"))
    level = (bundle + rng.uniform(0.1, 0.9, category.size)) / BUNDLES
    euros = low * (high / low) ** level
    local = np.maximum(np.rint(euros[:, None] * np.array(PRICE_LEVEL)), 2)
    return np.asarray(local * 100 - np.where(local < 60, 1, 100), np.int64)


def _names(rng: np.random.Generator, category: Ints, place: Ints) -> Strings:
    things = [item.things for item in CATEGORIES]
    thing = pa.array([things[c][i % len(things[c])] for c, i in zip(category.tolist(), place.tolist(), strict=True)])
    series = choose(rng, category.size, [1.0] * len(_SERIES))
    finish = choose(rng, category.size, [1.0] * len(_FINISH))
    return joined(picked(list(_SERIES), series), " ", thing, " ", picked(list(_FINISH), finish))


def draw_catalogue(rng: np.random.Generator, seasons: Seasons) -> Catalogue:
    """About 400 products; some sold out; the ids say nothing of the category."""
    count = len(CATEGORIES) * PER_CATEGORY
    category, place = expand(np.full(len(CATEGORIES), PER_CATEGORY, np.int64))
    sizes = _bundle_sizes()
    bundle = np.tile(np.repeat(np.arange(BUNDLES), sizes), len(CATEGORIES))
    within = np.arange(len(CATEGORIES))[:, None] * PER_CATEGORY
    product_id, name = joined("sku-", letters(rng, count, 7)), _names(rng, category, place)
    price = _prices(rng, category, bundle)
    stock = rng.negative_binomial(1.3, 0.012, count) + 1
    stock[rng.permutation(count)[: round(count * _OUT_OF_STOCK_SHARE)]] = 0
    ids, currency = expand(np.full(count, len(CURRENCIES), np.int64))
    paths = picked([item.path for item in CATEGORIES], category[ids])
    fragments = joined(
        '"product_id":"', picked(product_id, ids), '","name":"', picked(name, ids), '","category":"', paths,
        '","price":', money_text(price[ids, currency]),
    )  # fmt: skip
    return Catalogue(
        product_id=product_id,
        name=name,
        category=category,
        bundle=bundle,
        price=price,
        popularity=rng.pareto(1.6, count) + 0.3,
        stock=stock,
        updated_at=seasons.micros(seasons.days - rng.uniform(0.2, 40, count)) // MICROS_PER_DAY * MICROS_PER_DAY,
        bundle_start=within + np.r_[0, np.cumsum(sizes)][None, :],
        fragments=fragments,
    )
