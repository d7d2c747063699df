"""Names for segments in plain words, from where a centroid stands among the others; never from its index."""

from typing import Final

import numpy as np
import pandas as pd

ONE_TIME: Final = 1.5
NOTABLE_DISCOUNT: Final = 0.05
NEW_DAYS: Final = 60.0


def segment_names(centroids: pd.DataFrame) -> tuple[str, ...]:
    """One unique name per centroid (rows; columns are traits in their own units)."""
    levels = pd.DataFrame({trait: _level(centroids[trait]) for trait in centroids.columns}, index=centroids.index)
    names = [_name(levels.loc[i], centroids.loc[i]) for i in centroids.index]
    for trait, words in _TELLING_APART:
        names = _tell_apart(names, centroids, trait, words)
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
    if centroid["order_day_count"] < ONE_TIME and centroid["tenure_days"] <= NEW_DAYS:
        return "new"
    return {"low": "recent", "middle": "", "high": "lapsed"}[level["recency_days"]]


def _who(level: pd.Series, centroid: pd.Series) -> str:
    spending = {"low": "low-spending", "middle": "", "high": "high-spending"}[level["net_revenue"]]
    if centroid["discount_share"] >= NOTABLE_DISCOUNT and level["discount_share"] == "high":
        return "bargain hunters" if level["net_revenue"] != "high" else "high-spending bargain hunters"
    if centroid["order_day_count"] < ONE_TIME:
        return f"{spending} one-time buyers".strip()
    if level["order_day_count"] == "high":
        return (
            "loyal high spenders" if level["net_revenue"] == "high" else f"loyal {spending} buyers".replace("  ", " ")
        )
    kind = "occasional" if level["order_day_count"] == "low" else "repeat"
    return f"{spending} {kind} buyers".strip()


def _tell_apart(names: list[str], centroids: pd.DataFrame, trait: str, words: str) -> list[str]:
    """Centroids that share a name get the value in which they differ, as long as it differs when spoken."""
    told = list(names)
    for name in {n for n in names if names.count(n) > 1}:
        same = [i for i, n in enumerate(names) if n == name]
        spoken = [words.format(_rounded(float(centroids[trait].iloc[i]))) for i in same]
        if len(set(spoken)) > 1:
            for i, text in zip(same, spoken, strict=True):
                told[i] = f"{name}, {text}"
    return told


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:.1f}".removesuffix(".0")


_TELLING_APART: Final = (
    ("average_order_value", "about {} per order"),
    ("recency_days", "last order {} days ago"),
    ("session_count_90d", "{} visits a quarter"),
    ("product_view_count_90d", "{} product views a quarter"),
    ("tenure_days", "known for {} days"),
    ("net_revenue", "{} spent so far"),
    ("order_day_count", "{} order days"),
    ("discount_share", "discount share {}"),
)
