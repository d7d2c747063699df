"""80 % intervals around a value: split conformal, by groups of similar prediction; kept as numbers."""

from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from ml.schema import FloatArray

COVERAGE: Final = 0.8
ROWS_PER_GROUP: Final = 100
MOST_GROUPS: Final = 20


@dataclass(frozen=True)
class Intervals:
    """Per group of predictions (`edges` between groups) the bounds as multiples of the prediction."""

    edges: tuple[float, ...]
    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def bounds(self, predicted: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Lower and upper bound per prediction, in its unit; the prediction itself is always inside."""
        group = np.searchsorted(np.array(self.edges), predicted, side="right")
        lower = np.array(self.lower)[group] * predicted
        upper = np.array(self.upper)[group] * predicted
        return np.minimum(lower, predicted), np.maximum(upper, predicted)

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers for JSON."""
        return asdict(self)


def intervals_from_dict(stored: dict[str, Any]) -> Intervals:
    """The inverse of `Intervals.to_dict`."""
    return Intervals(*(tuple(stored[name]) for name in ("edges", "lower", "upper")))


def fit_intervals(predicted: FloatArray, actual: FloatArray) -> Intervals:
    """Fit on rows that the model was not trained on (Mondrian conformal prediction: coverage holds within each group).

    At most a tenth of a group's outcomes lies below its interval and a tenth above. Where most customers buy nothing,
    none lies below, so that coverage there is nearer 90 %. `predicted` must be positive.
    """
    groups = int(np.clip(len(predicted) // ROWS_PER_GROUP, 1, MOST_GROUPS))
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, groups + 1)[1:-1]))
    group = np.searchsorted(edges, predicted, side="right")
    bounds = [_central((actual / predicted)[group == g]) for g in range(len(edges) + 1)]
    return Intervals(tuple(edges.tolist()), tuple(b[0] for b in bounds), tuple(b[1] for b in bounds))


def _central(ratios: FloatArray) -> tuple[float, float]:
    if not len(ratios):
        return 0.0, 1.0
    values = np.sort(ratios)
    # The finite-sample rank of split conformal prediction: one row more than the share asks for.
    above = min(len(values), int(np.ceil((1 + COVERAGE) / 2 * (len(values) + 1))))
    return float(values[len(values) - above]), float(values[above - 1])
