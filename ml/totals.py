"""How far the total of a shop may lie from what is expected of its customers: an 80 % interval with a stated rule.

Errors of single customers cancel out in a sum, errors that all customers share do not: the level of the whole shop moves
from one date to the next, a season comes that was never seen, a horizon is longer than any outcome at hand.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import norm, t

from ml.evaluation import FULL_YEAR
from ml.growth import SMALLEST_BUYERS, Growth
from ml.schema import FloatArray

COVERAGE: Final = 0.8
# What a season that was never seen may do to revenue, up or down; Christmas does that to shops of gifts.
SEASON_FACTOR: Final = 2.0
UNKNOWN_LEVEL: Final = 0.15
RULE: Final = (
    "The interval of a total is 80 %: expected x or / exp(w), w the root of the summed squares of: Student's t times how "
    "the level of the shop moved between dates a horizon apart; the sampling error of the customers; the spread of the growth to the "
    "horizon; and log 2 times the share of the days ahead whose season was never seen."
)


@dataclass(frozen=True)
class TotalSpread:
    """`level` is the root mean square of the moves of log(actual / expected) between dates a base horizon apart.

    `moves` is how many of them were independent, 0 where none could be seen; `noise` the root mean square error of one
    customer over the mean expectation.
    """

    level: float
    moves: int
    noise: float

    def width(self, growth: Growth, *, customers: int, history_days: float) -> float:
        """The w of RULE."""
        quantile = (1 + COVERAGE) / 2
        z = float(norm.ppf(quantile))
        level = float(t.ppf(quantile, self.moves)) * self.level if self.moves else z * self.level
        noise = z * self.noise / np.sqrt(max(customers, 1))
        season = np.log(SEASON_FACTOR) * unseen_share(growth.days, history_days)
        return float(np.sqrt(level**2 + noise**2 + (z * growth.spread) ** 2 + season**2))

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return asdict(self)


def fit_spread(dates: FloatArray, actual: FloatArray, expected: FloatArray, *, base: int) -> TotalSpread:
    """From rows whose `expected` revenue is of models that had not seen the customer; `dates` are days, one number per row.

    Moves of the level are those that the features of the customers did not foretell.
    """
    levels: dict[float, float] = {}
    for day in np.unique(dates):
        on = (dates == day) & ~np.isnan(expected)
        if (actual[on] > 0).sum() >= SMALLEST_BUYERS and actual[on].sum() > 0:
            levels[float(day)] = float(np.log(actual[on].sum() / expected[on].sum()))
    moves = [
        level - levels[max(before)]
        for day, level in levels.items()
        if (before := [other for other in levels if other <= day - base])
    ]
    known = ~np.isnan(expected)
    noise = float(np.sqrt(((actual - expected)[known] ** 2).mean()) / expected[known].mean())
    if not moves:
        return TotalSpread(UNKNOWN_LEVEL, 0, noise)
    independent = int((max(levels) - min(levels)) // base)
    return TotalSpread(float(np.sqrt(np.mean(np.square(moves)))), max(independent, 1), noise)


def unseen_share(days: int, history_days: float) -> float:
    """Which share of the next `days` has no day of the same season in a history of `history_days`."""
    return float(np.clip(FULL_YEAR - history_days, 0, days)) / days


def total_rows(
    growths: Mapping[int, Growth],
    spread: TotalSpread,
    expected: Mapping[int, float],
    *,
    customers: int,
    history_days: float,
) -> pd.DataFrame:
    """One row per horizon: horizon_days, customers, expected_total, lower_total, upper_total, warning (None or sentences)."""
    rows = []
    for days, growth in growths.items():
        width = spread.width(growth, customers=customers, history_days=history_days)
        total = expected[days]
        rows.append(
            {
                "horizon_days": days,
                "customers": customers,
                "expected_total": total,
                "lower_total": total * np.exp(-width),
                "upper_total": total * np.exp(width),
                "warning": _warning(growth, history_days),
            }
        )
    return pd.DataFrame(rows)


def _warning(growth: Growth, history_days: float) -> str | None:
    unseen, found = unseen_share(growth.days, history_days), []
    if unseen:
        found.append(
            f"Less than a year of history ({history_days:.0f} days): {unseen:.0%} of the days ahead belong to a season "
            "that was never seen, which may double or halve their revenue."
        )
    if growth.learnt_from < growth.days:
        found.append(
            f"No outcome over {growth.days} days is known yet: stretched from {growth.learnt_from} days ({growth.rule})."
        )
    return " ".join(found) or None
