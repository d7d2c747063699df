"""The columns ml reads and writes: the Python side of the seams with dbt (features in, predictions out)."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

FloatArray = npt.NDArray[np.float64]
ColumnType = Literal["VARCHAR", "DATE", "TIMESTAMP", "BOOLEAN", "INTEGER", "BIGINT", "FLOAT8", "JSON"]

KEYS: Final = ("customer_id", "as_of_date")


class FeatureError(ValueError):
    """The frame handed to ml is not the one the seam promises."""


@dataclass(frozen=True)
class Feature:
    """One feature column; `words` say a value in a sentence for reason codes ("{value}" is the formatted number)."""

    name: str
    type: ColumnType
    unit: str
    words: str
    words_if_one: str = ""
    words_if_null: str = "an unknown value"


_ONE_DAY: Final = "orders on one day only so far"

FEATURES: Final = (
    Feature("recency_days", "FLOAT8", "days", "no order for {value} days", "no order for 1 day"),
    Feature("tenure_days", "FLOAT8", "days", "customer for {value} days", "customer for 1 day"),
    Feature("days_since_last_event", "FLOAT8", "days", "nothing heard for {value} days", "nothing heard for 1 day"),
    Feature("order_count", "BIGINT", "orders", "{value} orders so far", "1 order so far"),
    Feature("order_day_count", "BIGINT", "days", "orders on {value} different days", _ONE_DAY),
    Feature("order_count_30d", "BIGINT", "orders", "{value} orders in 30 days", "1 order in 30 days"),
    Feature("order_count_90d", "BIGINT", "orders", "{value} orders in 90 days", "1 order in 90 days"),
    Feature("order_count_365d", "BIGINT", "orders", "{value} orders in 365 days", "1 order in 365 days"),
    Feature("net_revenue", "FLOAT8", "money", "net revenue of {value} so far"),
    Feature("net_revenue_30d", "FLOAT8", "money", "net revenue of {value} in 30 days"),
    Feature("net_revenue_90d", "FLOAT8", "money", "net revenue of {value} in 90 days"),
    Feature("net_revenue_365d", "FLOAT8", "money", "net revenue of {value} in 365 days"),
    Feature("average_order_value", "FLOAT8", "money", "an average order of {value}"),
    Feature("refund_count", "BIGINT", "refunds", "{value} refunds so far", "1 refund so far"),
    Feature("refund_share", "FLOAT8", "share", "{value} of revenue refunded"),
    Feature(
        "mean_days_between_orders", "FLOAT8", "days", "{value} days between orders", "1 day between orders", _ONE_DAY
    ),
    Feature("recency_to_rhythm", "FLOAT8", "ratio", "a pause of {value} times the usual gap", "", _ONE_DAY),
    Feature("distinct_product_count", "BIGINT", "products", "{value} different products bought", "1 product bought"),
    Feature("distinct_category_count", "BIGINT", "categories", "{value} different categories", "1 category bought"),
    Feature("items_per_order", "FLOAT8", "items", "{value} items per order", "1 item per order"),
    Feature("session_count_30d", "BIGINT", "visits", "{value} visits in 30 days", "1 visit in 30 days"),
    Feature("session_count_90d", "BIGINT", "visits", "{value} visits in 90 days", "1 visit in 90 days"),
    Feature(
        "product_view_count_30d", "BIGINT", "views", "{value} products viewed in 30 days", "1 product viewed in 30 days"
    ),
    Feature(
        "product_view_count_90d", "BIGINT", "views", "{value} products viewed in 90 days", "1 product viewed in 90 days"
    ),
    Feature("cart_add_count_30d", "BIGINT", "products", "{value} products put in the cart in 30 days"),
    Feature("channel_count", "BIGINT", "channels", "{value} channels used", "1 channel used"),
    Feature("discount_share", "FLOAT8", "share", "{value} of order value discounted"),
    Feature("identifier_count", "BIGINT", "identifiers", "{value} known identifiers", "1 known identifier"),
    Feature("order_amount_trend", "FLOAT8", "trend", "a revenue trend of {value} (from -1 to 1) over 180 days"),
)
FEATURE_NAMES: Final = tuple(feature.name for feature in FEATURES)

LABELS: Final[dict[str, str]] = {
    "customer_id": "VARCHAR",
    "as_of_date": "DATE",
    "horizon_days": "BIGINT",
    "has_churned": "BOOLEAN",
    "order_count_in_horizon": "BIGINT",
    "net_revenue_in_horizon": "FLOAT8",
    "days_to_next_order": "FLOAT8",
}
OPEN_LABELS: Final = ("days_to_next_order",)
"""Labels that have no value where nothing happened in the horizon."""
FURTHER_LABEL: Final = re.compile(r"net_revenue_in_\d+d")
"""Labels of further horizons, null where they have not passed since the row's date (see `ml.model.Reads`)."""
LABEL_NAMES: Final = tuple(name for name in LABELS if name not in KEYS)

