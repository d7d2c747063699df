"""Between features and scores: train the models on labelled rows and let the gate judge them."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import pandas as pd
import pyarrow as pa

from ml import gate, registry, schema
from ml.model import Fitted, ModelError, ModelModule
from orchestration.failpoints import OnStep, failpoints
from orchestration.model_inputs import INPUTS, Sampled, model_options
from orchestration.model_registry import ModelRegistry
from orchestration.settings import Settings
from orchestration.state import State, utc_now
from orchestration.warehouse import Connection, write_table


def load(models: ModelRegistry, model: str, version: str, root: registry.Root) -> Fitted[Any]:
    """A registered version from its files. Raises RegistryError where it is unknown, ModelError where it cannot score."""
    return registry.load(root, model, version, artifact_sha256=models.card(model, version)["artifact_sha256"])


def train(
    connection: Connection,
    module: ModelModule,
    *,
    settings: Settings,
    state: State,
    as_of: datetime,
    on_step: OnStep = failpoints("training"),
) -> dict[str, Any]:
    """Train one model on the labelled rows, keep its files, let the gate decide; returns its row of model_versions.

    A version is judged once: where training gives one that is known and the champion can score, nothing changes. Raises
    ml's ModelError with one sentence where history is too short or the rows cannot teach anything.
    """
    models, options = state.models, model_options(settings)
    reads = module.reads(options)
    inputs = INPUTS[reads.kind]
    rows = inputs.training(connection, reads)
    trained = module.train(
        rows,
        inputs.split(rows, reads),
        module.params(options),
        champion=_scoring_model(models, module.MODEL, settings.models),
    )
    if isinstance(inputs, Sampled) and (sample := inputs.sample(connection)):
        trained = replace(trained, card=replace(trained.card, parameters={**trained.card.parameters, "sample": sample}))
    on_step("trained")
    registry.clear_unfinished(settings.models)
    saved = registry.save(trained, settings.models, on_step=on_step)
    judged_after = len(models.history(module.MODEL))
    judged = inputs.on(rows, trained.card.test_date)
    decision = _decide(module, trained, saved.version, models=models, root=settings.models, rows=judged)
    if decision is not None:
        card = registry.version_row(
            trained.card, saved, trained_at=utc_now(), as_of_date=as_of.date(), decision=decision.to_dict()
        )
        models.register(card, judged_after=judged_after, now=card["trained_at"])
        on_step("registered")
    return models.card(module.MODEL, saved.version)


def _scoring_model(models: ModelRegistry, model: str, root: registry.Root) -> Any:
    """The champion's model that scores; None where there is none or its files are damaged."""
    champion = next(iter(models.champions(model)), None)
    if champion is None:
        return None
    try:
        return load(models, model, champion, root).model
    except ModelError:
        return None


def _decide(
    module: ModelModule, trained: Fitted[Any], version: str, *, models: ModelRegistry, root: registry.Root, rows: Any
) -> gate.Decision | None:
    """What the gate says; None where this version was judged before and needs no new judgement."""
    champion = next(iter(models.champions(module.MODEL)), None)
    if champion is None:
        leaks = gate.suspected_leaks(trained)
        return gate.Decision(True, " ".join(["the first model; but" if leaks else "the first model", *leaks.values()]))
    if champion == version:
        return None
    try:
        fitted = load(models, module.MODEL, champion, root)
    except ModelError as error:
        return gate.Decision(True, f"the champion {champion} cannot score: {error}", champion)
    if any((card["model"], card["version"]) == (module.MODEL, version) for card in models.cards()):
        return None
    return gate.decide(module, trained, fitted, against=champion, rows=rows)


def write_model_versions(connection: Connection, models: ModelRegistry) -> None:
    """Copy the registry into predictions.model_versions."""
    columns = schema.PREDICTIONS["model_versions"]
    cards = pd.DataFrame(models.cards(), columns=list(columns))
    for name in ("trained_at", "as_of_date", "test_date"):
        cards[name] = pd.to_datetime(cards[name])
    rows = pa.Table.from_pandas(cards[list(columns)], preserve_index=False)
    write_table(connection, "predictions.model_versions", rows, columns)
