"""Made-up feature rows for the scoring benchmark: columns that hang together, and labels that can be learnt from them."""

from datetime import date, timedelta
from typing import Final

import numpy as np
import pandas as pd

from ml.schema import FEATURE_NAMES

HORIZON_DAYS: Final = 90
DATES: Final = tuple(date(2026, 1, 1) + timedelta(days=30 * number) for number in range(6))


def feature_rows(customers: int, as_of_date: date, *, seed: int) -> pd.DataFrame:
    """One row per customer: orders at a pace of their own until they stop; the rest of the columns is noise around that."""
    random = np.random.default_rng(seed)
    orders = 1 + random.negative_binomial(1, 0.25, customers)
    tenure = random.uniform(1, 700, customers)
    recency = tenure * random.beta(1, 1 + orders / 3, customers)
    span = np.maximum(tenure - recency, 1)
    value = random.lognormal(4, 0.7, customers)
    gap = np.where(orders > 1, span / np.maximum(orders - 1, 1), np.nan)
    columns: dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]] = {
        name: random.poisson(2, customers).astype(np.float64) for name in FEATURE_NAMES
    }
    columns |= {
        "recency_days": recency,
        "tenure_days": tenure,
        "days_since_last_event": recency * random.uniform(0, 1, customers),
        "order_count": orders.astype(np.float64),
        "order_day_count": orders.astype(np.float64),
        "net_revenue": value * orders,
        "average_order_value": value,
        "refund_share": random.beta(1, 20, customers),
        "mean_days_between_orders": gap,
        "recency_to_rhythm": recency / gap,
        "discount_share": random.beta(1, 5, customers),
        "order_amount_trend": random.uniform(-1, 1, customers),
    }
    keys = {"customer_id": [f"c{number:08d}" for number in range(customers)], "as_of_date": pd.Timestamp(as_of_date)}
    return pd.DataFrame(keys | columns)


def with_labels(features: pd.DataFrame, *, seed: int) -> pd.DataFrame:
    """The rows with the labels of ml.schema: churn grows with recency and falls with orders."""
    random = np.random.default_rng(seed)
    drift = features["recency_days"] / 120 - np.log1p(features["order_count"])
    has_churned = random.random(len(features)) < 1 / (1 + np.exp(-drift))
    stayed = (~has_churned).astype(int)
    return features.assign(
        horizon_days=HORIZON_DAYS,
        has_churned=has_churned,
        order_count_in_horizon=stayed,
        net_revenue_in_horizon=stayed * features["average_order_value"],
        days_to_next_order=np.where(has_churned, np.nan, random.uniform(0, HORIZON_DAYS, len(features))),
    )