_SCORED: Final[dict[str, str]] = {"customer_id": "VARCHAR", "as_of_date": "DATE"}

PREDICTIONS: Final[dict[str, dict[str, str]]] = {
    "churn_scores": {
        **_SCORED,
        "churn_probability": "FLOAT8",
        "reason_codes": "JSON",
        "model_version": "VARCHAR",
    },
    "ltv_scores": {
        **_SCORED,
        "expected_net_revenue_90d": "FLOAT8",
        "lower_net_revenue_90d": "FLOAT8",
        "upper_net_revenue_90d": "FLOAT8",
        "reason_codes": "JSON",
        "model_version": "VARCHAR",
    },
    "next_orders": {
        **_SCORED,
        "chance_of_order_30d": "FLOAT8",
        "chance_of_order_90d": "FLOAT8",
        "expected_on": "DATE",
        "earliest_on": "DATE",
        "latest_on": "DATE",
        "reason_codes": "JSON",
        "model_version": "VARCHAR",
    },
    "popular_products": {"rank": "INTEGER", "product_id": "VARCHAR", "score": "FLOAT8"},
    "recommendations": {
        **_SCORED,
        "list": "VARCHAR",
        "rank": "INTEGER",
        "product_id": "VARCHAR",
        "score": "FLOAT8",
        "reason_codes": "JSON",
        "model_version": "VARCHAR",
    },
    "segments": {**_SCORED, "segment_id": "INTEGER", "segment_name": "VARCHAR", "model_version": "VARCHAR"},
    "segment_history": {
        "customer_id": "VARCHAR",
        "segment_id": "INTEGER",
        "segment_name": "VARCHAR",
        "valid_from": "DATE",
        "valid_to": "DATE",
        "ended": "VARCHAR",
    },
    "segment_transitions": {
        "as_of_date": "DATE",
        "from_segment_id": "INTEGER",
        "from_segment_name": "VARCHAR",
        "to_segment_id": "INTEGER",
        "to_segment_name": "VARCHAR",
        "customers": "BIGINT",
        "model_version": "VARCHAR",
        "model_changed": "BOOLEAN",
    },
    "similar_products": {
        "product_id": "VARCHAR",
        "rank": "INTEGER",
        "similar_product_id": "VARCHAR",
        "score": "FLOAT8",
    },
    "model_versions": {
        "model": "VARCHAR",
        "version": "VARCHAR",
        "trained_at": "TIMESTAMP",
        "as_of_date": "DATE",
        "train_dates": "JSON",
        "test_date": "DATE",
        "train_rows": "BIGINT",
        "test_rows": "BIGINT",
        "features": "JSON",
        "parameters": "JSON",
        "metrics": "JSON",
        "baseline_metrics": "JSON",
        "data_fingerprint": "VARCHAR",
        "seed": "BIGINT",
        "artifact_sha256": "VARCHAR",
        "decision": "JSON",
        "is_champion": "BOOLEAN",
    },
}


def check_features(frame: pd.DataFrame) -> None:
    """Refuse a frame that is not (customer_id, as_of_date, FEATURES), one row per key; the order of columns is free.

    Raises FeatureError with one sentence naming the columns. NaN and infinity are values, not errors.
    """
    _check_columns(frame, (*KEYS, *FEATURE_NAMES))
    _check_types(frame, FEATURE_NAMES)
    _check_keys(frame)


