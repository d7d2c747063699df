"""How good churn and LTV are on real shops, through the product: import, run with a cut-off, read scores, see what came after.

The scores of a run at a cut-off are held against the file's own future, which the run cannot see: all rows are imported,
and nothing known at or after the cut-off may count. So this finds a leak anywhere between import and scores.
"""

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from bench import prediction_baselines
from bench.comparison import markdown_table
from bench.harness import BenchError, run_in_installation, workspace
from bench.prediction_sets import CHURN_HORIZON, SETS, PredictionSet
from ml import schema
from ml.evaluation import churn_metrics, interval_metrics, value_metrics
from ml.model import Reads
from ml.schema import FloatArray
from orchestration.model_inputs import INPUTS, read_frame
from orchestration.resources import build_platform
from orchestration.warehouse import Connection

CHURN_COLUMNS: Final = ("roc_auc", "pr_auc", "brier", "ece")
LTV_COLUMNS: Final = ("mae", "rmse", "spearman", "normalised_gini", "top_decile_lift", "total_bias")
RESAMPLES: Final = 200
INTERVAL: Final = (0.025, 0.975)
SEED: Final = 20

Measure = Callable[[FloatArray, FloatArray], dict[str, Any]]


@dataclass(frozen=True)
class Judged:
    """What was built for the customers of a set: today's features with scores and outcomes, and the labelled past."""

    today: pd.DataFrame
    past: pd.DataFrame
    customers: int
    totals: pd.DataFrame | None


def run(size: int, repeats: int, *, sets: Sequence[str] = (), keep: Path | None = None) -> str:
    """Import, run and judge the named sets (all without a name), once each; `keep` holds their installations between calls.

    A kept installation is not run again. Raises BenchError where a set is not known or a score is better than its data allow.
    """
    del size, repeats
    unknown = [name for name in sets if name not in SETS]
    if unknown:
        raise BenchError(f"No set is called {unknown[0]}; there are {', '.join(SETS)}.")
    with nullcontext(keep) if keep else workspace() as folder:
        return "\n\n".join(_report(SETS[name], folder / name) for name in sets or SETS)


def build(one: PredictionSet, home: Path) -> Path:
    """Import the set's rows and run as of its cut-off, unless `home` holds that run already; returns the imported file."""
    imported, done = home / "rows.parquet", home / "done"
    if done.exists():
        return imported
    home.mkdir(parents=True, exist_ok=True)
    one.write(imported)
    weft = str(Path(sys.executable).with_name("weft"))
    horizons = f"WEFT_LTV_HORIZONS_DAYS={','.join(map(str, sorted({90, one.ltv_horizon, 365})))}"
    run_in_installation([weft, "import", str(imported), "--mapping", one.mapping], home=home)
    when = ["--as-of", one.as_of.isoformat(), "--reporting-currency", one.currency]
    run_in_installation(["env", horizons, weft, "run", *when], home=home)
    done.touch()
    return imported


def read(one: PredictionSet, home: Path, imported: Path) -> Judged:
    """Scores and features of the run's own date beside what the file says of the time after."""
    outcomes = one.outcomes(imported)
    with build_platform(home=home).warehouse.open_served() as served:
        past = INPUTS["customers"].training(served, Reads("customers", (CHURN_HORIZON,)))
        today = read_frame(served, f"select * from features.customer_features where as_of_date = '{one.as_of}'")
        for table in ("churn_scores", "ltv_scores"):
            scores = read_frame(served, f"select * from predictions.{table} where as_of_date = '{one.as_of}'")
            mine = scores.drop(columns=["as_of_date", "reason_codes", "model_version"])
            today = today.merge(mine, on="customer_id", how="left", validate="one_to_one")
        names = read_frame(served, "select customer_id, user_id from customer_360.customers")
        totals = _totals(served, one)
    today = today.merge(names, on="customer_id", validate="one_to_one").merge(
        outcomes, on="user_id", validate="one_to_one"
    )
    return Judged(today.sort_values("user_id", ignore_index=True), past, len(outcomes), totals)


def _totals(served: Connection, one: PredictionSet) -> pd.DataFrame | None:
    found = "select count(*) as n from information_schema.tables where table_schema = 'predictions' and table_name = 'ltv_totals'"
    if not read_frame(served, found)["n"].iloc[0]:
        return None
    return read_frame(served, f"select * from predictions.ltv_totals where horizon_days = {one.ltv_horizon}")


