"""The columns ml reads and writes: the Python side of the seams with dbt (features in, predictions out)."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml import features

FloatArray = npt.NDArray[np.float64]
Feature = features.Feature
ColumnType = features.ColumnType
FEATURES: Final = features.FEATURES
FEATURE_NAMES: Final = features.FEATURE_NAMES

KEYS: Final = ("customer_id", "as_of_date")
CACHED_ROWS: Final = 4_096
"""Rows that are copied at a time: what fits the processor's cache."""


class FeatureError(ValueError):
    """The frame handed to ml is not the one the seam promises."""


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

LTV_HORIZONS: Final = (90, 365)
"""Horizons of LTV in days that every installation has; others may be added to them."""


def value_columns(days: int) -> tuple[str, str, str]:
    """The columns of ltv_scores for one horizon: expectation, lower and upper bound."""
    return f"expected_net_revenue_{days}d", f"lower_net_revenue_{days}d", f"upper_net_revenue_{days}d"


_SCORED: Final[dict[str, str]] = {"customer_id": "VARCHAR", "as_of_date": "DATE"}

PREDICTIONS: Final[dict[str, dict[str, str]]] = {
    "churn_scores": {
        **_SCORED,
        "churn_probability": "FLOAT8",
        "is_at_risk": "BOOLEAN",
        "reason_codes": "JSON",
        "model_version": "VARCHAR",
    },
    "ltv_scores": {
        **_SCORED,
        **{name: "FLOAT8" for days in LTV_HORIZONS for name in value_columns(days)},
        "reason_codes": "JSON",
        "model_version": "VARCHAR",
    },
    "best_channels": {
        **_SCORED,
        "channel": "VARCHAR",
        "probability": "FLOAT8",
        "lower_probability": "FLOAT8",
        "upper_probability": "FLOAT8",
        "is_reachable": "BOOLEAN",
        "reason": "VARCHAR",
        "model_version": "VARCHAR",
    },
    "ltv_totals": {
        "as_of_date": "DATE",
        "horizon_days": "BIGINT",
        "customers": "BIGINT",
        "expected_total": "FLOAT8",
        "lower_total": "FLOAT8",
        "upper_total": "FLOAT8",
        "warning": "VARCHAR",
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


def columns_of(table: str, ltv_horizons: Iterable[int] = LTV_HORIZONS) -> dict[str, str]:
    """The columns of a table of `predictions`; ltv_scores has three for every horizon, in ascending order."""
    if table != "ltv_scores":
        return PREDICTIONS[table]
    values = {name: "FLOAT8" for days in sorted({*LTV_HORIZONS, *ltv_horizons}) for name in value_columns(days)}
    ends = {name: type_ for name, type_ in PREDICTIONS[table].items() if name not in values}
    before = {name: ends.pop(name) for name in _SCORED}
    return {**before, **values, **ends}


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
    if len(frame) <= CACHED_ROWS and is_plain(frame):
        values[:] = frame[list(FEATURE_NAMES)].to_numpy()
        values[~np.isfinite(values)] = np.nan
        return values
    columns = [_numbers(frame[name]) for name in FEATURE_NAMES]
    # A column at a time would go through all of the memory for each of them.
    for part in batches(len(frame), size=CACHED_ROWS):
        rows = values[part]
        for position, column in enumerate(columns):
            rows[:, position] = column[part]
        rows[~np.isfinite(rows)] = np.nan
    return values


def is_plain(frame: pd.DataFrame) -> bool:
    """Whether every feature is float64 as it stands, as in the rows of one request: then no column has to be looked at by itself."""
    return all(kind == np.float64 for kind in frame.dtypes[list(FEATURE_NAMES)])


def _numbers(column: pd.Series) -> FloatArray:
    if column.dtype == np.float64:
        return np.asarray(column.to_numpy(), dtype=np.float64)
    return np.asarray(pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan))


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
    if frozenset(names) <= frozenset(FEATURE_NAMES) and is_plain(frame):
        return
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
