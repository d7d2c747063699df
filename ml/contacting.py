"""Whom it pays to reach: the threshold on the risk of churn that earns most, from costs and from what stayers spend.

Reaching a customer earns `success_rate` x `gross_margin` x worth where that customer would have left, and always costs
`contact_cost`; the worth is what customers of the same risk spent in the horizon where they stayed (Elkan 2001, The
foundations of cost-sensitive learning: the threshold follows from the costs, not from .5).
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ml.schema import FloatArray

TENTHS: Final = 10
# A tenth with few stayers says little of their worth: it counts as this many stayers of average worth more.
PRIOR_STAYERS: Final = 5.0


@dataclass(frozen=True)
class Economics:
    """Money a contact costs, share of net revenue that is margin, share of those about to leave whom a contact keeps."""

    contact_cost: float = 1.0
    gross_margin: float = 0.3
    success_rate: float = 0.1


@dataclass(frozen=True)
class Contacting:
    """The threshold (None where reaching nobody earns most) and the worth of a kept customer by tenth of risk.

    `edges` part the tenths, `worths` are money within the horizon, one more than edges.
    """

    economics: Economics
    threshold: float | None
    edges: tuple[float, ...]
    worths: tuple[float, ...]

    def is_at_risk(self, probability: FloatArray) -> npt.NDArray[np.bool_]:
        """Who is to be reached, per row."""
        if self.threshold is None:
            return np.zeros(len(probability), dtype=bool)
        return np.asarray(probability >= self.threshold)

    def gains(self, probability: FloatArray, churn: FloatArray) -> FloatArray:
        """Money that reaching each customer earns; `churn` is the outcome, or the chance of it."""
        worth = np.array(self.worths)[np.searchsorted(self.edges, probability, side="right")]
        return np.asarray(
            churn * self.economics.success_rate * self.economics.gross_margin * worth - self.economics.contact_cost
        )

    def metrics(self, churned: npt.NDArray[np.bool_], probability: FloatArray) -> dict[str, float]:
        """Share of rows at risk, and money per customer that reaching them, or reaching all, would have earned."""
        chosen, gains = self.is_at_risk(probability), self.gains(probability, churned.astype(np.float64))
        return {
            "share_at_risk": float(chosen.mean()),
            "gain_per_customer": float((gains * chosen).mean()),
            "gain_per_customer_if_all": float(gains.mean()),
        }

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return asdict(self)


def contacting_from_dict(stored: dict[str, Any]) -> Contacting:
    """The inverse of `Contacting.to_dict`."""
    return Contacting(
        Economics(**stored["economics"]), stored["threshold"], tuple(stored["edges"]), tuple(stored["worths"])
    )


def choose_threshold(
    probability: FloatArray, churned: npt.NDArray[np.bool_], revenue: FloatArray, economics: Economics
) -> Contacting:
    """The threshold, in hundredths, with the largest expected gain over rows that the probabilities were not fitted on.

    `revenue` is net revenue within the horizon per row; only stayers' counts. Of equal gains the highest threshold wins.
    """
    edges = np.unique(np.quantile(probability, np.linspace(0, 1, TENTHS + 1)[1:-1]))
    tenth = np.searchsorted(edges, probability, side="right")
    spent = np.where(churned | ~np.isfinite(revenue), 0.0, revenue)
    average = float(spent.sum()) / max(1, int((~churned).sum()))
    stayers = np.bincount(tenth, weights=~churned, minlength=len(edges) + 1)
    sums = np.bincount(tenth, weights=spent, minlength=len(edges) + 1)
    worths = np.maximum((sums + PRIOR_STAYERS * average) / (stayers + PRIOR_STAYERS), 0.0)
    found = Contacting(economics, None, tuple(edges.tolist()), tuple(worths.tolist()))
    gains = found.gains(probability, probability)
    hundredths = np.arange(101) / 100
    totals = [float(gains[probability >= threshold].sum()) for threshold in hundredths]
    best = max(range(101), key=lambda place: (totals[place], place))
    if totals[best] <= 0.0:
        return found
    return Contacting(economics, float(hundredths[best]), found.edges, found.worths)
