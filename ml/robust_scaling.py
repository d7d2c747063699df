"""Log and robust scaling for clustering: no outlier and no unit decides what is near; kept as numbers."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ml.schema import FloatArray

LIMIT: Final = 3.0
CONSTANT: Final = 1e300


@dataclass(frozen=True)
class RobustScaling:
    """Median and spread per column of the signed logs, fitted in training and stored."""

    fillers: tuple[float, ...]
    centres: tuple[float, ...]
    spreads: tuple[float, ...]

    def apply(self, values: FloatArray) -> FloatArray:
        """Missing -> training median; then (signed log - centre) / spread, clipped at +/-3; constant columns give 0."""
        logged = _log(np.where(np.isnan(values), np.array(self.fillers), values))
        return np.asarray(np.clip((logged - np.array(self.centres)) / np.array(self.spreads), -LIMIT, LIMIT))

    def undo(self, scaled: FloatArray) -> FloatArray:
        """Scaled points back in the units of the features."""
        spreads = np.where(np.array(self.spreads) < CONSTANT, np.array(self.spreads), 0.0)
        logged = scaled * spreads + np.array(self.centres)
        return np.asarray(np.sign(logged) * np.expm1(np.abs(logged)))


def fit_robust_scaling(values: FloatArray) -> RobustScaling:
    """Centre on the median, scale by the interquartile range, or the deviation where half of the values are equal."""
    known = ~np.isnan(values)
    fillers = np.array([np.median(column[k]) if k.any() else 0.0 for column, k in zip(values.T, known.T, strict=True)])
    logged = _log(np.where(known, values, fillers))
    low, centres, high = np.quantile(logged, [0.25, 0.5, 0.75], axis=0)
    spreads = np.where(high > low, (high - low) / 1.349, logged.std(axis=0))
    # Constant columns get a spread that scales them to nothing; infinity would not survive as JSON.
    spreads = np.where(spreads > 1e-9, np.maximum(spreads, 1e-3), CONSTANT)
    return RobustScaling(tuple(fillers.tolist()), tuple(centres.tolist()), tuple(spreads.tolist()))


def _log(values: FloatArray) -> FloatArray:
    return np.asarray(np.sign(values) * np.log1p(np.abs(values)))
