"""A small shop whose customers buy at different rates and leave at some point; seeded, learnable, and nobody real."""

from datetime import date, timedelta

import numpy as np
import pandas as pd

from tests.ml.shop_history import dates_back, labelled_rows

OPENED = date(2024, 1, 1)
TEST_DATE = date(2025, 1, 25)


def made_up_orders(customers: int = 500, *, seed: int = 3) -> pd.DataFrame:
    """One row per order over two years: rates are gamma, stays are exponential, amounts are log-normal per customer."""
    random = np.random.default_rng(seed)
    joined = random.integers(0, 400, customers)
    rate = random.gamma(1.0, 1 / 40, customers)
    stays = random.exponential(250, customers)
    spend = random.lognormal(3.5, 0.7, customers)
    repeats = random.poisson(rate * stays)
    customer = np.repeat(np.arange(customers), repeats + 1)
    is_first = np.r_[True, customer[1:] != customer[:-1]]
    offset = np.where(is_first, 0.0, random.uniform(0, 1, len(customer)) * stays[customer])
    amount = spend[customer] * random.lognormal(0, 0.3, len(customer))
    return pd.DataFrame(
        {
            "customer_id": customer,
            "ordered_at": pd.Timestamp(OPENED) + pd.to_timedelta(joined[customer] + offset, unit="D"),
            "amount": amount.round(2),
            "items": random.integers(1, 6, len(customer)),
        }
    )


def made_up_rows(customers: int = 500, *, seed: int = 3) -> pd.DataFrame:
    """Features with labels at a test date and five dates before it."""
    return labelled_rows(made_up_orders(customers, seed=seed), dates_back(TEST_DATE, OPENED))


def one_date_rows(customers: int = 500, *, seed: int = 3) -> pd.DataFrame:
    """The same with one training date only."""
    return labelled_rows(made_up_orders(customers, seed=seed), [TEST_DATE - timedelta(days=90), TEST_DATE])
