"""PREDICT: models trained on labelled dates, and today's scores."""

import json
from typing import Any

import dagster as dg

from ml import MODELS, registry
from ml.model import ModelError
from ml.model_store import place
from ml.plots import model_plot
from orchestration.ltv_totals import total_table
from orchestration.model_checks import picture
from orchestration.predicting import train, write_model_versions
from orchestration.resources import Platform
from orchestration.retrying import retried_when_transient
from orchestration.scoring import score
from orchestration.segment_history import newest_transitions, transition_table
from orchestration.warehouse import scalar


@dg.asset(
    key=["predictions", "model_versions"],
    group_name="predict",
    deps=[["features", "customer_features"], ["features", "customer_labels"]],
    kinds={"lightgbm", "scikitlearn"},
)
@retried_when_transient
def model_versions(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """One row per trained model version. Training: split by time, judged on the newest labelled date beside baselines.

    A new version becomes champion only where it beats the champion on the same rows (`ml.gate`). A shop whose history is
    too short to learn from gets no model and a sentence that says what is missing; its run goes on.
    """
    metadata: dict[str, dg.MetadataValue] = {}
    with platform.warehouse.writer() as connection:
        as_of = scalar(connection, "select as_of from control.current_run")
        for module in MODELS:
            try:
                card = train(connection, module, settings=platform.settings, state=platform.state, as_of=as_of)
            except ModelError as error:
                context.log.warning(f"{module.MODEL} was not trained: {error}")
                metadata[module.MODEL] = dg.MetadataValue.text(f"not trained: {error}")
                continue
            metadata |= _shown(module.MODEL, card, platform)
        write_model_versions(connection, platform.state.models)
    return dg.MaterializeResult(metadata=metadata)


def _shown(model: str, card: dict[str, Any], platform: Platform) -> dict[str, dg.MetadataValue]:
    metrics, root, version = json.loads(card["metrics"]), platform.settings.models, card["version"]
    shown: dict[str, dg.MetadataValue] = {
        f"{model}_version": dg.MetadataValue.text(version),
        f"{model}_decision": dg.MetadataValue.json(json.loads(card["decision"])),
        f"{model}_metrics": dg.MetadataValue.json(metrics),
        f"{model}_baselines": dg.MetadataValue.json(json.loads(card["baseline_metrics"])),
        f"{model}_card": dg.MetadataValue.md(
            registry.read_card_text(root, model, version, artifact_sha256=card["artifact_sha256"])
        ),
        f"{model}_files": dg.MetadataValue.text(str(place(root, model, version))),
    }
    plot = model_plot(model, metrics, currency=platform.settings.reporting_currency)
    return shown | ({f"{model}_plot": picture(plot, f"{model} on the test date")} if plot else {})


FOLLOWING_TABLES = {
    "ltv_totals": "One row per horizon, what all scored customers together are expected to bring, with its interval.",
    "popular_products": "One row per product in stock that sold lately, the most popular first.",
    "similar_products": "Up to 10 rows per product: what is ordered together with it most.",
    "segment_history": "One row per customer and stay in a segment, with its first and last day.",
    "segment_transitions": "How many customers moved from which segment to which, by date of the scores.",
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            ["predictions", module.TABLE],
            group_name="predict",
            description=f"One row per customer with an order: newest {module.TABLE.replace('_', ' ')} by the champion.",
            deps=[["predictions", "model_versions"], ["features", "customer_features"]],
            kinds={"lightgbm" if module.TABLE != "segments" else "scikitlearn"},
        )
        for module in MODELS
    ]
    + [
        dg.AssetSpec(
            ["predictions", table],
            group_name="predict",
            description=description,
            deps=[["predictions", "model_versions"], ["features", "customer_features"]],
        )
        for table, description in FOLLOWING_TABLES.items()
    ],
)
@retried_when_transient
def scores(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Score today's customers with the champion of every model; where none can, the scores of the last run stay."""
    with platform.warehouse.writer() as connection:
        scored = score(connection, settings=platform.settings, state=platform.state)
        transitions, totals = newest_transitions(connection), total_table(connection)
    for module in MODELS:
        done = scored[module.MODEL]
        for problem in done.problems:
            context.log.warning(f"{module.MODEL}: {problem}")
        metadata: dict[str, Any] = {"model_version": done.version or "no model yet"}
        if done.rows is not None:
            metadata["dagster/row_count"] = done.rows
        if done.customers_scored is not None:
            metadata["customers_scored"] = done.customers_scored
        if done.problems:
            served = f"{done.version} scored" if done.version else "the scores of the last run stay"
            metadata |= {"model_version": done.version or "none", "problem": f"{' '.join(done.problems)} So {served}."}
        yield dg.MaterializeResult(asset_key=["predictions", module.TABLE], metadata=metadata)
    yield dg.MaterializeResult(
        asset_key=["predictions", "ltv_totals"], metadata={"totals": dg.MetadataValue.md(totals)} if totals else {}
    )
    for table in ("popular_products", "similar_products"):
        yield dg.MaterializeResult(asset_key=["predictions", table])
    yield dg.MaterializeResult(asset_key=["predictions", "segment_history"])
    shown = transition_table(transitions)
    yield dg.MaterializeResult(
        asset_key=["predictions", "segment_transitions"],
        metadata={"transitions": dg.MetadataValue.md(shown)} if shown else {},
    )
