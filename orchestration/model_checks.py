"""Asset checks of the predict stage: no score is missing, the champion scores, it is calibrated and young, nothing has drifted."""

import base64
import json
from collections.abc import Callable
from datetime import date, timedelta

import dagster as dg

from ml import MODELS
from ml.drift import NOTABLE, SMALLEST_ROWS, drift
from ml.model import ModelError, ModelModule
from ml.plots import drift_plot, model_plot
from orchestration.errors import RegistryError
from orchestration.model_inputs import RUN_DATE, read_frame
from orchestration.predicting import load
from orchestration.resources import Platform
from orchestration.warehouse import Connection, first_row, scalar

MAXIMUM_CALIBRATION_ERROR = 0.1
OLDEST_CHAMPION = timedelta(days=180)
OLDEST_TRAINING = timedelta(days=35)

Evaluate = Callable[[Connection, Platform, ModelModule], dg.AssetCheckResult]

NO_MODEL = dg.AssetCheckResult(passed=True, description="There is no model yet.")


def picture(plot: bytes, title: str) -> dg.MarkdownMetadataValue:
    """A PNG as Dagster shows it beside a materialisation or a check."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(plot).decode()})")


def no_score_is_missing(connection: Connection, platform: Platform, module: ModelModule) -> dg.AssetCheckResult:
    """Every customer with features of the run's date has one score of that date, and nobody else has, where there is a model."""
    if platform.state.models.champion(module.MODEL) is None:
        return NO_MODEL
    missing, extra, scored = first_row(
        connection,
        "select sum(case when scores.customer_id is null then 1 else 0 end), "
        "sum(case when features.customer_id is null then 1 else 0 end), count(scores.customer_id) from "
        f"(select customer_id, as_of_date from features.customer_features where as_of_date = {RUN_DATE}) as features "
        f"full outer join predictions.{module.TABLE} as scores "
        "on features.customer_id = scores.customer_id and features.as_of_date = scores.as_of_date",
    ) or (0, 0, 0)
    counts = {"missing": int(missing or 0), "of nobody or of another date": int(extra or 0), "scored": scored}
    return dg.AssetCheckResult(passed=not missing and not extra, metadata=counts)


def the_champion_scores(connection: Connection, platform: Platform, module: ModelModule) -> dg.AssetCheckResult:
    """The scores at hand were made by the champion."""
    champion = platform.state.models.champion(module.MODEL)
    if champion is None:
        return NO_MODEL
    found = scalar(connection, f"select max(model_version) from predictions.{module.TABLE}")
    return dg.AssetCheckResult(
        passed=found in (champion["version"], None),
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"champion": champion["version"], "scores by": found or "nobody: there are no customers to score"},
    )


def nothing_has_drifted(connection: Connection, platform: Platform, module: ModelModule) -> dg.AssetCheckResult:
    """Features and scores lie where they lay in the rows that the model was fitted on (population stability index up to .2)."""
    table = f"predictions.{module.TABLE}"
    version = scalar(connection, f"select max(model_version) from {table}")
    if version is None:
        return dg.AssetCheckResult(passed=True, description="There are no scores yet.")
    try:
        reference = load(platform.state.models, module.MODEL, version, platform.settings.models).card.reference
    except (ModelError, RegistryError) as error:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=str(error))
    names = ", ".join(reference)
    today = read_frame(
        connection,
        f"select {names} from {table} join features.customer_features using (customer_id, as_of_date)",
    )
    if len(today) < SMALLEST_ROWS:
        few = f"{len(today)} customers are too few to tell drift from chance; {SMALLEST_ROWS} are needed."
        return dg.AssetCheckResult(passed=True, description=few)
    indexes = drift(reference, today)
    shifted = [name for name, index in indexes.items() if index > NOTABLE]
    title = f"{module.MODEL} {version}: {len(today):,} customers against its training rows"
    return dg.AssetCheckResult(
        passed=not shifted,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Shifted: {', '.join(shifted)}." if shifted else None,
        metadata={
            "version": version,
            "population_stability_index": dg.MetadataValue.json(indexes),
            "plot": picture(drift_plot(indexes, title=title, notable=NOTABLE), title),
        },
    )


def the_champion_is_young(connection: Connection, platform: Platform, module: ModelModule) -> dg.AssetCheckResult:
    """The champion was trained within 180 days of the run's date, and some version within 35."""
    trained = [card for card in platform.state.models.cards() if card["model"] == module.MODEL]
    run_date = scalar(connection, f"select {RUN_DATE}")
    if not trained or run_date is None:
        return NO_MODEL
    age = run_date - max(date.fromisoformat(card["as_of_date"]) for card in trained if card["is_champion"])
    idle = run_date - max(date.fromisoformat(card["as_of_date"]) for card in trained)
    return dg.AssetCheckResult(
        passed=age <= OLDEST_CHAMPION and idle <= OLDEST_TRAINING,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"days since the champion was trained": age.days, "days since the last training": idle.days},
    )


@dg.asset_check(asset=["predictions", "model_versions"])
def churn_probabilities_are_calibrated(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """On the test date the champion's churn probabilities are off by less than .1 on average (expected calibration error)."""
    champion = platform.state.models.champion("churn")
    if champion is None:
        return NO_MODEL
    metrics = json.loads(champion["metrics"])
    plot = model_plot("churn", metrics, currency=platform.settings.reporting_currency)
    assert plot is not None
    return dg.AssetCheckResult(
        passed=metrics["ece"] <= MAXIMUM_CALIBRATION_ERROR,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "version": champion["version"],
            "expected_calibration_error": metrics["ece"],
            "plot": picture(plot, "churn: predicted and observed"),
        },
    )


def _check(evaluate: Evaluate, module: ModelModule) -> dg.AssetChecksDefinition:
    """One statement about one model, as a check of the table of its scores."""

    @dg.asset_check(asset=["predictions", module.TABLE], name=evaluate.__name__, description=evaluate.__doc__)
    def check(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
        with platform.warehouse.writer() as connection:
            return evaluate(connection, platform, module)

    return check


OF_EVERY_MODEL: tuple[Evaluate, ...] = (
    no_score_is_missing,
    the_champion_scores,
    nothing_has_drifted,
    the_champion_is_young,
)

MODEL_CHECKS = [
    *(_check(evaluate, module) for module in MODELS for evaluate in OF_EVERY_MODEL),
    churn_probabilities_are_calibrated,
]
