"""How much more a longer horizon brings than the base horizon: the label spans that a history holds, and a rule beyond them.

Everything is a factor on the total of the base horizon, one for all customers: measured on CDNOW, Online Retail and made-up shops,
a factor per customer (BG/NBD) ranked and fitted no better.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.optimize import brentq

from ml.rhythm import Rhythm
from ml.schema import FloatArray

SMALLEST_BUYERS: Final = 20
# Rows per date that the growth by the rhythm of purchases is averaged over; its standard error is then under 1 %.
SAMPLED_ROWS: Final = 2_000
STEEPEST: Final = 1.0
UNSEEN_PER_LOG: Final = 0.25
SEEN_PER_LOG: Final = 0.1
MOVED_SHARE: Final = 0.5

Spans = Mapping[int, FloatArray]


@dataclass(frozen=True)
class Growth:
    """Revenue within `days` over revenue within the base horizon.

    `learnt_from` is the longest span of outcomes that it was fitted on; `rule` says how; `spread` is the standard deviation of
    its logarithm: SEEN_PER_LOG and UNSEEN_PER_LOG for each factor e that the horizon is longer than the base and than what was
    learnt from, and MOVED_SHARE of what BG/NBD makes of today's customers being others.
    """

    days: int
    factor: float
    learnt_from: int
    rule: str
    spread: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


def spans(rows: pd.DataFrame, base: int, horizons: tuple[int, ...], *, until: pd.Timestamp) -> dict[int, FloatArray]:
    """Net revenue per row within each span of days that ended by `until`, by span; NaN where it did not.

    Besides the labels of `base` and of each further horizon there are sums of base labels that follow each other: a
    customer's revenue in [D, D + 2 base) is that of D and that of D + base, where both dates are among the rows.
    """
    dates = pd.to_datetime(rows["as_of_date"])
    first = rows["net_revenue_in_horizon"].to_numpy(dtype=np.float64)
    keys = pd.MultiIndex.from_arrays([rows["customer_id"].astype(str), dates])
    by_key = pd.Series(first, index=keys)
    found, total, blocks = {base: first}, first, 1
    while True:
        following = pd.MultiIndex.from_arrays([keys.get_level_values(0), dates + pd.Timedelta(days=base * blocks)])
        total = total + by_key.reindex(following).to_numpy(dtype=np.float64)
        if np.isnan(total).all():
            break
        blocks += 1
        found[base * blocks] = total
    for days in horizons:
        name = f"net_revenue_in_{days}d"
        if days != base and name in rows:
            labels = pd.to_numeric(rows[name]).to_numpy(dtype=np.float64, na_value=np.nan)
            # A label that ended later than the fit may look would tell it what it is judged on.
            labels = np.where(dates + pd.Timedelta(days=days) <= until, labels, np.nan)
            if not np.isnan(labels).all():
                found[days] = labels
    return found


def fit_growth(
    known: Spans,
    expected: FloatArray,
    values: FloatArray,
    dates: FloatArray,
    rhythm: Rhythm,
    *,
    newest: FloatArray,
    base: int,
    days: int,
) -> Growth:
    """The growth from `base` to `days`, from `expected` revenue (of models that had not seen the row's customer) and `known` spans.

    Where outcomes of `days` are known for 20 buyers or more, what they brought over what was expected decides. Else growth
    follows BG/NBD, bent by one constant decay that makes sums over longer spans come out right (never growing faster than BG/NBD).
    `values` is the feature matrix of the rows, `dates` a number per as_of_date, `newest` the matrix of those whom the growth is for.
    """
    if days == base:
        return Growth(days, 1.0, base, "labels", 0.0)
    if (direct := _usable(known.get(days), expected)) is not None:
        brought, asked = known[days][direct].sum(), expected[direct].sum()
        # Those of today are longer customers than those were: their rhythm says how much longer they stay.
        moved = _blocks(rhythm, newest, base, days).sum() / _blocks(rhythm, values[direct], base, days).sum()
        factor = brought / asked * moved
        spread = SEEN_PER_LOG * abs(np.log(days / base)) + MOVED_SHARE * abs(np.log(moved))
        return Growth(days, float(max(factor, 1e-6)), days, "labels of that horizon", float(spread))
    longest, bend = _bend(known, values, dates, rhythm, base)
    blocks = _blocks(rhythm, newest, base, days)
    factor = float((blocks * np.exp(-bend * np.arange(len(blocks)))).sum())
    spread = UNSEEN_PER_LOG * abs(np.log(days / longest)) + SEEN_PER_LOG * np.log(longest / base)
    by = "BG/NBD" if rhythm.purchases is not None and rhythm.spend is not None else "a steady rate"
    rule = f"{by}, {100 * (1 - np.exp(-bend)):.0f} % less with every {base} days, as sums of labels over up to {longest} days had it"
    return Growth(days, factor, longest, rule, float(spread))


def _usable(span: FloatArray | None, expected: FloatArray) -> np.ndarray[Any, np.dtype[np.bool_]] | None:
    """The rows that have both numbers, None where too few of them bought."""
    if span is None:
        return None
    both = ~np.isnan(span) & ~np.isnan(expected)
    return both if (span[both] > 0).sum() >= SMALLEST_BUYERS else None


def _bend(known: Spans, values: FloatArray, dates: FloatArray, rhythm: Rhythm, base: int) -> tuple[int, float]:
    """The longest span used, and the decay per base horizon that makes revenue within the spans come out right, 0 to STEEPEST."""
    sums: list[tuple[FloatArray, float, float]] = []
    longest = base
    for day in np.unique(dates):
        on = dates == day
        multiples = [s for s in known if s % base == 0 and s > base and not np.isnan(known[s][on]).all()]
        if not multiples:
            continue
        span = max(multiples)
        rows = on & ~np.isnan(known[span])
        first = known[base][rows]
        if (first > 0).sum() < SMALLEST_BUYERS or not first.sum() > 0:
            continue
        sums.append((_blocks(rhythm, values[rows], base, span), float(first.sum()), float(known[span][rows].sum())))
        longest = max(longest, span)

    def too_much(bend: float) -> float:
        return sum(
            first * float((blocks * np.exp(-bend * np.arange(len(blocks)))).sum()) - total
            for blocks, first, total in sums
        )

    if not sums or too_much(0.0) <= 0:
        return longest, 0.0
    return longest, STEEPEST if too_much(STEEPEST) >= 0 else float(brentq(too_much, 0.0, STEEPEST, xtol=1e-6))


def _blocks(rhythm: Rhythm, values: FloatArray, base: int, days: int) -> FloatArray:
    """Revenue of each base horizon within `days` over that of the first (the last may be a part), by the rhythm alone."""
    ends = np.array([*range(base, days, base), days], dtype=np.float64)
    if rhythm.purchases is None or rhythm.spend is None:
        return np.asarray(np.diff(ends, prepend=0.0) / base)
    sample = values[:: -(-len(values) // SAMPLED_ROWS)]
    until = np.array([rhythm.over(float(end)).revenue(sample).sum() for end in (*ends, float(base))])
    return np.asarray(np.diff(until[:-1], prepend=0.0) / until[-1])
