"""The LTV model itself: what is stored, and how it gives expectations, intervals, totals and reasons."""

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from ml.boosting import Trees
from ml.echoes import without
from ml.growth import Growth
from ml.intervals import Intervals, intervals_from_dict
from ml.linear import Line, line_from_dict
from ml.parallel import by_parts
from ml.reasons import reason_codes
from ml.rhythm import Rhythm, rhythm_from_dict
from ml.schema import FEATURES, FloatArray, batches
from ml.totals import TotalSpread

# A customer is never expected to bring exactly nothing: bounds are multiples of the expectation.
SMALLEST: Final = 1e-6
MEMBERS: Final = ("trees", "line", "rhythm")
MOST_LOG_MONEY: Final = 34.0


@dataclass(frozen=True)
class Horizon:
    """What a horizon adds to the expectation over the base horizon: a growth, and intervals by groups of that expectation."""

    growth: Growth
    intervals: Intervals

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"growth": self.growth.to_dict(), "intervals": self.intervals.to_dict()}


@dataclass(frozen=True)
class LtvModel:
    """A weighted sum of Tweedie trees, Tweedie regression and BG/NBD x Gamma-Gamma over the base horizon, and its growth.

    `shares` weigh the MEMBERS and bring them to the net total; `horizons` are by days, the base horizon among them; `hidden`
    are features that trees and regression do not read (see `ml.echoes`).
    """

    rhythm: Rhythm
    trees: Trees
    line: Line
    shares: tuple[float, float, float]
    base_days: int
    horizons: dict[int, Horizon]
    spread: TotalSpread
    hidden: tuple[str, ...]

    def expected(self, values: FloatArray) -> FloatArray:
        """Expected net revenue in the base horizon, above zero, one per row of the feature matrix."""
        return by_parts(lambda rows: blend(self.members(rows), self.shares), values)

    def members(self, values: FloatArray) -> FloatArray:
        """What each of MEMBERS expects before it is weighed, (rows, 3)."""
        return np.column_stack(
            [money(self.trees.raw(values)), money(self.line.raw(values)), self.rhythm.revenue(values)]
        )

    def within(self, days: int, base: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Expectation, lower and upper bound (80 %) within `days`, from the expectation over the base horizon."""
        horizon = self.horizons[days]
        lower, upper = horizon.intervals.bounds(base)
        return base * horizon.growth.factor, lower * horizon.growth.factor, upper * horizon.growth.factor

    def reasons(self, values: FloatArray) -> list[str]:
        """Reason codes per row of the feature matrix, from contributions to the log of what the trees expect."""
        found: list[str] = []
        for part in batches(len(values)):
            contributions = self.contributions(values[part])[:, :-1]
            found += reason_codes(values[part], contributions, features=FEATURES, outcome="the expected revenue")
        return found

    def contributions(self, values: FloatArray) -> FloatArray:
        """What each feature adds to the log of the trees' expectation, (rows, features + 1); the last is the base."""
        return self.trees.contributions(without(values, self.hidden))

    def to_files(self) -> dict[str, bytes]:
        """LightGBM's text and one JSON of numbers."""
        numbers = {
            "rhythm": self.rhythm.to_dict(),
            "line": self.line.to_dict(),
            "shares": self.shares,
            "base_days": self.base_days,
            "horizons": {str(days): horizon.to_dict() for days, horizon in self.horizons.items()},
            "spread": self.spread.to_dict(),
            "hidden": self.hidden,
        }
        return {"trees.txt": self.trees.text.encode(), "model.json": json.dumps(numbers, sort_keys=True).encode()}


def from_files(files: dict[str, bytes]) -> LtvModel:
    """The inverse of `LtvModel.to_files`."""
    numbers = json.loads(files["model.json"])
    trees, line, rhythm = numbers["shares"]
    return LtvModel(
        rhythm_from_dict(numbers["rhythm"]),
        Trees(files["trees.txt"].decode()),
        line_from_dict(numbers["line"]),
        (trees, line, rhythm),
        numbers["base_days"],
        {
            int(days): Horizon(Growth(**stored["growth"]), intervals_from_dict(stored["intervals"]))
            for days, stored in sorted(numbers["horizons"].items(), key=lambda item: int(item[0]))
        },
        TotalSpread(**numbers["spread"]),
        tuple(numbers["hidden"]),
    )


def money(raw: FloatArray) -> FloatArray:
    """Money from its log; a customer far outside of what was learnt from does not overflow."""
    return np.asarray(np.exp(np.minimum(raw, MOST_LOG_MONEY)))


def blend(members: FloatArray, shares: tuple[float, ...]) -> FloatArray:
    """The weighted sum of the members per row, kept above zero."""
    # Added column by column, not as a matrix product: a customer scored alone gets the bits of the batch.
    total = sum(share * column for share, column in zip(shares, members.T, strict=True))
    return np.asarray(np.maximum(total, SMALLEST))
