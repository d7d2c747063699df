"""Features beside a profile: one text a customer, the field `_features` of its hash.

A JSON list: the date that the features look ahead from, which list of names they go by, then their values in its order as
numbers or null. `["2026-10-01","448bdcf9",12,null,0.5]`; the names stand in the manifest of profiles, once.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

FIELD: Final = "_features"
_KEYS: Final = ("customer_id", "as_of_date")


@dataclass(frozen=True, kw_only=True)
class PublishedFeatures:
    """One customer's features as published, in the order of the names they were asked for."""

    customer_id: str
    as_of_date: date
    """The date that they look ahead from."""
    values: tuple[float | None, ...]
    as_of: datetime
    """Instant (naive UTC) up to which events are in them."""
    age: timedelta


def feature_names(features: pa.Table) -> tuple[str, ...]:
    """The names of the features in a table of (customer_id, as_of_date, features)."""
    return tuple(name for name in features.column_names if name not in _KEYS)


def names_digest(names: Sequence[str]) -> str:
    """What stands in each text for the list of names: 8 hex digits."""
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:8]


def feature_texts(features: pa.Table) -> pa.Array:
    """One text a row of (customer_id, as_of_date, numeric features), as the module's head says.

    A number is the shortest text that reads back equal; NaN and infinity are null, as models take them. Raises ValueError for
    a row without a date and for a feature that is no number.
    """
    names = feature_names(features)
    if features["as_of_date"].null_count:
        raise ValueError("Features to publish have no as_of_date in some rows.")
    if not len(features):
        return pa.array([], pa.string())
    days = _one(features["as_of_date"].cast(pa.date32()).cast(pa.string()))
    head = pc.binary_join_element_wise(pa.scalar('["'), days, pa.scalar(f'","{names_digest(names)}"'), pa.scalar(""))
    numbers = [_number_texts(name, _one(features[name])) for name in names]
    return pc.binary_join_element_wise(
        pc.binary_join_element_wise(head, *numbers, pa.scalar(",")), pa.scalar("]"), pa.scalar("")
    )


def features_by_customer(features: pa.Table, customer_ids: pa.Array) -> pa.Array:
    """The texts in the order of `customer_ids`; null for a customer without features. Raises ValueError as `feature_texts` does."""
    ids = _one(features["customer_id"].cast(pa.string()))
    places = pc.index_in(customer_ids.cast(pa.string()), value_set=ids)
    return feature_texts(features).take(places)


def read_features(text: str, digest: str) -> tuple[date, tuple[float | None, ...]] | None:
    """Date and values out of a text; None where it goes by another list of names than that of `digest`."""
    day, of, *values = json.loads(text, parse_int=float)
    return (date.fromisoformat(day), tuple(values)) if of == digest else None


def _number_texts(name: str, column: pa.Array) -> pa.Array:
    kind = column.type
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind))
    elif pa.types.is_boolean(kind):
        column = column.cast(pa.int8())
    elif not pa.types.is_integer(kind):
        raise ValueError(f"The feature {name} is no number, so it cannot be published.")
    return column.cast(pa.string()).fill_null("null")


def _one(column: pa.ChunkedArray) -> pa.Array:
    combined = column.combine_chunks()
    return combined if isinstance(combined, pa.Array) else pa.concat_arrays(combined.chunks)
