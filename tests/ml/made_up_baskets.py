"""A small made-up shop whose customers each like one shelf, buy some things again and again, and look before they buy."""

from datetime import date, timedelta
from functools import cache
from zlib import crc32

import numpy as np
import pandas as pd

from ml.baskets import VIEW_DAYS, Acts, Baskets

TODAY = date(2025, 6, 1)
OPENED = date(2024, 10, 1)
HORIZON = 30
SHELVES, ON_SHELF = 6, 12


def made_up_lines(customers: int = 150, *, seed: int = 5) -> pd.DataFrame:
    """One row per order line until TODAY: customer_id, order_key, product_id, ordered_at."""
    random = np.random.default_rng(seed)
    days = (TODAY - OPENED).days
    shelf = random.integers(0, SHELVES, customers)
    orders = random.poisson(8, customers) + 1
    customer = np.repeat(np.arange(customers), orders)
    at = random.uniform(0, days, len(customer))
    lines = np.repeat(np.arange(len(customer)), random.integers(1, 5, len(customer)))
    of = customer[lines]
    elsewhere = random.random(len(lines)) < 0.15
    place = np.minimum(random.geometric(0.25, len(lines)) - 1, ON_SHELF - 1)
    # every customer has a favourite of its own on its shelf, which it buys again and again
    place = np.where(random.random(len(lines)) < 0.4, of % ON_SHELF, place)
    on = np.where(elsewhere, random.integers(0, SHELVES, len(lines)), shelf[of])
    return pd.DataFrame(
        {
            "customer_id": [f"c{number:04}" for number in of],
            "order_key": [f"o{number:05}" for number in lines],
            "product_id": [f"p{shelf_:01}{place_:02}" for shelf_, place_ in zip(on, place, strict=True)],
            "ordered_at": (pd.Timestamp(OPENED) + pd.to_timedelta(at[lines], unit="D")).astype("datetime64[us]"),
        }
    )


def made_up_views(lines: pd.DataFrame) -> pd.DataFrame:
    """Half of what is ordered was looked at two days before, every tenth also put into the cart."""
    seen = lines[::2].assign(occurred_at=lambda f: f["ordered_at"] - pd.Timedelta(days=2))
    is_cart = np.arange(len(seen)) % 5 == 0
    return seen.assign(is_cart=is_cart)[["customer_id", "product_id", "occurred_at", "is_cart"]]


def made_up_products() -> pd.DataFrame:
    """The catalogue: p000 is out of stock, p001 is bought once only, and p999 was never sold."""
    ids = [f"p{shelf}{place:02}" for shelf in range(SHELVES) for place in range(ON_SHELF)] + ["p999"]
    return pd.DataFrame(
        {
            "product_id": ids,
            "product_name": [f"Thing {name}" for name in ids],
            "category": [f"Shelf {name[1]}" for name in ids],
            "stock": [0 if name == "p000" else 5 for name in ids],
            "is_repeatable": [False if name == "p001" else None for name in ids],
        }
    )


def acts_at(lines: pd.DataFrame, views: pd.DataFrame, day: date) -> Acts:
    """What was known at the day."""
    at = pd.Timestamp(day)
    recent = (views["occurred_at"] < at) & (views["occurred_at"] >= at - pd.Timedelta(days=VIEW_DAYS))
    return Acts(day, lines[lines["ordered_at"] < at], views[recent])


def outcomes_at(lines: pd.DataFrame, day: date) -> pd.DataFrame:
    """What customers of before bought in the horizon after the day."""
    at = pd.Timestamp(day)
    known = set(lines.loc[lines["ordered_at"] < at, "customer_id"])
    after = lines[(lines["ordered_at"] >= at) & (lines["ordered_at"] < at + pd.Timedelta(days=HORIZON))]
    return after.loc[after["customer_id"].isin(known), ["customer_id", "product_id"]].drop_duplicates()


def made_up_baskets(customers: int = 150, *, dates: int = 3, seed: int = 5) -> Baskets:
    """Baskets at whole horizons back from TODAY."""
    lines = made_up_lines(customers, seed=seed)
    views = made_up_views(lines)
    days = [TODAY - timedelta(days=HORIZON * count) for count in range(dates, 0, -1)]
    return Baskets(
        HORIZON,
        {day: acts_at(lines, views, day) for day in days},
        {day: outcomes_at(lines, day) for day in days},
        made_up_products(),
    )


@cache
def lines_of(customer_id: str, opened: date = OPENED) -> pd.DataFrame:
    """The order lines of one customer over two years, drawn by its id alone: the first one on the first day."""
    random = np.random.default_rng(crc32(customer_id.encode()))
    shelf = int(random.integers(0, SHELVES))
    at = np.r_[0.0, np.sort(random.uniform(0, 730, random.poisson(16)))]
    order = np.repeat(np.arange(len(at)), random.integers(1, 4, len(at)))
    place = np.minimum(random.geometric(0.25, len(order)) - 1, ON_SHELF - 1)
    return pd.DataFrame(
        {
            "customer_id": customer_id,
            "order_key": [f"{customer_id}-{number}" for number in order],
            "product_id": [f"p{shelf}{number:02}" for number in place],
            "ordered_at": (pd.Timestamp(opened) + pd.to_timedelta(at[order], unit="D")).astype("datetime64[us]"),
        }
    )
