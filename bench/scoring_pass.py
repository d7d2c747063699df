"""The predict stage's scoring of a whole shop through the warehouse, reason codes included: everybody, who changed, nobody."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from bench.comparison import Comparison, Ratio
from bench.harness import Contender, Facts, Run
from bench.made_up_features import DATES, feature_rows, with_labels
from ml import MODELS, schema
from ml.model import ModelOptions
from orchestration.clock import CURRENT_RUN, FEATURE_DATES, LABEL_HORIZONS
from orchestration.predicting import train
from orchestration.resources import Platform
from orchestration.scoring import score
from orchestration.settings import load_settings
from orchestration.warehouse import Connection, create_table, row_count, write_table

TRAINED_ON = 2_000
"""Customers the models are trained on, at each of six dates."""
OPTIONS = ModelOptions(seed=7)
SCORED = [module for module in MODELS if module.reads(OPTIONS).kind == "customers"]


def prepare(run: Run) -> Facts:
    """A warehouse with the features of `size` customers, models trained on others, and the scores of everybody."""
    platform = _platform(run.inputs / "home")
    today = feature_rows(run.size, DATES[-1], seed=99)
    dated = [
        with_labels(feature_rows(TRAINED_ON, day, seed=number), seed=number) for number, day in enumerate(DATES[:-1])
    ]
    rows = pd.concat(dated, ignore_index=True)
    run_at = pd.Timestamp(DATES[-1]).to_pydatetime()
    with platform.warehouse.writer() as connection:
        features = {"customer_id": "varchar", "as_of_date": "date"} | {f.name: f.type for f in schema.FEATURES}
        _write(connection, "features.customer_features", pd.concat([rows[list(features)], today]), features)
        _write(connection, "features.customer_labels", rows, schema.LABELS)
        dates = pd.DataFrame({"as_of": [pd.Timestamp(day) for day in DATES]})
        dates = dates.assign(as_of_date=dates["as_of"], is_training_date=dates["as_of"] < run_at)
        _write(connection, "control.feature_dates", dates, FEATURE_DATES)
        horizons = pa.table({"horizon_days": [90]})
        write_table(connection, "control.label_horizons", horizons, LABEL_HORIZONS)
        create_table(connection, "control.current_run", CURRENT_RUN)
        connection.execute("insert into control.current_run (run_id, as_of, run_seq) values ('bench', ?, 1)", [run_at])
        for module in SCORED:
            train(connection, module, settings=platform.settings, state=platform.state, as_of=run_at)
    _score(run.inputs / "home")
    return {"models": len(SCORED)}


def everybody(run: Run) -> Facts:
    """All customers anew by every model."""
    home = _copied(run)
    with run.clock.running():
        return _score(home, anew=True)


def changed(run: Run) -> Facts:
    """After the features of one customer in a hundred changed."""
    home = _copied(run)
    with _platform(home).warehouse.writer() as connection:
        hundredth = (
            "substr(customer_id, 7, 3) in ('000', '100', '200', '300', '400', '500', '600', '700', '800', '900')"
        )
        connection.execute(f"update features.customer_features set net_revenue = net_revenue + 1 where {hundredth}")
    with run.clock.running():
        return _score(home)


def nobody(run: Run) -> Facts:
    """Where every feature is what it was."""
    home = _copied(run)
    with run.clock.running():
        return _score(home)


def _score(home: Path, **options: Any) -> Facts:
    platform = _platform(home)
    with platform.warehouse.writer() as connection:
        score(connection, settings=platform.settings, state=platform.state, **options)
        return {"scores": sum(row_count(connection, f"predictions.{module.TABLE}") for module in SCORED)}


def _platform(home: Path) -> Platform:
    return Platform(load_settings(home=home, duckdb_path=home / "warehouse.duckdb"))


def _copied(run: Run) -> Path:
    return Path(shutil.copytree(run.inputs / "home", run.scratch / "home"))


def _write(connection: Connection, table: str, frame: pd.DataFrame, columns: Any) -> None:
    frame = frame.assign(as_of_date=pd.to_datetime(frame["as_of_date"]).dt.date)
    write_table(connection, table, pa.Table.from_pandas(frame, preserve_index=False), columns)


ALL, SOME, NONE = "Weft, everybody", "Weft, 1 % changed", "Weft, nothing changed"

COMPARISON = Comparison(
    title="Scoring through the warehouse",
    unit="customers",
    prepare=prepare,
    contenders=(Contender(ALL, everybody), Contender(SOME, changed), Contender(NONE, nobody)),
    ratios=(Ratio(ALL, SOME), Ratio(ALL, NONE)),
    note="Reason codes included; every model that scores customers.",
)
