"""The buying rhythm of a customer as BG/NBD and Gamma-Gamma see it, from three columns of the feature matrix.

Both are fitted on the histories of one date; they use no label.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Final

import numpy as np

from ml.bgnbd import BgNbd, History, fit_bgnbd
from ml.gamma_gamma import GammaGamma, fit_gamma_gamma
from ml.model import ModelError
from ml.schema import FEATURE_NAMES, Feature, FloatArray

NO_ORDER_CHANCE: Final = Feature(
    "no_order_chance", "FLOAT8", "share", "a {value} chance of no order by the rhythm of past orders alone"
)
# Wider than any true history: a number beyond is a mistake in the data and must not overflow.
MOST_DAYS: Final = 1e5
MOST_MONEY: Final = 1e15
_ORDER_DAYS, _GAP, _RECENCY, _REVENUE = (
    FEATURE_NAMES.index(name) for name in ("order_day_count", "mean_days_between_orders", "recency_days", "net_revenue")
)


@dataclass(frozen=True)
class Rhythm:
    """Purchase and spend models over a horizon in weeks; None where the histories did not allow a fit."""

    purchases: BgNbd | None
    spend: GammaGamma | None
    weeks: float

    def no_order_chance(self, values: FloatArray) -> FloatArray:
        """Probability of no order within the horizon per row of the feature matrix; NaN without a fit."""
        if self.purchases is None:
            return np.full(len(values), np.nan)
        return self.purchases.no_purchase(history(values), self.weeks)

    def revenue(self, values: FloatArray) -> FloatArray:
        """Expected revenue within the horizon per row of the feature matrix; zero without a fit."""
        if self.purchases is None or self.spend is None:
            return np.zeros(len(values))
        days, mean = _spending(values)
        return self.purchases.purchases(history(values), self.weeks) * self.spend.mean_spend(days, mean)

    def over(self, days: float) -> "Rhythm":
        """The same rhythm over another horizon."""
        return replace(self, weeks=days / 7)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return asdict(self)


def rhythm_from_dict(stored: dict[str, Any]) -> Rhythm:
    """The inverse of `Rhythm.to_dict`."""
    purchases, spend = stored["purchases"], stored["spend"]
    return Rhythm(BgNbd(**purchases) if purchases else None, GammaGamma(**spend) if spend else None, stored["weeks"])


def fit_rhythm(values: FloatArray, *, horizon_days: int) -> Rhythm:
    """Fit on the feature matrix of one date; a part that cannot be fitted is left out."""
    purchases: BgNbd | None = None
    spend: GammaGamma | None = None
    try:
        purchases = fit_bgnbd(history(values))
        spend = fit_gamma_gamma(*_spending(values))
    except ModelError:
        # Shops with too few repeat buyers are served by the other members of the models; the card shows the gap.
        return Rhythm(purchases, None, horizon_days / 7)
    return Rhythm(purchases, spend, horizon_days / 7)


def history(values: FloatArray) -> History:
    """Purchase histories out of the feature matrix; a customer whose numbers are missing counts as just arrived."""
    days, gap, recency = (_between(values[:, column], 0.0, MOST_DAYS) for column in (_ORDER_DAYS, _GAP, _RECENCY))
    repeats = np.maximum(days - 1.0, 0.0)
    last = repeats * gap / 7
    return History(repeats, last, last + recency / 7)


def aged(values: FloatArray, orders: FloatArray, days: int) -> FloatArray:
    """The feature matrix `days` later, as far as the rhythm reads it, of customers who placed `orders` in between.

    When in between is not known: orders are taken as evenly spread. Other features stay.
    """
    before, later = history(values), np.array(values)
    repeats = before.x + orders
    last = np.where(orders > 0, 7 * before.T + days * orders / (orders + 1), 7 * before.t_x)
    later[:, _ORDER_DAYS] = repeats + 1
    later[:, _GAP] = last / np.maximum(repeats, 1.0)
    later[:, _RECENCY] = 7 * before.T + days - last
    return later


def _spending(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    days = _between(values[:, _ORDER_DAYS], 0.0, MOST_DAYS)
    return days, _between(values[:, _REVENUE], -MOST_MONEY, MOST_MONEY) / np.maximum(days, 1.0)


def _between(column: FloatArray, least: float, most: float) -> FloatArray:
    return np.asarray(np.clip(np.nan_to_num(column), least, most))