def _report(one: PredictionSet, home: Path) -> str:
    title = f"### Predictions: {one.name}"
    if not one.file.exists():
        return f"{title}\n\nSkipped: {one.file.relative_to(one.file.parents[2])} is not here."
    judged = read(one, home, build(one, home))
    until = one.as_of + timedelta(days=CHURN_HORIZON)
    lines = [
        f"{len(judged.today):,} of {judged.customers:,} customers scored as of {one.as_of}; "
        f"labelled dates that the models had: {judged.past['as_of_date'].nunique()}. "
        f"Intervals: 95 %, {RESAMPLES} resamples of customers.",
        "",
        f"Churn: no order until {until} (rate {judged.today['has_churned'].mean():.3f}).",
        "",
        *churn_table(one, judged),
        "",
        f"LTV: net revenue until {one.as_of + timedelta(days=one.ltv_horizon)}.",
        "",
        *ltv_table(one, judged),
    ]
    return "\n".join([title, "", *lines])


def churn_table(one: PredictionSet, judged: Judged) -> list[str]:
    """Markdown rows of Weft, the baselines and the reference. Raises BenchError where the AUC is too good to be true."""
    actual = judged.today["has_churned"].to_numpy(dtype=bool)
    found = {"**Weft churn**": judged.today["churn_probability"].to_numpy(dtype=np.float64)}
    if np.isnan(found["**Weft churn**"]).any():
        raise BenchError(f"{one.name}: customers without a churn score; see the run of the kept installation.")

    def measure(outcome: FloatArray, chance: FloatArray) -> dict[str, Any]:
        return churn_metrics(outcome.astype(bool), chance, threshold=0.5)

    auc = measure(actual.astype(np.float64), found["**Weft churn**"])["roc_auc"]
    if auc is not None and auc > one.most_auc:
        raise BenchError(f"{one.name}: ROC-AUC {auc:.3f} is above {one.most_auc}: this is a leak, find it.")
    features = judged.today[[*schema.KEYS, *schema.FEATURE_NAMES]]
    found |= prediction_baselines.churn(judged.past, features, horizon_days=CHURN_HORIZON)
    rows = [[name, *_cells(measure, actual.astype(np.float64), p, CHURN_COLUMNS)] for name, p in found.items()]
    return markdown_table(["", *CHURN_COLUMNS], [*rows, *_published(one.churn_reference)])


def ltv_table(one: PredictionSet, judged: Judged) -> list[str]:
    """Markdown rows of Weft, the baselines and the reference, and how often the intervals held."""
    actual = judged.today["value_after"].to_numpy(dtype=np.float64)
    column = f"expected_net_revenue_{one.ltv_horizon}d"
    found: dict[str, FloatArray] = {}
    if column in judged.today:
        found["**Weft LTV**"] = judged.today[column].to_numpy(dtype=np.float64)
    features = judged.today[[*schema.KEYS, *schema.FEATURE_NAMES]]
    found |= prediction_baselines.ltv(judged.past, features, label_days=CHURN_HORIZON, horizon_days=one.ltv_horizon)
    rows = [[name, *_cells(value_metrics, actual, p, LTV_COLUMNS)] for name, p in found.items()]
    lines = markdown_table(["", *LTV_COLUMNS], [*rows, *_published(one.ltv_reference)])
    if column not in judged.today:
        return [*lines, "", f"Weft has no column {column}."]
    bounds = (
        judged.today[f"{side}_net_revenue_{one.ltv_horizon}d"].to_numpy(dtype=np.float64) for side in ("lower", "upper")
    )
    coverage = interval_metrics(actual, *bounds)
    held = ", ".join(f"{name} {value:,.3f}" for name, value in coverage.items())
    lines += [
        "",
        f"80 % intervals of customers: {held}. Total: {actual.sum():,.0f}, expected {found['**Weft LTV**'].sum():,.0f}.",
    ]
    if judged.totals is not None and len(judged.totals):
        lines += ["", f"Total as stated: {judged.totals.to_dict('records')}"]
    return lines


def _cells(measure: Measure, actual: FloatArray, predicted: FloatArray, columns: Sequence[str]) -> list[str]:
    """Each metric with its bootstrap interval over customers."""
    random = np.random.default_rng(SEED)
    whole, drawn = measure(actual, predicted), []
    for _ in range(RESAMPLES):
        chosen = random.integers(0, len(actual), len(actual))
        drawn.append(measure(actual[chosen], predicted[chosen]))
    return [_cell(whole[name], [each[name] for each in drawn if each[name] is not None]) for name in columns]


def _cell(value: float | None, resampled: Sequence[float]) -> str:
    if value is None:
        return ""
    low, high = np.quantile(resampled, INTERVAL)
    return f"{_number(value)} ({_number(low)} to {_number(high)})"


def _published(figures: dict[str, tuple[float, ...]]) -> list[list[str]]:
    return [[f"reference: {name}", *(_number(value) for value in values)] for name, values in figures.items()]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}" if abs(value) >= 10 else f"{value:.3f}"
