"""The difference between who was treated and who was held out, with 95 % intervals. Counts and moments in, numbers out.

Conversion: Newcombe's hybrid of two Wilson score intervals without continuity correction (R. G. Newcombe, Interval estimation for the
difference between independent proportions, Statistics in Medicine 17, 1998, method 10). Revenue per head: Welch's interval with
Satterthwaite's degrees of freedom (B. L. Welch, Biometrika 34, 1947); revenue is skewed, so it needs some hundreds of people a side.
"""

from dataclasses import dataclass
from math import inf, sqrt

from scipy import stats

LEVEL = 0.95
FEW_PEOPLE, FEW_BUYERS = 100, 10
"""Below these, on either side, an interval is shown and said to be of too few."""


@dataclass(frozen=True)
class Side:
    """One side of an experiment: people, how many of them ordered, and mean and (sample) variance of revenue per head."""

    people: int
    buyers: int
    mean_revenue: float = 0.0
    revenue_variance: float = 0.0

    @property
    def conversion(self) -> float:
        """Share of the people who ordered."""
        return self.buyers / self.people if self.people else 0.0


@dataclass(frozen=True)
class Difference:
    """Treated less held out, and the interval that holds the true difference in 95 of 100 such experiments."""

    estimate: float
    lower: float
    upper: float

    @property
    def is_clear(self) -> bool:
        """Whether no difference lies outside of the interval."""
        return self.lower > 0 or self.upper < 0


def wilson(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval for a proportion; (0, 1) where nothing was tried."""
    if not trials:
        return 0.0, 1.0
    z = float(stats.norm.ppf((1 + level) / 2))
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return (centre - spread) / scale, (centre + spread) / scale


def conversion_difference(treated: Side, held_out: Side) -> Difference:
    """The difference of two conversion rates (shares between 0 and 1)."""
    a, b = treated.conversion, held_out.conversion
    (a_low, a_high), (b_low, b_high) = (wilson(side.buyers, side.people) for side in (treated, held_out))
    lower = a - b - sqrt((a - a_low) ** 2 + (b_high - b) ** 2)
    upper = a - b + sqrt((a_high - a) ** 2 + (b - b_low) ** 2)
    return Difference(a - b, lower, upper)


def revenue_difference(treated: Side, held_out: Side) -> Difference:
    """The difference of revenue per head, in the currency of the means; without bounds where a side has fewer than two people."""
    estimate = treated.mean_revenue - held_out.mean_revenue
    if min(treated.people, held_out.people) < 2:
        return Difference(estimate, -inf, inf)
    parts = [side.revenue_variance / side.people for side in (treated, held_out)]
    error = sqrt(sum(parts))
    if not error:
        return Difference(estimate, estimate, estimate)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (side.people - 1) for part, side in zip(parts, (treated, held_out), strict=True)
    )
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Difference(estimate, estimate - reach, estimate + reach)


def too_few(treated: Side, held_out: Side) -> str:
    """One sentence where there are too few people to tell, else ''."""
    for name, side in (("reached", treated), ("held out", held_out)):
        if side.people < FEW_PEOPLE:
            return (
                f"Too few to tell: {side.people:,} people were {name}, and below {FEW_PEOPLE} the intervals say little."
            )
    if min(treated.buyers, held_out.buyers) < FEW_BUYERS:
        return f"Too few to tell: fewer than {FEW_BUYERS} people of a side ordered."
    return ""
