"""How good LTV is beyond the base horizon: further horizons and totals, on outcomes that the judged fit had not seen."""

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd

from ml import schema
from ml.evaluation import interval_metrics, value_metrics
from ml.ltv_fit import LtvParams, fit, revenue_of
from ml.ltv_model import LtvModel
from ml.model import ModelError
from ml.schema import FloatArray
from ml.splits import Split, rows_on
from ml.totals import total_rows

SHOWN = ("mae", "rmse", "spearman", "normalised_gini", "top_decile_lift", "total_bias")


def judge_total(model: LtvModel, test: pd.DataFrame, days: int) -> dict[str, Any]:
    """The expected and the actual total of the test rows within `days`, and whether its interval covers that."""
    _, _, _, row = _total(model, test, days)
    actual = float(revenue_of(test, days).sum())
    return {
        "expected": row["expected_total"],
        "lower": row["lower_total"],
        "upper": row["upper_total"],
        "actual": actual,
        "covers": float(row["lower_total"] <= actual <= row["upper_total"]),
    }


def judged_further(rows: pd.DataFrame, split: Split, params: LtvParams) -> list[dict[str, Any]]:
    """One row per further horizon with metrics on the newest date whose outcomes have passed, by a fit that ended before it.

    A horizon whose outcomes have not passed, or had no dates before it to learn from, has a sentence instead.
    """
    return [_judged(rows, split, params, days) for days in params.horizons if days != split.horizon_days]


def _judged(rows: pd.DataFrame, split: Split, params: LtvParams, days: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "horizon_days": days,
        **dict.fromkeys(("judged_on", "rows", *SHOWN, "coverage", "total_covered")),
    }
    name = f"net_revenue_in_{days}d"
    passed = rows[rows[name].notna()] if name in rows else rows.head(0)
    if passed.empty:
        return found | {"said": f"No date lies {days} days back yet."}
    day = passed["as_of_date"].max()
    before = rows[rows["as_of_date"] + timedelta(days=split.horizon_days) <= day]
    dates = sorted({each.date() for each in before["as_of_date"]})
    if not dates:
        return found | {"said": f"No date before {day.date()} has outcomes to learn from."}
    earlier = Split(tuple(dates[:-1] or dates), dates[-1], day.date(), split.horizon_days)
    try:
        model = fit(before, earlier, params)
    except ModelError as error:
        return found | {"said": str(error)}
    test = rows_on(passed, day.date())
    expected, lower, upper, _ = _total(model, test, days)
    actual = revenue_of(test, days)
    metrics = value_metrics(actual, expected)
    return found | {
        "judged_on": str(day.date()),
        "rows": len(test),
        **{name: metrics[name] for name in SHOWN},
        "coverage": interval_metrics(actual, lower, upper)["coverage"],
        "total_covered": judge_total(model, test, days)["covers"],
        "said": model.horizons[days].growth.rule,
    }


def _total(model: LtvModel, test: pd.DataFrame, days: int) -> tuple[FloatArray, FloatArray, FloatArray, dict[Any, Any]]:
    """Expectation and bounds per row, and the row of the total."""
    expected, lower, upper = model.within(days, model.expected(schema.matrix(test)))
    rows = total_rows(
        {days: model.horizons[days].growth},
        model.spread,
        {days: float(np.sum(expected))},
        customers=len(test),
        history_days=float(test["tenure_days"].max()),
    )
    return expected, lower, upper, rows.to_dict("records")[0]
