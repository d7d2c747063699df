"""The LTV model itself: what is stored, and how it gives an expectation, an interval and reasons."""

import json
from dataclasses import dataclass

import numpy as np

from ml.boosting import Trees
from ml.intervals import Intervals, intervals_from_dict
from ml.reasons import reason_codes
from ml.rhythm import Rhythm, rhythm_from_dict
from ml.schema import FEATURES, FloatArray, batches

# A customer is never expected to bring exactly nothing: bounds are multiples of the expectation.
SMALLEST: float = 1e-6


@dataclass(frozen=True)
class LtvModel:
    """A weighted sum of Tweedie trees (log link) and BG/NBD x Gamma-Gamma, scaled to the net total, with intervals."""

    rhythm: Rhythm
    trees: Trees
    tree_share: float
    rhythm_share: float
    intervals: Intervals

    def expected(self, values: FloatArray) -> FloatArray:
        """Expected net revenue in the horizon, above zero, one per row of the feature matrix."""
        found = np.empty(len(values))
        for part in batches(len(values)):
            by_trees, by_rhythm = np.exp(self.trees.raw(values[part])), self.rhythm.revenue(values[part])
            found[part] = blend(by_trees, by_rhythm, self.tree_share, self.rhythm_share)
        return found

    def reasons(self, values: FloatArray) -> list[str]:
        """Reason codes per row of the feature matrix, from contributions to the log of what the trees expect."""
        found: list[str] = []
        for part in batches(len(values)):
            contributions = self.contributions(values[part])[:, :-1]
            found += reason_codes(values[part], contributions, features=FEATURES, outcome="the expected revenue")
        return found

    def contributions(self, values: FloatArray) -> FloatArray:
        """What each feature adds to the log of the trees' expectation, (rows, features + 1); the last is the base."""
        return self.trees.contributions(values)

    def to_files(self) -> dict[str, bytes]:
        """LightGBM's text and one JSON of numbers."""
        numbers = {
            "rhythm": self.rhythm.to_dict(),
            "tree_share": self.tree_share,
            "rhythm_share": self.rhythm_share,
            "intervals": self.intervals.to_dict(),
        }
        return {"trees.txt": self.trees.text.encode(), "model.json": json.dumps(numbers, sort_keys=True).encode()}


def from_files(files: dict[str, bytes]) -> LtvModel:
    """The inverse of `LtvModel.to_files`."""
    numbers = json.loads(files["model.json"])
    return LtvModel(
        rhythm_from_dict(numbers["rhythm"]),
        Trees(files["trees.txt"].decode()),
        numbers["tree_share"],
        numbers["rhythm_share"],
        intervals_from_dict(numbers["intervals"]),
    )


def blend(trees: FloatArray, rhythm: FloatArray, tree_share: float, rhythm_share: float) -> FloatArray:
    """tree_share x trees + rhythm_share x rhythm, kept above zero."""
    return np.asarray(np.maximum(tree_share * trees + rhythm_share * rhythm, SMALLEST))
