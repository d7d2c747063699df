"""What a customer spends per purchase day: Gamma-Gamma (Fader & Hardie 2013, brucehardie.com/notes/025)."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import gammaln

from ml.model import ModelError
from ml.schema import FloatArray

MOST_ROWS: Final = 50_000
SMALLEST_ROWS: Final = 20


@dataclass(frozen=True)
class GammaGamma:
    """Spend per day ~ Gamma(p, nu), nu ~ Gamma(q, v); v in units of money."""

    p: float
    q: float
    v: float

    def mean_spend(self, days: FloatArray, mean: FloatArray) -> FloatArray:
        """Expected spend per purchase day: the own mean drawn towards that of all, the more the fewer days there are.

        A mean that is not above zero (all refunded) counts as no history.
        """
        known = np.where(mean > 0, days, 0.0)
        return np.asarray(self.p * (self.v + known * np.maximum(mean, 0.0)) / (self.p * known + self.q - 1.0))


def fit_gamma_gamma(days: FloatArray, mean: FloatArray) -> GammaGamma:
    """Maximum likelihood with a light penalty, over customers with a positive mean; q > 1, so that means exist.

    Raises ModelError where fewer than 20 customers have spent anything.
    """
    positive = mean > 0
    days, mean = days[positive], mean[positive]
    if len(days) < SMALLEST_ROWS:
        raise ModelError(f"Gamma-Gamma cannot be fitted: {len(days)} customers have spent anything, 20 are needed.")
    order = np.lexsort((mean, days))[:: -(-len(days) // MOST_ROWS)]
    unit = float(np.median(mean))
    days, mean = days[order], mean[order] / unit

    def loss(logs: npt.NDArray[np.float64]) -> float:
        p, q, v = np.exp(logs) + np.array([0.0, 1.0, 0.0])
        shape = p * days
        likelihood = gammaln(shape + q) - gammaln(shape) - gammaln(q) + q * np.log(v)
        likelihood = (
            likelihood + (shape - 1) * np.log(mean) + shape * np.log(days) - (shape + q) * np.log(days * mean + v)
        )
        return float(-likelihood.mean() + 1e-4 * (logs**2).sum())

    found = minimize(loss, np.log(np.array([2.0, 2.0, 2.0])), method="L-BFGS-B", bounds=[(-6.0, 8.0)] * 3)
    p, q_above_one, v = np.exp(found.x).tolist()
    return GammaGamma(p, 1.0 + q_above_one, v * unit)
