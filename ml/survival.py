"""Times to an event that are known up to a horizon only: periods, survival curves, dates of a share, and how good they were.

A time is in days from the row's date; NaN where nothing happened within the horizon (censored there). Curves are kept as
the survival at the end of each period, with a constant hazard within it (discrete-time survival, Singer & Willett 1993).
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, rankdata

from ml.schema import FloatArray

PERIOD_ENDS: Final = (7.0, 14.0, 30.0, 60.0, 90.0)
HORIZON_DAYS: Final = 90
SMALLEST: Final = 1e-12
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class AtRisk:
    """One entry per row and period that began before its event: the row, the period, and whether the event fell in it."""

    row: IntArray
    period: IntArray
    happened: BoolArray


def at_risk(times: FloatArray) -> AtRisk:
    """The person-period rows of `times`, ordered by row, then by period."""
    until = np.where(np.isnan(times), np.inf, times)[:, None]
    ends = np.array(PERIOD_ENDS)
    starts = np.append(0.0, ends[:-1])
    row, period = np.nonzero(until >= starts)
    return AtRisk(row, period, (until < ends)[row, period])


def survival(hazards: FloatArray) -> FloatArray:
    """(rows, periods) chances of the event in each period for those who reach it -> chance of none by each period's end."""
    return np.asarray(np.cumprod(1.0 - hazards, axis=1), dtype=np.float64)


def chance_by(curves: FloatArray, day: float) -> FloatArray:
    """Chance of the event before `day`, 0 < day <= HORIZON_DAYS, one per row of `curves` (see `survival`)."""
    ends, logs = _log_curve(curves)
    at = int(np.searchsorted(ends, day))
    share = (day - ends[at - 1]) / (ends[at] - ends[at - 1])
    return np.asarray(-np.expm1(logs[:, at - 1] + share * (logs[:, at] - logs[:, at - 1])))


def day_of_share(curves: FloatArray, share: float) -> FloatArray:
    """The time in days at which the chance of the event reaches `share`; NaN where it does not within the horizon."""
    ends, logs = _log_curve(curves)
    wanted = np.log1p(-share)
    after = np.argmax(logs <= wanted, axis=1)
    is_reached = logs[:, -1] <= wanted
    after = np.where(is_reached, after, 1)
    rows = np.arange(len(curves))
    earlier, later = logs[rows, after - 1], logs[rows, after]
    part = (wanted - earlier) / np.minimum(later - earlier, -SMALLEST)
    return np.where(is_reached, ends[after - 1] + part * (ends[after] - ends[after - 1]), np.nan)


def brier_by_period(times: FloatArray, curves: FloatArray) -> FloatArray:
    """Mean over the periods' ends of the squared distance between the chance of the event by then and whether it came.

    The integrated Brier score of Graf et al. 1999 on the grid of PERIOD_ENDS, per row: nobody is censored before the
    horizon, so no weights are needed. A proper score: 0 is perfect.
    """
    came = np.where(np.isnan(times), np.inf, times)[:, None] < np.array(PERIOD_ENDS)
    return np.asarray((((1.0 - curves) - came) ** 2).mean(axis=1))


def concordance(times: FloatArray, sooner: FloatArray) -> float | None:
    """Harrell's C: of pairs with different times, the share in which the higher `sooner` came first, ties count half.

    Those without the event came last, and tie with each other. None where no pair differs.
    """
    order = -rankdata(np.where(np.isnan(times), HORIZON_DAYS + 1.0, times))
    pairs = len(times) * (len(times) - 1) / 2
    _, time_ties = np.unique(order, return_counts=True)
    _, score_ties = np.unique(sooner, return_counts=True)
    comparable = pairs - float((time_ties * (time_ties - 1) / 2).sum())
    scored = pairs - float((score_ties * (score_ties - 1) / 2).sum())
    if comparable <= 0:
        return None
    if scored <= 0:
        return 0.5
    # tau-b is (concordant - discordant) / sqrt(comparable x scored); it is found in n log n.
    difference = float(kendalltau(order, sooner).statistic) * np.sqrt(comparable * scored)
    return float((1.0 + difference / comparable) / 2.0)


def interval_coverage(times: FloatArray, lower: FloatArray, upper: FloatArray, curves: FloatArray) -> dict[str, float]:
    """How often the event fell on a day from `lower` to `upper` (NaN: open, beyond the horizon), beside what was said.

    Where `lower` is open too, the interval lies wholly beyond the horizon. `stated` is the chance that the model itself
    gives to the whole days of the interval: what the coverage should be.
    """
    day = np.floor(np.where(np.isnan(times), np.inf, times))
    low = np.floor(np.where(np.isnan(lower), np.inf, lower))
    high = np.floor(np.where(np.isnan(upper), np.inf, upper))
    inside = (day >= low) & (day <= high)
    before = _chance_at(curves, np.where(np.isinf(low), HORIZON_DAYS, low))
    until = np.where(np.isinf(high), 1.0, _chance_at(curves, np.where(np.isinf(high), HORIZON_DAYS, high + 1)))
    return {
        "coverage": float(inside.mean()),
        "stated": float((until - before).mean()),
        "below": float((day < low).mean()),
        "above": float((day > high).mean()),
        "open_share": float(np.isinf(high).mean()),
    }


def date_metrics(times: FloatArray, expected: FloatArray) -> dict[str, Any]:
    """What a stated date was worth: the share of rows that have one, how many of these came at all, and how far off (days)."""
    dated = ~np.isnan(expected)
    came = dated & ~np.isnan(times)
    return {
        "dated_share": float(dated.mean()),
        "dated_who_came": float(came.sum() / dated.sum()) if dated.any() else None,
        "median_days_off": float(np.median(np.abs(times[came] - expected[came]))) if came.any() else None,
    }


def kaplan_meier(times: FloatArray) -> FloatArray:
    """Survival of all rows together at the periods' ends: a curve that is the same for everybody (1, periods)."""
    until = np.where(np.isnan(times), np.inf, times)
    return np.array([[float((until >= end).mean()) for end in PERIOD_ENDS]])


def _chance_at(curves: FloatArray, days: FloatArray) -> FloatArray:
    ends, logs = _log_curve(curves)
    after = np.clip(np.searchsorted(ends, days), 1, len(ends) - 1)
    rows = np.arange(len(curves))
    share = (np.minimum(days, HORIZON_DAYS) - ends[after - 1]) / (ends[after] - ends[after - 1])
    return np.asarray(-np.expm1(logs[rows, after - 1] + share * (logs[rows, after] - logs[rows, after - 1])))


def _log_curve(curves: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Ends of the periods from day 0 on, and the log of the survival at each: it falls in a straight line between them."""
    logs = np.log(np.maximum(curves, SMALLEST))
    return np.append(0.0, PERIOD_ENDS), np.column_stack([np.zeros(len(curves)), logs])
