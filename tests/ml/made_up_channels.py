"""Days on which made-up customers use three channels, each by a habit of its own; seeded by the customer's id."""

from datetime import date
from functools import cache
from zlib import crc32

import numpy as np
import pandas as pd

from ml.channels import HORIZON_DAYS, PER_CHANNEL
from tests.ml.made_up_shop import OPENED

CHANNELS = ("pos", "web", "whatsapp")
KEYS = ["customer_id", "as_of_date"]


def channel_rows(keys: pd.DataFrame) -> pd.DataFrame:
    """The rows of `ml.channels` at each (customer_id, as_of_date) of `keys`, with what was used in the 30 days after it."""
    keys = keys[KEYS].assign(as_of_date=pd.to_datetime(keys["as_of_date"]))
    days = pd.concat([_days(customer) for customer in ("nobody", *keys["customer_id"].unique())], ignore_index=True)
    rows = keys.merge(days, on="customer_id")
    ago = (rows["as_of_date"] - rows["day"]).dt.days
    rows = rows.assign(ago=ago)[(ago <= 365) & (ago > -HORIZON_DAYS)]
    past = rows["ago"] > 0
    counts = {f"active_day_count_{window}d": past & (rows["ago"] <= window) for window in (30, 90, 365)}
    counted = rows.assign(
        **counts,
        order_day_count_365d=past & rows["is_order"],
        used_day_count=~past,
        days_since_last=rows["ago"].where(past).astype("float64"),
    )
    how = dict.fromkeys((*counts, "order_day_count_365d", "used_day_count"), "sum") | {"days_since_last": "min"}
    found = counted.groupby([*KEYS, "channel"], as_index=False).agg(how)
    return found.assign(horizon_days=HORIZON_DAYS)[[*KEYS, *PER_CHANNEL, "used_day_count", "horizon_days"]]


@cache
def _days(customer: str) -> pd.DataFrame:
    random = np.random.default_rng(crc32(customer.encode()))
    shares = random.dirichlet([0.5, 1.5, 0.3])
    days = np.flatnonzero(random.uniform(size=800) < random.gamma(1.5, 0.04))
    return pd.DataFrame(
        {
            "customer_id": customer,
            "channel": random.choice(CHANNELS, len(days), p=shares),
            "day": pd.Timestamp(OPENED) + pd.to_timedelta(days, unit="D"),
            "is_order": random.uniform(size=len(days)) < 0.3,
        }
    )


def made_up_channel_rows(customers: int = 400) -> pd.DataFrame:
    """Rows of seven dates, 30 days apart."""
    dates = [pd.Timestamp(date(2025, 1, 25)) - pd.Timedelta(days=30 * n) for n in range(7)]
    return channel_rows(
        pd.DataFrame({"customer_id": str(c), "as_of_date": day} for c in range(customers) for day in dates)
    )
