"""Asset checks of the predict stage: no score is missing, the champion scores, it is calibrated and young, nothing has drifted."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import dagster as dg

from ml import MODELS, schema
from ml.drift import NOTABLE, SMALLEST_ROWS, drift
from ml.model import ModelError, ModelModule
from ml.plots import calibration_plot, drift_plot, model_plot
from orchestration.errors import RegistryError
from orchestration.matured_scores import Matured, matured_scores
from orchestration.model_inputs import INPUTS, CustomerRows, KnowsWhoIsScored, frames, model_options
from orchestration.predicting import load
from orchestration.resources import Platform
from orchestration.run_features import RUN_DATE
from orchestration.warehouse import Connection, first_row, row_count, scalar

MAXIMUM_CALIBRATION_ERROR = 0.1
COVERAGE = (0.7, 0.95)
"""What 80 % intervals hold of the outcomes where they can be relied on; many equal outcomes (nothing bought) widen it upwards."""
OLDEST_CHAMPION = timedelta(days=180)
OLDEST_TRAINING = timedelta(days=35)

Evaluate = Callable[[Connection, Platform, ModelModule], dg.AssetCheckResult]

NO_MODEL = dg.AssetCheckResult(passed=True, description="There is no model yet.")


def picture(plot: bytes, title: str) -> dg.MarkdownMetadataValue:
    """A PNG as Dagster shows it beside a materialisation or a check."""
    return dg.MetadataValue.md(f"![{title}](data:image/png;base64,{base64.b64encode(plot).decode()})")


def no_score_is_missing(connection: Connection, platform: Platform, module: ModelModule) -> dg.AssetCheckResult:
    """Everybody who is to be scored has scores of the run's date, and nobody else has, where there is a model."""
    if platform.state.models.champion(module.MODEL) is None:
        return NO_MODEL
    table = f"predictions.{module.TABLE}"
    try:
        wanted = _scored(connection, platform, module)
    except ModelError as error:
        return dg.AssetCheckResult(passed=False, description=str(error))
    if wanted is None:
        others = scalar(connection, f"select count(*) from {table} where as_of_date <> {RUN_DATE}")
        return dg.AssetCheckResult(passed=not others, metadata={"of another date": others})
    keys = [name for name in ("customer_id", "as_of_date") if name in schema.PREDICTIONS[module.TABLE]]
    keys = keys or list(schema.PREDICTIONS[module.TABLE])[:1]
    names, same = ", ".join(keys), " and ".join(f"wanted.{key} = scores.{key}" for key in keys)
    missing, extra, scored = first_row(
        connection,
        f"select sum(case when scores.{keys[0]} is null then 1 else 0 end), "
        f"sum(case when wanted.{keys[0]} is null then 1 else 0 end), count(scores.{keys[0]}) "
        f"from (select distinct {names} from ({wanted}) as listed) as wanted "
        f"full outer join (select distinct {names} from {table}) as scores on {same}",
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
    rows = row_count(connection, table)
    if rows < SMALLEST_ROWS:
        few = f"{rows} scores are too few to tell drift from chance; {SMALLEST_ROWS} are needed."
        return dg.AssetCheckResult(passed=True, description=few)
    try:
        indexes = _drift(connection, platform, module, reference)
    except ModelError as error:
        return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN, description=str(error))
    shifted = [name for name, index in indexes.items() if index > NOTABLE]
    title = f"{module.MODEL} {version}: {rows:,} scores against its training rows"
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


def it_is_calibrated(connection: Connection, platform: Platform, module: ModelModule) -> dg.AssetCheckResult:
    """On the test date the champion's probabilities are off by less than .1 on average (expected calibration error), and its
    80 % intervals hold 70 to 95 % of the outcomes."""
    champion = platform.state.models.champion(module.MODEL)
    if champion is None:
        return NO_MODEL
    metrics = json.loads(champion["metrics"])
    coverages = {name: found["coverage"] for name, found in metrics.items() if _is_interval(found)}
    shown = {"expected_calibration_error": metrics["ece"]} if metrics.get("ece") is not None else {}
    if not shown and not coverages:
        return dg.AssetCheckResult(passed=True, description="It states neither probabilities nor intervals.")
    shown |= {f"coverage of {name}": share for name, share in coverages.items()}
    is_off = [name for name in coverages if _is_off(metrics[name])]
    metadata: dict[str, Any] = {"version": champion["version"], **shown}
    if plot := model_plot(module.MODEL, metrics, currency=platform.settings.reporting_currency):
        metadata["plot"] = picture(plot, f"{module.MODEL}: predicted and observed")
    return dg.AssetCheckResult(
        passed=(metrics.get("ece") or 0.0) <= MAXIMUM_CALIBRATION_ERROR and not is_off,
        severity=dg.AssetCheckSeverity.WARN,
        metadata=metadata,
    )


