"""From a raw score to a probability that can be taken at its word; kept as numbers."""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.isotonic import IsotonicRegression

from ml.schema import FloatArray

# Isotonic regression takes the noise and the season of its rows for shape: on CDNOW (19,000 rows of the rarer class) it
# gave an ECE of .030 on the next quarter where Platt's two numbers gave .010; only much larger sets can afford it.
ISOTONIC_FROM: Final = 50_000
SMALLEST: Final = 1e-4


@dataclass(frozen=True)
class Calibration:
    """Either Platt's (slope, intercept) on the raw score or isotonic knots (raw score -> probability)."""

    method: Literal["platt", "isotonic"]
    xs: tuple[float, ...]
    ys: tuple[float, ...]

    def probability(self, raw: FloatArray) -> FloatArray:
        """Probabilities within (0, 1) in the order of the raw scores."""
        if self.method == "platt":
            (slope,), (intercept,) = self.xs, self.ys
            chances = expit(slope * raw + intercept)
        else:
            chances = np.interp(raw, self.xs, self.ys)
        return np.asarray(np.clip(chances, SMALLEST, 1 - SMALLEST), dtype=np.float64)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return {"method": self.method, "xs": list(self.xs), "ys": list(self.ys)}


def calibration_from_dict(stored: dict[str, Any]) -> Calibration:
    """The inverse of `Calibration.to_dict`."""
    return Calibration(stored["method"], tuple(stored["xs"]), tuple(stored["ys"]))


def fit_calibration(raw: FloatArray, actual: npt.NDArray[np.bool_]) -> Calibration:
    """Isotonic where the rarer class has at least ISOTONIC_FROM rows, else Platt, on rows no member was trained on."""
    rarer = min(int(actual.sum()), int((~actual).sum()))
    return _isotonic(raw, actual) if rarer >= ISOTONIC_FROM else _platt(raw, actual)


def _platt(raw: FloatArray, actual: npt.NDArray[np.bool_]) -> Calibration:
    positives, negatives = int(actual.sum()), int((~actual).sum())
    # Platt's own smoothing of the targets keeps the slope finite where classes are separable (Platt 1999).
    target = np.where(actual, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: FloatArray) -> tuple[float, FloatArray]:
        line = parameters[0] * raw + parameters[1]
        error = expit(line) - target
        value = float(np.mean(np.logaddexp(0.0, line) - target * line))
        return value, np.array([float(np.mean(error * raw)), float(np.mean(error))])

    fitted = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.01, None), (None, None)])
    return Calibration("platt", (float(fitted.x[0]),), (float(fitted.x[1]),))


def _isotonic(raw: FloatArray, actual: npt.NDArray[np.bool_]) -> Calibration:
    """Pool adjacent violators; one knot at the mean score of each pool, so that the curve rises between pools."""
    order = np.argsort(raw, kind="stable")
    levels = IsotonicRegression().fit_transform(raw[order], actual[order].astype(np.float64))
    starts = np.flatnonzero(np.diff(levels, prepend=-1.0) > 0)
    middles = np.add.reduceat(raw[order], starts) / np.diff(np.append(starts, len(raw)))
    return Calibration("isotonic", tuple(middles.tolist()), tuple(levels[starts].tolist()))
