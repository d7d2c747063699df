"""How the LTV model is fitted: members on customers kept apart, their weights, the level, growth, intervals, the spread of totals."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import combinations
from typing import Final

import numpy as np
import pandas as pd

from ml import schema
from ml.boosting import BoostingParams, Grower
from ml.echoes import echoes, without
from ml.evaluation import tweedie_deviance
from ml.growth import SMALLEST_BUYERS, Growth, Spans, fit_growth, spans
from ml.intervals import ROWS_PER_GROUP, Intervals, fit_intervals
from ml.linear import fit_tweedie
from ml.ltv_model import MEMBERS, Horizon, LtvModel, blend, money
from ml.model import ModelError
from ml.rhythm import Rhythm, aged, fit_rhythm
from ml.schema import FloatArray
from ml.splits import Fold, Split, crossfit_folds, rows_on
from ml.totals import fit_spread

EQUAL_UNLESS: Final = 0.01


@dataclass(frozen=True)
class LtvParams:
    """How LTV is trained; `tweedie_power` is between counts (1) and amounts (2), `line_strength` the penalty of the regression.

    `horizons` are in days, ascending.
    """

    seed: int
    horizons: tuple[int, ...] = (90, 365)
    tweedie_power: float = 1.5
    line_strength: float = 0.03
    boosting: BoostingParams = field(default_factory=BoostingParams)


def fit(rows: pd.DataFrame, split: Split, params: LtvParams) -> LtvModel:
    """Early stopping, weights, level, growth and intervals on customers kept apart, then one fit on all rows.

    Trees and regression learn what is bought (net revenue, or 0 where refunds prevail); the level is set so that totals are net.
    No outcome counts that ended after those of the newest row. Raises ModelError where the rows cannot teach anything.
    """
    _check_trainable(rows)
    base = split.horizon_days
    values, revenue = schema.matrix(rows), revenue_of(rows)
    bought = np.maximum(revenue, 0.0)
    rhythm = fit_rhythm(schema.matrix(rows_on(rows, split.calibration_date)), horizon_days=base)
    objective = {"objective": "tweedie", "tweedie_variance_power": params.tweedie_power}
    grower = Grower(params.boosting, objective, schema.FEATURE_NAMES, params.seed)
    folds, hidden = crossfit_folds(rows, split), echoes(values)
    shown = without(values, hidden)
    tree_count, raw = grower.grow_out_of_fold(shown, bought, folds)
    by_line = _line_out_of_fold(shown, bought, folds, params)
    members = np.column_stack([money(raw), money(by_line), rhythm.revenue(values)])
    known = ~np.isnan(members).any(axis=1)
    shares = _shares(members[known], revenue[known], params)
    expected = np.where(known, blend(members, shares), np.nan)
    days = pd.to_datetime(rows["as_of_date"]).dt.normalize()
    dates = np.asarray((days - days.min()) / pd.Timedelta(days=1), dtype=np.float64)
    seen = spans(rows, base, params.horizons, until=days.max() + timedelta(days=base))
    return LtvModel(
        rhythm,
        grower.grow(shown, bought, trees=tree_count),
        fit_tweedie(shown, bought, power=params.tweedie_power, strength=params.line_strength),
        shares,
        base,
        _horizons(seen, expected, values, dates, rhythm, newest=_grown(rows, split), base=base, params=params),
        fit_spread(dates, revenue, expected, base=base),
        hidden,
    )


def revenue_of(rows: pd.DataFrame, days: int | None = None) -> FloatArray:
    """Net revenue per row in the base horizon, or within `days` (NaN where they have not passed)."""
    name = (
        f"net_revenue_in_{days}d"
        if days is not None and f"net_revenue_in_{days}d" in rows
        else "net_revenue_in_horizon"
    )
    return pd.to_numeric(rows[name]).to_numpy(dtype=np.float64, na_value=np.nan)


def _grown(rows: pd.DataFrame, split: Split) -> FloatArray:
    """The feature matrix of the newest customers a base horizon later: whom the model is about to score."""
    newest = rows_on(rows, split.calibration_date)
    orders = newest["order_count_in_horizon"].to_numpy(dtype=np.float64)
    return aged(schema.matrix(newest), orders, split.horizon_days)


def _line_out_of_fold(values: FloatArray, bought: FloatArray, folds: list[Fold], params: LtvParams) -> FloatArray:
    """The log of what the regression expects of held-out customers; NaN where no fold could judge."""
    raw = np.full(len(values), np.nan)
    for fold in folds:
        if bought[fold.seen].any():
            line = fit_tweedie(
                values[fold.seen], bought[fold.seen], power=params.tweedie_power, strength=params.line_strength
            )
            raw[fold.held] = line.raw(values[fold.held])
    return raw


def _shares(members: FloatArray, revenue: FloatArray, params: LtvParams) -> tuple[float, float, float]:
    """Factors for the MEMBERS: their weights, times what brings the total of each to the net total.

    All weigh the same unless some of them alone lower the deviance by more than EQUAL_UNLESS: measured over quarters and
    shops, the mean of all is the safest. The net total is taken as at least 1 % of the gross one: a shop that refunds
    everything still gets an expectation.
    """
    total = float(max(revenue.sum(), 0.01 * np.abs(revenue).sum()))
    sums = members.sum(axis=0)
    usable = [m for m in range(len(MEMBERS)) if np.isfinite(sums[m]) and sums[m] > 0]
    mixes = [mix for size in range(len(usable), 0, -1) for mix in combinations(usable, size)]
    bought = np.maximum(revenue, 0.0)

    def factors(mix: tuple[int, ...]) -> tuple[float, float, float]:
        trees, line, rhythm = (total / float(sums[m]) / len(mix) if m in mix else 0.0 for m in range(len(MEMBERS)))
        return trees, line, rhythm

    losses = {mix: tweedie_deviance(bought, blend(members, factors(mix)), params.tweedie_power) for mix in mixes}
    best = min(mixes, key=lambda mix: losses[mix])
    return factors(best if losses[best] < losses[mixes[0]] * (1 - EQUAL_UNLESS) else mixes[0])


def _horizons(
    seen: Spans,
    expected: FloatArray,
    values: FloatArray,
    dates: FloatArray,
    rhythm: Rhythm,
    *,
    newest: FloatArray,
    base: int,
    params: LtvParams,
) -> dict[int, Horizon]:
    """Growth and intervals by days. What is learnt of a longer horizon bounds the growth to a shorter one."""
    growths = [
        fit_growth(seen, expected, values, dates, rhythm, newest=newest, base=base, days=days)
        for days in sorted({base, *params.horizons})
    ]
    found: dict[int, Horizon] = {}
    most = np.inf
    for growth in reversed(growths):
        most = growth.factor if growth.days == base else min(most, growth.factor)
        held = Growth(growth.days, most, growth.learnt_from, growth.rule, growth.spread)
        found[growth.days] = Horizon(held, _intervals(seen, expected, base=base, days=growth.days))
    return dict(sorted(found.items()))


def _intervals(seen: Spans, expected: FloatArray, *, base: int, days: int) -> Intervals:
    """Intervals of the longest span within `days` that enough customers have, as multiples of what is expected within it.

    Where that is shorter than the horizon they are rather too wide: chance weighs less in longer spans.
    """
    fitted = fit_intervals(expected[~np.isnan(expected)], seen[base][~np.isnan(expected)])
    for span in sorted((span for span in seen if base < span <= days), reverse=True):
        both = ~np.isnan(expected) & ~np.isnan(seen[span])
        brought = seen[span][both]
        if both.sum() >= ROWS_PER_GROUP and (brought > 0).sum() >= SMALLEST_BUYERS and brought.sum() > 0:
            return fit_intervals(expected[both], brought * (expected[both].sum() / brought.sum()))
    return fitted


def _check_trainable(rows: pd.DataFrame) -> None:
    revenue = revenue_of(rows)
    buyers = int((revenue > 0).sum())
    if buyers < SMALLEST_BUYERS:
        raise ModelError(
            f"LTV cannot be learnt: of {len(rows)} training rows only {buyers} have revenue in the horizon, "
            f"{SMALLEST_BUYERS} are needed."
        )
    if not np.isfinite(revenue).all():
        raise ModelError("LTV cannot be learnt: net_revenue_in_horizon is infinite in some training rows.")
    if not schema.varies(schema.matrix(rows)):
        raise ModelError("LTV cannot be learnt: every feature has the same value in all training rows.")
