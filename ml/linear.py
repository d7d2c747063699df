"""A linear model on log-scaled, standardised features: the steady partner of the trees, kept as numbers."""

import warnings
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, TweedieRegressor
from threadpoolctl import threadpool_limits

from ml.schema import FloatArray, batches

# Rows scaled at a time: what fits the processor's cache is four times faster than a million at once.
CACHED_ROWS: Final = 4_096


@dataclass(frozen=True)
class Scaling:
    """How raw features become standard scores; fitted on training rows only, and stored."""

    medians: tuple[float, ...]
    means: tuple[float, ...]
    scales: tuple[float, ...]

    def apply(self, values: FloatArray) -> FloatArray:
        """Impute with the training median, take the signed log, standardise, and clip at 8 standard deviations."""
        scaled = _signed_log(np.where(np.isnan(values), np.array(self.medians), values))
        scaled -= np.array(self.means)
        scaled /= np.array(self.scales)
        return np.clip(scaled, -8.0, 8.0, out=scaled)


def fit_scaling(values: FloatArray) -> Scaling:
    """Medians, means and scales of the columns; a constant or empty column is scaled to zero."""
    known = ~np.isnan(values)
    medians = np.array([np.median(column[k]) if k.any() else 0.0 for column, k in zip(values.T, known.T, strict=True)])
    logged = _signed_log(np.where(known, values, medians))
    means, scales = logged.mean(axis=0), logged.std(axis=0)
    # Constant columns get a scale that turns them to nothing; infinity would not survive as JSON.
    scales = np.where(scales > 1e-9 * np.maximum(1.0, np.abs(means)), scales, 1e300)
    return Scaling(tuple(medians.tolist()), tuple(means.tolist()), tuple(scales.tolist()))


@dataclass(frozen=True)
class Line:
    """Intercept and one coefficient per feature, on standard scores."""

    scaling: Scaling
    coefficients: tuple[float, ...]
    intercept: float

    def raw(self, values: FloatArray) -> FloatArray:
        """One raw prediction (log-odds or log money) per row."""
        found = np.empty(len(values))
        for part in batches(len(values), size=CACHED_ROWS):
            # A sum along each row, not a matrix product: a customer scored alone gets the bits of the batch.
            found[part] = (self.scaling.apply(values[part]) * np.array(self.coefficients)).sum(axis=1) + self.intercept
        return found

    def contributions(self, values: FloatArray) -> FloatArray:
        """What each input adds against the average training row, (rows, inputs + 1); the last column is the base."""
        parts = self.scaling.apply(values) * np.array(self.coefficients)
        return np.column_stack([parts, np.full(len(values), self.intercept)])

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return asdict(self)


def line_from_dict(stored: dict[str, Any]) -> Line:
    """The inverse of `Line.to_dict`."""
    scaling = Scaling(**{name: tuple(numbers) for name, numbers in stored["scaling"].items()})
    return Line(scaling, tuple(stored["coefficients"]), stored["intercept"])


def fit_logistic(values: FloatArray, target: npt.NDArray[np.bool_], *, strength: float) -> Line:
    """Logistic regression with an L2 penalty (`strength` is scikit-learn's C) on the scaled features."""
    scaling = fit_scaling(values)
    model = LogisticRegression(C=strength, solver="newton-cholesky", max_iter=100)
    with warnings.catch_warnings(), threadpool_limits(limits=1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaling.apply(values), target)
    return Line(scaling, tuple(model.coef_[0].tolist()), float(model.intercept_[0]))


def fit_tweedie(values: FloatArray, target: FloatArray, *, power: float, strength: float) -> Line:
    """Tweedie regression with a log link and an L2 penalty (`strength` is scikit-learn's alpha) on the scaled features.

    `target` is money or counts, at least 0 and not 0 throughout; `Line.raw` is then the log of its mean.
    """
    scaling, unit = fit_scaling(values), float(target.mean())
    model = TweedieRegressor(power=power, alpha=strength, link="log", solver="newton-cholesky", max_iter=100)
    with warnings.catch_warnings(), threadpool_limits(limits=1):
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(scaling.apply(values), target / unit)
    return Line(scaling, tuple(model.coef_.tolist()), float(model.intercept_ + np.log(unit)))


def _signed_log(values: FloatArray) -> FloatArray:
    return np.asarray(np.copysign(np.log1p(np.abs(values)), values))