def check_rows(frame: pd.DataFrame) -> None:
    """Refuse training rows that are not (customer_id, as_of_date, FEATURES, LABELS); raises FeatureError."""
    further = tuple(str(name) for name in frame.columns if FURTHER_LABEL.fullmatch(str(name)))
    _check_columns(frame, (*KEYS, *FEATURE_NAMES, *LABEL_NAMES, *further))
    _check_types(frame, (*FEATURE_NAMES, *LABEL_NAMES, *further))
    _check_keys(frame)
    unlabelled = [name for name in LABEL_NAMES if name not in OPEN_LABELS and frame[name].isna().any()]
    if unlabelled:
        raise FeatureError(f"Training rows have no value in {', '.join(unlabelled)}; train only on labelled rows.")


def training_rows(features: pd.DataFrame, labels: pd.DataFrame) -> pd.DataFrame:
    """Join features with their labels: one row per (customer_id, as_of_date) that has both."""
    _check_columns(labels, tuple(LABELS))
    return keyed(features).merge(keyed(labels), on=list(KEYS), how="inner", validate="one_to_one")


def ordered(frame: pd.DataFrame) -> pd.DataFrame:
    """The same rows sorted by key, so that no result depends on the order in which rows arrive."""
    return keyed(frame).sort_values(list(KEYS), kind="stable", ignore_index=True)


def matrix(frame: pd.DataFrame) -> FloatArray:
    """The features as float64, (rows, len(FEATURES)), in FEATURES order; infinity becomes NaN."""
    values = np.empty((len(frame), len(FEATURE_NAMES)), dtype=np.float64)
    for position, name in enumerate(FEATURE_NAMES):
        values[:, position] = pd.to_numeric(frame[name]).to_numpy(dtype=np.float64, na_value=np.nan)
    values[~np.isfinite(values)] = np.nan
    return values


def batches(rows: int, *, size: int = 65_536) -> Iterator[slice]:
    """Slices that cover `rows` rows in order, so that the memory of scoring does not grow with them."""
    return (slice(start, min(start + size, rows)) for start in range(0, rows, size))


def varies(values: FloatArray) -> bool:
    """Whether at least one column of the matrix holds two different known values."""
    low = np.where(np.isnan(values), np.inf, values).min(axis=0, initial=np.inf)
    high = np.where(np.isnan(values), -np.inf, values).max(axis=0, initial=-np.inf)
    return bool((high > low).any())


def keyed(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with as_of_date as a timestamp, so that frames of any origin can be joined. Raises FeatureError."""
    try:
        days = pd.to_datetime(frame["as_of_date"]).astype("datetime64[us]")
    except (ValueError, TypeError) as error:
        raise FeatureError("as_of_date is not a date in every row; give dates between 1678 and 2261.") from error
    return frame.assign(as_of_date=days)


def _check_columns(frame: pd.DataFrame, wanted: tuple[str, ...]) -> None:
    missing = [name for name in wanted if name not in frame.columns]
    extra = [str(name) for name in frame.columns if name not in wanted]
    problems = [f"lacks {', '.join(missing)}"] * bool(missing) + [f"has unknown {', '.join(extra)}"] * bool(extra)
    if problems:
        raise FeatureError(f"The frame {' and '.join(problems)}; ml.schema lists the columns it must have.")
    if not frame.columns.is_unique:
        raise FeatureError("The frame has the same column name twice; ml.schema lists the columns it must have.")


def _check_types(frame: pd.DataFrame, names: tuple[str, ...]) -> None:
    wrong = [f"{n} ({frame[n].dtype})" for n in names if not _is_numeric(frame[n])]
    if wrong:
        raise FeatureError(f"Not numeric: {', '.join(wrong)}; cast them to BIGINT, DOUBLE or BOOLEAN.")


def _is_numeric(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column.dtype)) or bool(column.isna().all())


def _check_keys(frame: pd.DataFrame) -> None:
    if frame[list(KEYS)].isna().to_numpy().any():
        raise FeatureError("A row has no customer_id or no as_of_date; both are needed.")
    if frame["customer_id"].duplicated().any() and keyed(frame).duplicated(list(KEYS)).any():
        raise FeatureError("A (customer_id, as_of_date) occurs twice; there must be one row per customer and date.")
