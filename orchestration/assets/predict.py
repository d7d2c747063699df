"""PREDICT: models trained on labelled dates, and today's scores."""

import base64
import json
from typing import Any

import dagster as dg

from ml.model import ModelError
from ml.plots import model_plot
from ml.schema import PREDICTIONS
from orchestration.predicting import MODELS, score, train, write_model_versions
from orchestration.resources import Platform
from orchestration.warehouse import scalar


@dg.asset(
    key=["predictions", "model_versions"],
    group_name="predict",
    deps=[["features", "customer_features"], ["features", "customer_labels"]],
    kinds={"lightgbm", "scikitlearn"},
)
def model_versions(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """One row per trained model version. Training: split by time, judged on the newest labelled date beside baselines.

    A shop whose history is too short to learn from gets no model and a sentence that says what is missing; its run goes on.
    """
    metadata: dict[str, dg.MetadataValue] = {}
    with platform.warehouse.writer() as connection:
        as_of = scalar(connection, "select as_of from control.current_run")
        for module in MODELS:
            try:
                card = train(connection, module.MODEL, settings=platform.settings, state=platform.state, as_of=as_of)
            except ModelError as error:
                context.log.warning(f"{module.MODEL} was not trained: {error}")
                metadata[module.MODEL] = dg.MetadataValue.text(f"not trained: {error}")
                continue
            metadata |= _shown(module.MODEL, card, platform.settings.reporting_currency)
        write_model_versions(connection, platform.state)
    return dg.MaterializeResult(metadata=metadata)


def _shown(model: str, card: dict[str, Any], currency: str) -> dict[str, dg.MetadataValue]:
    metrics = json.loads(card["metrics"])
    shown: dict[str, dg.MetadataValue] = {
        f"{model}_version": dg.MetadataValue.text(card["version"]),
        f"{model}_metrics": dg.MetadataValue.json(metrics),
        f"{model}_baselines": dg.MetadataValue.json(json.loads(card["baseline_metrics"])),
    }
    plot = model_plot(model, metrics, currency=currency)
    if plot:
        image = base64.b64encode(plot).decode()
        shown[f"{model}_plot"] = dg.MetadataValue.md(f"![{model} on the test date](data:image/png;base64,{image})")
    return shown


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            ["predictions", table],
            group_name="predict",
            description=f"One row per customer with an order: newest {table.replace('_', ' ')} by the champion.",
            deps=[["predictions", "model_versions"], ["features", "customer_features"]],
            kinds={"lightgbm" if table != "segments" else "scikitlearn"},
        )
        for table in PREDICTIONS
        if table != "model_versions"
    ],
)
def scores(platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Score today's customers with the champion of every model."""
    with platform.warehouse.writer() as connection:
        written = {
            module.TABLE: score(connection, module.MODEL, settings=platform.settings, state=platform.state)
            for module in MODELS
        }
    for table, rows in written.items():
        version = str(rows["model_version"].iloc[0]) if len(rows) else "no model yet"
        yield dg.MaterializeResult(
            asset_key=["predictions", table], metadata={"dagster/row_count": len(rows), "model_version": version}
        )
