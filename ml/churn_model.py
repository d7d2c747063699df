"""The churn model itself: what is stored, and how it gives a probability and its reasons."""

import json
from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.boosting import Trees
from ml.calibration import Calibration, calibration_from_dict
from ml.contacting import Contacting, contacting_from_dict
from ml.linear import Line, line_from_dict
from ml.parallel import by_parts
from ml.reasons import reason_codes
from ml.rhythm import NO_ORDER_CHANCE, Rhythm, rhythm_from_dict
from ml.schema import FEATURES, FloatArray, batches

INPUTS: Final = (*FEATURES, NO_ORDER_CHANCE)
INPUT_NAMES: Final = tuple(feature.name for feature in INPUTS)


@dataclass(frozen=True)
class ChurnModel:
    """Trees and logistic regression over the features and the BG/NBD chance, averaged in log-odds and calibrated."""

    rhythm: Rhythm
    trees: Trees
    line: Line
    tree_weight: float
    calibration: Calibration
    contacting: Contacting

    def raw(self, inputs: FloatArray) -> FloatArray:
        """Log-odds before calibration, one per row of `churn_inputs`."""
        return self.tree_weight * self.trees.raw(inputs) + (1 - self.tree_weight) * self.line.raw(inputs)

    def probability(self, values: FloatArray) -> FloatArray:
        """Calibrated probability of no order within the horizon, one per row of the feature matrix."""
        return by_parts(lambda rows: self.calibration.probability(self.raw(churn_inputs(self.rhythm, rows))), values)

    def reasons(self, values: FloatArray) -> list[str]:
        """Reason codes per row of the feature matrix, from contributions to the log-odds before calibration."""
        found: list[str] = []
        for part in batches(len(values)):
            inputs = churn_inputs(self.rhythm, values[part])
            contributions = self.contributions(inputs)[:, :-1]
            found += reason_codes(inputs, contributions, features=INPUTS, outcome="the risk")
        return found

    def contributions(self, inputs: FloatArray) -> FloatArray:
        """What each input adds to `raw`, (rows, inputs + 1); the last column is the base, and a row sums to `raw`."""
        trees, line = self.trees.contributions(inputs), self.line.contributions(inputs)
        return self.tree_weight * trees + (1 - self.tree_weight) * line

    def to_files(self) -> dict[str, bytes]:
        """LightGBM's text and one JSON of numbers."""
        numbers = {
            "rhythm": self.rhythm.to_dict(),
            "line": self.line.to_dict(),
            "tree_weight": self.tree_weight,
            "calibration": self.calibration.to_dict(),
            "contacting": self.contacting.to_dict(),
        }
        return {"trees.txt": self.trees.text.encode(), "model.json": json.dumps(numbers, sort_keys=True).encode()}


def from_files(files: dict[str, bytes]) -> ChurnModel:
    """The inverse of `ChurnModel.to_files`."""
    numbers = json.loads(files["model.json"])
    return ChurnModel(
        rhythm_from_dict(numbers["rhythm"]),
        Trees(files["trees.txt"].decode()),
        line_from_dict(numbers["line"]),
        numbers["tree_weight"],
        calibration_from_dict(numbers["calibration"]),
        contacting_from_dict(numbers["contacting"]),
    )


def churn_inputs(rhythm: Rhythm, values: FloatArray) -> FloatArray:
    """The feature matrix with the chance of no order by rhythm alone beside it: (rows, len(INPUTS))."""
    return np.column_stack([values, rhythm.no_order_chance(values)])
