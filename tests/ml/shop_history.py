"""The features and labels of the seam, computed in pandas straight from a list of orders (for tests on real data)."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pandas as pd

from ml import schema
from orchestration.clock import STEPS_BACK, TRAINING_STEP_DAYS

DATA = Path(__file__).parents[3] / "shared" / "data"
HORIZON = 90


def online_retail_orders() -> pd.DataFrame:
    """One row per invoice: no cancellations, positive price, customer known (the filters of the reference)."""
    lines = pd.read_parquet(DATA / "online_retail" / "transactions.parquet")
    kept = lines.customer_id.notna() & (lines.unit_price > 0) & ~lines.invoice_no.str.startswith("C")
    lines = lines[kept].assign(amount=lambda f: f.quantity * f.unit_price)
    orders = lines.groupby(["customer_id", "invoice_no"], as_index=False).agg(
        ordered_at=("invoice_date", "min"), amount=("amount", "sum"), items=("quantity", "sum")
    )
    products = lines[["customer_id", "stock_code", "invoice_date"]].rename(columns={"invoice_date": "at"})
    orders.attrs["products"] = products
    return orders


def cdnow_orders(which: str = "master") -> pd.DataFrame:
    """One row per customer and day."""
    orders = pd.read_parquet(DATA / "cdnow" / f"transactions_{which}.parquet")
    orders = orders.assign(ordered_at=pd.to_datetime(orders.date))
    orders = orders.groupby(["customer_id", "ordered_at"], as_index=False).agg(
        amount=("amount", "sum"), items=("qty", "sum")
    )
    return orders


def labelled_rows(orders: pd.DataFrame, days: list[date], *, horizon: int = HORIZON) -> pd.DataFrame:
    """Training rows of ml at every date in `days`."""
    parts = [schema.training_rows(features_at(orders, day), labels_at(orders, day, horizon)) for day in days]
    return pd.concat(parts, ignore_index=True)


def dates_back(test: date, first_order: date, *, horizon: int = HORIZON) -> list[date]:
    """The test date and the dates of the run clock before it whose labels end by it, each with 60 days of history."""
    steps = [TRAINING_STEP_DAYS * count for count in STEPS_BACK]
    newest = min(days for days in steps if days >= horizon)
    back = [test - timedelta(days=days - newest) for days in steps if days - newest >= horizon]
    return sorted([test, *(day for day in back if day >= first_order + timedelta(days=60))])


def features_at(orders: pd.DataFrame, day: date) -> pd.DataFrame:
    """One row per customer with an order before `day`."""
    cut = pd.Timestamp(day)
    seen = orders[orders.ordered_at < cut]
    ago = (cut - seen.ordered_at.dt.normalize()).dt.days
    seen = seen.assign(ago=ago, order_day=seen.ordered_at.dt.normalize())
    by = seen.groupby("customer_id")
    frame = pd.DataFrame(
        {
            "recency_days": by.ago.min(),
            "tenure_days": by.ago.max(),
            "order_count": by.size(),
            "order_day_count": by.order_day.nunique(),
            "net_revenue": by.amount.sum(),
            "items_per_order": by["items"].mean(),
        }
    )
    for window in (30, 90, 180, 365):
        recent = seen[seen.ago <= window].groupby("customer_id")
        frame[f"order_count_{window}d"] = recent.size()
        frame[f"net_revenue_{window}d"] = recent.amount.sum()
    frame["order_day_count_90d"] = seen[seen.ago <= 90].groupby("customer_id").order_day.nunique()
    season = seen[(seen.ago > 275) & (seen.ago <= 365)]
    frame["order_count_same_season"] = season.groupby("customer_id").size()
    before = seen[(seen.ago > 90) & (seen.ago <= 180)].groupby("customer_id").amount.sum()
    frame["before"] = before
    windows = [c for c in frame if c.endswith("d") and c[-2].isdigit()] + ["before", "order_count_same_season"]
    frame[windows] = frame[windows].fillna(0)
    total = frame.net_revenue_90d + frame.before
    frame["order_amount_trend"] = np.where(
        total > 0, (frame.net_revenue_90d - frame.before) / total.where(total > 0, 1), 0
    )
    frame["average_order_value"] = frame.net_revenue / frame.order_count
    gaps = (frame.tenure_days - frame.recency_days) / (frame.order_day_count - 1).where(frame.order_day_count > 1)
    frame["mean_days_between_orders"] = gaps
    frame["recency_to_rhythm"] = frame.recency_days / gaps
    frame["last_order_value"] = seen.sort_values("ordered_at", kind="stable").groupby("customer_id").amount.last()
    frame["largest_order_value"] = by.amount.max()
    days = seen[["customer_id", "ago"]].drop_duplicates().sort_values("ago", ascending=False, kind="stable")
    between = -days.groupby("customer_id").ago.diff()
    frame["last_gap_days"] = between.groupby(days.customer_id).last()
    frame["gap_variation"] = (between.groupby(days.customer_id).std(ddof=0) / gaps).where(frame.order_day_count > 2)
    frame["days_since_last_event"] = frame.recency_days
    frame = frame.join(_products(orders, cut)).fillna({"distinct_product_count": 0, "repeat_product_share": 0})
    constants = {n: 0.0 for n in schema.FEATURE_NAMES if n not in frame.columns}
    ones = dict.fromkeys(("channel_count", "main_channel_share", "identifier_count", "identifier_type_count"), 1)
    frame = frame.assign(**constants).assign(**ones, days_since_last_visit=np.nan, as_of_date=day).reset_index()
    frame["customer_id"] = frame.customer_id.astype(int).astype(str)
    return frame[[*schema.KEYS, *schema.FEATURE_NAMES]]


def labels_at(orders: pd.DataFrame, day: date, horizon: int) -> pd.DataFrame:
    """What the customers known at `day` did in [day, day + horizon)."""
    cut = pd.Timestamp(day)
    known = orders.loc[orders.ordered_at < cut, "customer_id"].unique()
    later = orders[(orders.ordered_at >= cut) & (orders.ordered_at < cut + pd.Timedelta(days=horizon))]
    by = later.groupby("customer_id")
    frame = pd.DataFrame({"order_count_in_horizon": by.size(), "net_revenue_in_horizon": by.amount.sum()})
    frame = frame.reindex(known).fillna(0.0).rename_axis("customer_id").reset_index()
    first = frame.customer_id.map(by.ordered_at.min())
    return frame.assign(
        customer_id=frame.customer_id.astype(int).astype(str),
        as_of_date=day,
        horizon_days=horizon,
        has_churned=frame.order_count_in_horizon == 0,
        days_to_next_order=(first - cut) / pd.Timedelta(days=1),
    )[list(schema.LABELS)]


def _products(orders: pd.DataFrame, cut: pd.Timestamp) -> pd.DataFrame:
    products = orders.attrs.get("products")
    if products is None:
        return pd.DataFrame({"distinct_product_count": [], "repeat_product_share": []}, dtype=float)
    bought = products[products["at"] < cut].drop_duplicates(["customer_id", "stock_code", "at"])
    by = bought.groupby("customer_id").stock_code
    return pd.DataFrame({"distinct_product_count": by.nunique(), "repeat_product_share": 1 - by.nunique() / by.size()})
