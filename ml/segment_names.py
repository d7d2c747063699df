"""Names for segments in plain words, from where a centroid stands among the others; never from its index."""

from collections.abc import Container, Mapping
from typing import Final

import numpy as np
import pandas as pd

ONE_TIME: Final = 1.5
LOYAL: Final = 3.0
NOTABLE_DISCOUNT: Final = 0.05
NEW_DAYS: Final = 60.0
# In this order values are added to names that would otherwise be the same.
TELLING_APART: Final = (
    ("average_order_value", "about {} per order"),
    ("recency_days", "last order {} days ago"),
    ("session_count_90d", "{} visits a quarter"),
    ("product_view_count_90d", "{} product views a quarter"),
    ("net_revenue", "{} spent so far"),
    ("order_day_count", "{} order days"),
    ("discount_share", "discount share {}"),
)


def segment_names(centroids: pd.DataFrame, *, kept: Mapping[int, str] | None = None) -> tuple[str, ...]:
    """One unique name per centroid (rows; columns are traits in their own units); centroids must differ.

    `kept` are names that centroids have already, by position: they stay as they are.
    """
    kept = kept or {}
    levels = pd.DataFrame({trait: _level(centroids[trait]) for trait in centroids.columns}, index=centroids.index)
    names = [
        kept[position] if position in kept else _name(levels.iloc[position], centroids.iloc[position])
        for position in range(len(centroids))
    ]
    for spoken in (_rounded, _exact):
        for trait, words in TELLING_APART:
            names = _tell_apart(names, [words.format(spoken(value)) for value in centroids[trait].tolist()], kept)
    return tuple(names)


def _level(trait: pd.Series) -> pd.Series:
    """low, middle or high third by rank; equal centroids share a level, a trait without spread is middle for all."""
    spread = float(trait.max() - trait.min())
    if spread <= 1e-9 * max(1.0, float(trait.abs().max())):
        return pd.Series("middle", index=trait.index)
    position = (trait.rank(method="average") - 1) / (len(trait) - 1)
    return pd.Series(np.select([position < 1 / 3, position > 2 / 3], ["low", "high"], "middle"), index=trait.index)


def _name(level: pd.Series, centroid: pd.Series) -> str:
    return " ".join(word for word in (_when(level, centroid), _who(level, centroid)) if word)


def _when(level: pd.Series, centroid: pd.Series) -> str:
    if centroid["order_day_count"] < ONE_TIME and centroid["recency_days"] <= NEW_DAYS:
        return "new"
    return {"low": "recent", "middle": "", "high": "lapsed"}[level["recency_days"]]


def _who(level: pd.Series, centroid: pd.Series) -> str:
    spending = {"low": "low-spending ", "middle": "", "high": "high-spending "}[level["net_revenue"]]
    if level["discount_share"] == "high" and centroid["discount_share"] >= NOTABLE_DISCOUNT:
        return f"{spending}bargain hunters"
    if centroid["order_day_count"] < ONE_TIME:
        return f"{spending}one-time buyers"
    if level["order_day_count"] == "high" and centroid["order_day_count"] >= LOYAL:
        return "loyal high spenders" if level["net_revenue"] == "high" else f"loyal {spending}buyers"
    return f"{spending}{'occasional' if level['order_day_count'] == 'low' else 'repeat'} buyers"


def _tell_apart(names: list[str], spoken: list[str], kept: Container[int]) -> list[str]:
    """Names that occur more than once get what is said of them, if that is not the same for all of them; kept ones do not."""
    said: dict[str, set[str]] = {}
    for name, words in zip(names, spoken, strict=True):
        said.setdefault(name, set()).add(words)
    return [
        f"{name}, {words}" if len(said[name]) > 1 and position not in kept else name
        for position, (name, words) in enumerate(zip(names, spoken, strict=True))
    ]


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}"


def _exact(value: float) -> str:
    return f"{value:.10g}"
