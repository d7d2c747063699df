"""The next-order model itself: what is stored, and how it gives the chance of an order by any day, and its reasons."""

import json
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from scipy.special import expit

from ml.bgnbd import BgNbd
from ml.boosting import Trees
from ml.calibration import Calibration, calibration_from_dict
from ml.linear import Line, line_from_dict
from ml.reasons import reason_codes
from ml.rhythm import history
from ml.schema import FEATURE_NAMES, FEATURES, Feature, FloatArray, batches
from ml.survival import PERIOD_ENDS, IntArray, survival

RHYTHM_HAZARD: Final = Feature(
    "rhythm_hazard",
    "FLOAT8",
    "share",
    "a {value} chance of an order in weeks 3 and 4 by the rhythm of past orders alone",
)
PERIOD_NAMES: Final = tuple(f"until_day_{end:.0f}" for end in PERIOD_ENDS[:-1])
INPUT_NAMES: Final = (*FEATURE_NAMES, RHYTHM_HAZARD.name, *PERIOD_NAMES)
# The period that reasons speak of: weeks 3 and 4, between what is due any day and what is far away.
SPOKEN_PERIOD: Final = 2
SMALLEST: Final = 1e-6
FEWER_ROWS: Final = 16_384


@dataclass(frozen=True)
class NextOrderModel:
    """Trees and logistic regression for the chance of an order in each period, averaged in log-odds and calibrated.

    They read the features, the chance that BG/NBD gives to the period, and which period it is.
    """

    rhythm: BgNbd | None
    trees: Trees
    line: Line
    tree_weight: float
    calibration: Calibration

    def raw(self, inputs: FloatArray) -> FloatArray:
        """Log-odds of an order in the period before calibration, one per row of `period_inputs`."""
        return self.tree_weight * self.trees.raw(inputs) + (1 - self.tree_weight) * self.line.raw(inputs)

    def curves(self, values: FloatArray) -> FloatArray:
        """Chance of no order by the end of each period (see `ml.survival`), one row per row of the feature matrix."""
        found = np.empty((len(values), len(PERIOD_ENDS)))
        for part in batches(len(values), size=FEWER_ROWS):
            rows = np.arange(len(values[part]))
            of_rhythm = rhythm_log_odds(self.rhythm, values[part])
            hazards = [
                self.calibration.probability(
                    self.raw(period_inputs(values[part], of_rhythm, rows, np.full_like(rows, p)))
                )
                for p in range(len(PERIOD_ENDS))
            ]
            found[part] = survival(np.column_stack(hazards))
        return found

    def reasons(self, values: FloatArray) -> list[str]:
        """Reason codes per row of the feature matrix, from contributions to the log-odds of an order in weeks 3 and 4."""
        found: list[str] = []
        for part in batches(len(values), size=FEWER_ROWS):
            rows = np.arange(len(values[part]))
            of_rhythm = rhythm_log_odds(self.rhythm, values[part])
            inputs = period_inputs(values[part], of_rhythm, rows, np.full_like(rows, SPOKEN_PERIOD))
            said = len(FEATURE_NAMES) + 1
            parts = self.contributions(inputs)[:, :said]
            inputs[:, said - 1] = expit(inputs[:, said - 1])
            found += reason_codes(
                inputs[:, :said], parts, features=(*FEATURES, RHYTHM_HAZARD), outcome="the chance of an order soon"
            )
        return found

    def contributions(self, inputs: FloatArray) -> FloatArray:
        """What each input adds to `raw`, (rows, inputs + 1); the last column is the base, and a row sums to `raw`."""
        trees, line = self.trees.contributions(inputs), self.line.contributions(inputs)
        return self.tree_weight * trees + (1 - self.tree_weight) * line

    def to_files(self) -> dict[str, bytes]:
        """LightGBM's text and one JSON of numbers."""
        numbers = {
            "rhythm": asdict(self.rhythm) if self.rhythm else None,
            "line": self.line.to_dict(),
            "tree_weight": self.tree_weight,
            "calibration": self.calibration.to_dict(),
        }
        return {"trees.txt": self.trees.text.encode(), "model.json": json.dumps(numbers, sort_keys=True).encode()}


def from_files(files: dict[str, bytes]) -> NextOrderModel:
    """The inverse of `NextOrderModel.to_files`."""
    numbers = json.loads(files["model.json"])
    return NextOrderModel(
        BgNbd(**numbers["rhythm"]) if numbers["rhythm"] else None,
        Trees(files["trees.txt"].decode()),
        line_from_dict(numbers["line"]),
        numbers["tree_weight"],
        calibration_from_dict(numbers["calibration"]),
    )


def rhythm_curves(rhythm: BgNbd, values: FloatArray) -> FloatArray:
    """Chance of no order by the end of each period by BG/NBD alone, one row per row of the feature matrix."""
    past = history(values)
    return np.column_stack([rhythm.no_purchase(past, end / 7) for end in PERIOD_ENDS])


def rhythm_log_odds(rhythm: BgNbd | None, values: FloatArray) -> FloatArray:
    """Log-odds of an order in each period for those who reach it, by BG/NBD alone: (rows, periods); NaN without a fit."""
    if rhythm is None:
        return np.full((len(values), len(PERIOD_ENDS)), np.nan)
    none_by = np.column_stack([np.ones(len(values)), rhythm_curves(rhythm, values)])
    none_by = np.maximum(none_by, SMALLEST)
    stays = np.clip(none_by[:, 1:] / none_by[:, :-1], SMALLEST, 1 - SMALLEST)
    return np.asarray(np.log1p(-stays) - np.log(stays))


def period_inputs(values: FloatArray, of_rhythm: FloatArray, row: IntArray, period: IntArray) -> FloatArray:
    """One row per (row, period): the features, what the rhythm says of the period, and 1 up to which end it is: INPUT_NAMES."""
    until = (period[:, None] <= np.arange(len(PERIOD_ENDS) - 1)).astype(np.float64)
    return np.column_stack([values[row], of_rhythm[row, period], until])