def _is_off(interval: Mapping[str, float]) -> bool:
    """Against the chance that the model itself gives to the interval, where it says so, else against COVERAGE."""
    if (stated := interval.get("stated")) is not None:
        return abs(interval["coverage"] - stated) > MAXIMUM_CALIBRATION_ERROR
    return not COVERAGE[0] <= interval["coverage"] <= COVERAGE[1]


def _is_interval(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("coverage"), float)


def _scored(connection: Connection, platform: Platform, module: ModelModule) -> str | None:
    """A query of who is to have scores; None where the kind of input does not say. Raises ModelError."""
    inputs = INPUTS[module.reads(model_options(platform.settings)).kind]
    if isinstance(inputs, KnowsWhoIsScored):
        return inputs.scored(connection)
    return inputs.today(connection) if isinstance(inputs, CustomerRows) else None


def _drift(
    connection: Connection, platform: Platform, module: ModelModule, reference: Mapping[str, Any]
) -> dict[str, float]:
    """Of the columns of scores, and of the inputs where these are rows that can be read again. Raises ModelError."""
    inputs = INPUTS[module.reads(model_options(platform.settings)).kind]
    scores = {name: stored for name, stored in reference.items() if name in schema.PREDICTIONS[module.TABLE]}
    read = {name: stored for name, stored in reference.items() if name not in scores}
    indexes = (
        drift(scores, frames(connection, f"select {', '.join(scores)} from predictions.{module.TABLE}"))
        if scores
        else {}
    )
    if read and isinstance(inputs, CustomerRows):
        today = inputs.today(connection)
        indexes |= drift(read, frames(connection, f"select {', '.join(read)} from ({today}) as today"))
    return dict(sorted(indexes.items(), key=lambda item: (-item[1], item[0])))


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
    it_is_calibrated,
)


@dg.asset_check(asset=["predictions", "churn_scores"])
def published_churn_scores_came_true(platform: dg.ResourceParam[Platform]) -> dg.AssetCheckResult:
    """Of churn scores that were published a horizon ago, the newest month's are off by less than .1 on average."""
    with platform.warehouse.writer() as connection:
        matured = matured_scores(connection)
    if not matured:
        return dg.AssetCheckResult(passed=True, description="No published scores are a whole horizon old yet.")
    newest = matured[-1]
    title = f"churn published on {newest.as_of_date}: said then and seen since\n{newest.metrics['rows']:,} customers"
    return dg.AssetCheckResult(
        passed=newest.metrics["ece"] <= MAXIMUM_CALIBRATION_ERROR,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            "published on": newest.as_of_date.isoformat(),
            "versions": ", ".join(newest.versions),
            "expected_calibration_error": newest.metrics["ece"],
            "all months": dg.MetadataValue.md(_months(matured)),
            "plot": picture(calibration_plot(newest.metrics["calibration_table"], title=title), "churn: said and seen"),
        },
    )


def _months(matured: list[Matured]) -> str:
    head = ["published", "horizon", "customers", "said", "seen", "Brier", "ECE", "ROC-AUC"]
    rows = [
        [
            one.as_of_date.isoformat(),
            f"{one.horizon_days} days",
            f"{one.metrics['rows']:,}",
            *(
                "" if one.metrics[name] is None else f"{one.metrics[name]:.3f}"
                for name in ("mean_probability", "base_rate", "brier", "ece", "roc_auc")
            ),
        ]
        for one in matured
    ]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows])


MODEL_CHECKS = [
    *(_check(evaluate, module) for module in MODELS for evaluate in OF_EVERY_MODEL),
    published_churn_scores_came_true,
]
