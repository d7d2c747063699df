"""The best-channel model itself: a customer's own days on each channel, shrunk towards what all customers use.

The shares of a customer's next active days by channel are Dirichlet distributed, with a parameter per channel that grows
with the days on which it was used (Dirichlet-multinomial regression; Mosimann 1962, Biometrika 49).
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import betaincinv, digamma, gammaln

from ml.clustering import IntArray
from ml.schema import Feature, FloatArray

CHANNEL_FEATURES: Final = (
    Feature("active_day_count_30d", "BIGINT", "days", "{value} days on the channel in 30 days"),
    Feature("active_day_count_90d", "BIGINT", "days", "{value} days on the channel in 90 days"),
    Feature("active_day_count_365d", "BIGINT", "days", "{value} days on the channel in 365 days"),
    Feature("order_day_count_365d", "BIGINT", "days", "{value} days with an order on the channel in 365 days"),
    Feature("days_since_last", "FLOAT8", "days", "{value} days since the last use of the channel"),
)
CHANNEL_FEATURE_NAMES: Final = tuple(feature.name for feature in CHANNEL_FEATURES)
CHANNEL_COUNTS: Final = CHANNEL_FEATURE_NAMES[:-1]
CHANNEL_INPUTS: Final = (
    Feature(
        "channel_uses",
        "VARCHAR",
        "days",
        "days on each channel in 30, 90 and 365 days, with an order, and since the last",
    ),
    Feature("reach_by_email", "BOOLEAN", "", "an e-mail address and consent to advertising"),
    Feature("reach_by_phone", "BOOLEAN", "", "a phone number and consent to advertising"),
    Feature("reach_on_site", "BOOLEAN", "", "consent to personalisation"),
)
BETWEEN_CHANNELS: Final = "\x1f"
WEIGHTS: Final = ("days_of_last_30", "days_31_to_90", "days_91_to_365", "order_days_of_365")
LOWEST, HIGHEST = np.log(1e-4), np.log(1e3)
TAIL: Final = 0.1


@dataclass(frozen=True)
class Uses:
    """What is known of n customers and C channels: `past` (n, C, len(WEIGHTS)) days, `days_since` (n, C), NaN where never."""

    channels: tuple[str, ...]
    past: FloatArray
    days_since: FloatArray


@dataclass(frozen=True)
class ChannelModel:
    """`shares` of all customers by channel, how many days the prior weighs, and what a day of each kind in WEIGHTS weighs."""

    channels: tuple[str, ...]
    shares: tuple[float, ...]
    prior_days: float
    weights: tuple[float, ...]

    def parameters(self, uses: Uses) -> FloatArray:
        """The Dirichlet parameters (n, C) for the channels of `uses`; a channel that is new has only its own days."""
        known = dict(zip(self.channels, self.shares, strict=True))
        prior = self.prior_days * np.array([known.get(channel, 0.0) for channel in uses.channels])
        found = np.repeat(prior[None, :], len(uses.past), axis=0)
        # Added up one by one: a customer scored alone gets the bits of the batch.
        for kind, weight in enumerate(self.weights):
            found += weight * uses.past[:, :, kind]
        return found

    def to_files(self) -> dict[str, bytes]:
        """One JSON of names and numbers."""
        return {"model.json": json.dumps(asdict(self), sort_keys=True).encode()}


def from_files(files: dict[str, bytes]) -> ChannelModel:
    """The inverse of `ChannelModel.to_files`."""
    stored = json.loads(files["model.json"])
    return ChannelModel(
        tuple(stored["channels"]), tuple(stored["shares"]), stored["prior_days"], tuple(stored["weights"])
    )


def uses_of(rows: pd.DataFrame, place: IntArray, count: int, channels: Sequence[str]) -> Uses:
    """The rows (one per customer and channel) as arrays of `count` customers; `place` numbers each row's customer from 0.

    Numbers that are missing or below 0 count as 0.
    """
    column = pd.Index(channels).get_indexer(pd.Index(rows["channel"]))
    used = column >= 0
    month, quarter, year, orders, since = (
        pd.to_numeric(rows[name]).to_numpy(dtype=np.float64, na_value=np.nan)[used] for name in CHANNEL_FEATURE_NAMES
    )
    past = np.zeros((count, len(channels), len(WEIGHTS)))
    month, quarter, year, orders = (
        np.clip(np.nan_to_num(c, posinf=0.0), 0.0, 366.0) for c in (month, quarter, year, orders)
    )
    kinds = (month, np.maximum(quarter - month, 0.0), np.maximum(year - quarter, 0.0), orders)
    past[place[used], column[used]] = np.column_stack(kinds)
    days_since = np.full((count, len(channels)), np.nan)
    days_since[place[used], column[used]] = np.where(np.isfinite(since), since, np.nan)
    return Uses(tuple(channels), past, days_since)


def unpacked(rows: pd.DataFrame) -> pd.DataFrame:
    """The text `channel_uses` of each row as one row per channel: `place` (the row's number), channel, CHANNEL_FEATURE_NAMES.

    In the text the numbers stand in this order, then the channel, between commas; channels are parted by BETWEEN_CHANNELS.
    """
    texts = rows["channel_uses"].fillna("").astype(str).reset_index(drop=True)
    each = texts[texts != ""].str.split(BETWEEN_CHANNELS).explode()
    parts = each.str.split(",", n=len(CHANNEL_FEATURE_NAMES))
    found = pd.DataFrame(parts.tolist(), columns=[*CHANNEL_FEATURE_NAMES, "channel"], index=each.index)
    numbers = found[list(CHANNEL_FEATURE_NAMES)].apply(pd.to_numeric, errors="coerce").astype("float64")
    rows_of: pd.DataFrame = numbers.assign(channel=found["channel"], place=each.index.to_numpy())
    return rows_of.reset_index(drop=True)


def total(parameters: FloatArray) -> FloatArray:
    """Sum over channels, added up one by one, so that further channels nobody here used change no bit."""
    found = np.zeros(len(parameters))
    for column in parameters.T:
        found += column
    return found


def share_interval(parameter: FloatArray, whole: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The middle 80 % of a channel's share of the next active days: quantiles of Beta(parameter, whole - parameter)."""
    other = np.maximum(whole - parameter, 1e-9)
    alone = whole - parameter <= 0
    lower = np.where(alone, 1.0, betaincinv(parameter, other, TAIL))
    return lower, np.where(alone, 1.0, betaincinv(parameter, other, 1 - TAIL))


def fit(uses: Uses, used_days: FloatArray) -> ChannelModel:
    """Maximum likelihood on the days used (n, C) in the horizon, of customers with at least one."""
    # Half a day more on every channel: none is impossible for those who never used it.
    shares = (used_days.sum(axis=0) + 0.5) / (used_days.sum() + 0.5 * len(uses.channels))
    days = total(used_days)

    def loss(logs: FloatArray) -> tuple[float, FloatArray]:
        sizes = np.exp(logs)
        alpha = sizes[0] * shares[None, :] + uses.past @ sizes[1:]
        whole = total(alpha)
        terms = gammaln(alpha + used_days) - gammaln(alpha)
        value = float((gammaln(whole) - gammaln(whole + days) + total(terms)).sum())
        slope = (digamma(whole) - digamma(whole + days))[:, None] + digamma(alpha + used_days) - digamma(alpha)
        inner = [float((slope * shares[None, :]).sum()), *np.einsum("nc,nck->k", slope, uses.past)]
        return -value / len(days), -np.array(inner) * sizes / len(days)

    start = np.log(np.array([2.0, 0.3, 0.2, 0.1, 0.1]))
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(LOWEST, HIGHEST)] * 5)
    prior, *weights = np.exp(found.x).tolist()
    return ChannelModel(uses.channels, tuple(shares.tolist()), prior, tuple(weights))
