"""How often a customer will buy, from how often and when they bought: BG/NBD (Fader, Hardie & Lee 2005).

Marketing Science 24(2), 275-284. Time is in weeks. A history is x repeat purchase days, t_x weeks from the first to the
last of them, T weeks from the first to the date of the forecast.
"""

from dataclasses import dataclass
from itertools import product
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import expit, gammaln, hyp2f1

from ml.model import ModelError
from ml.schema import FloatArray

MOST_ROWS: Final = 50_000
PENALTIES: Final = (1e-4, 1e-3, 1e-2, 1e-1)
# On the real sets the optimum lies within these; further out the likelihood is flat and the fit is running away.
LOWEST: Final = 1e-3
HIGHEST: Final = 1e3
SMALLEST_REPEATERS: Final = 20


@dataclass(frozen=True)
class History:
    """Repeat purchase days, weeks to the last of them, weeks observed; arrays of one length."""

    x: FloatArray
    t_x: FloatArray
    T: FloatArray


@dataclass(frozen=True)
class BgNbd:
    """Purchases a week ~ Gamma(r, alpha); chance to drop out after a purchase ~ Beta(a, b); `penalty` as fitted."""

    r: float
    alpha: float
    a: float
    b: float
    penalty: float

    def alive(self, history: History) -> FloatArray:
        """Probability that the customer has not dropped out (1 without a repeat purchase, as the model has it)."""
        x, t_x, age = history.x, history.t_x, history.T
        odds = np.log(self.a / (self.b + np.maximum(x, 1) - 1))
        odds = odds + (self.r + x) * np.log((self.alpha + age) / (self.alpha + t_x))
        return np.asarray(np.where(x > 0, expit(-odds), 1.0))

    def no_purchase(self, history: History, weeks: float) -> FloatArray:
        """Probability of no purchase in the next `weeks`."""
        ready = self.alpha + history.T
        buys_if_alive = 1.0 - (ready / (ready + weeks)) ** (self.r + history.x)
        return np.asarray(1.0 - self.alive(history) * buys_if_alive)

    def purchases(self, history: History, weeks: float) -> FloatArray:
        """Expected purchase days in the next `weeks` (equation 10 of the paper)."""
        x, ready = history.x, self.alpha + history.T
        # The formula divides by a - 1; at a = 1 it has a limit, reached here by stepping beside it.
        a = self.a + 1e-6 if abs(self.a - 1.0) < 1e-6 else self.a
        share = weeks / (ready + weeks)
        tail = (ready / (ready + weeks)) ** (self.r + x) * hyp2f1(self.r + x, self.b + x, a + self.b + x - 1, share)
        return np.asarray(np.maximum((a + self.b + x - 1) / (a - 1) * (1 - tail) * self.alive(history), 0.0))


def fit_bgnbd(history: History) -> BgNbd:
    """Maximum likelihood; without a finite optimum, with the smallest penalty on the squared parameters that gives one.

    Where even then drop-out goes to zero, that is the answer: nobody leaves. Raises ModelError where fewer than 20
    customers bought again or no penalty helps.
    """
    repeaters = int((history.x > 0).sum())
    if repeaters < SMALLEST_REPEATERS:
        raise ModelError(f"BG/NBD cannot be fitted: {repeaters} customers bought on a second day, 20 are needed.")
    distinct, weights = _grouped(history)
    for may_be_zero, penalty in [(False, 0.0), *product((False, True), PENALTIES)]:
        found = _maximise(distinct, weights, penalty, may_be_zero=may_be_zero)
        if found is not None:
            r, alpha, a, b = found.tolist()
            return BgNbd(r, alpha, a, b, penalty)
    raise ModelError("BG/NBD cannot be fitted: the likelihood has no finite optimum even with a penalty.")


def _grouped(history: History) -> tuple[History, FloatArray]:
    """Equal histories once, with how often they occur; every n-th in sorted order where there are very many."""
    stacked = np.column_stack([history.x, history.t_x, history.T])
    distinct, counts = np.unique(np.round(stacked, 6), axis=0, return_counts=True)
    step = -(-len(distinct) // MOST_ROWS)
    kept, weights = distinct[::step], counts[::step].astype(np.float64)
    return History(kept[:, 0], kept[:, 1], kept[:, 2]), weights / weights.sum()


def _maximise(history: History, weights: FloatArray, penalty: float, *, may_be_zero: bool) -> FloatArray | None:
    """Parameters at an optimum, or None where the search runs to an edge or stops on a slope.

    The lower edge is an answer where parameters `may_be_zero`, the upper edge never is.
    """

    def loss(logs: npt.NDArray[np.float64]) -> float:
        parameters = np.exp(logs)
        return float(-(weights @ _log_likelihood(parameters, history)) + penalty * (parameters**2).sum())

    edge = (np.log(LOWEST), np.log(HIGHEST))
    start = np.log(np.array([0.5, max(1.0, float(np.median(history.T)) / 2), 0.5, 2.0]))
    found = minimize(loss, start, method="L-BFGS-B", bounds=[edge] * 4, options={"maxiter": 500, "ftol": 1e-13})
    is_low, is_high = found.x < edge[0] + 0.05, found.x > edge[1] - 0.05
    if is_high.any() or (is_low.any() and not may_be_zero):
        return None
    # A step of 2 % along each free parameter must cost something, both ways, or this is a ridge and not an optimum.
    steps = 0.02 * np.eye(4)[~is_low]
    rises = [loss(found.x + step) - found.fun for step in (*steps, *-steps)]
    return np.exp(found.x) if min(rises) > 0 else None


def _log_likelihood(parameters: FloatArray, history: History) -> FloatArray:
    r, alpha, a, b = parameters
    x, t_x, age = history.x, history.t_x, history.T
    rate = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    stay = gammaln(a + b) + gammaln(b + x) - gammaln(b) - gammaln(a + b + x)
    is_alive = -(r + x) * np.log(alpha + age)
    is_gone = np.log(a) - np.log(b + np.maximum(x, 1) - 1) - (r + x) * np.log(alpha + t_x)
    return np.asarray(rate + stay + np.where(x > 0, np.logaddexp(is_alive, is_gone), is_alive))
