"""`weft model …`: the registry of trained models, and who is champion."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table

from orchestration.errors import RegistryError
from orchestration.resources import Platform, build_platform
from orchestration.state import utc_now

models = typer.Typer(no_args_is_help=True)
console = Console(soft_wrap=True)

Model = Annotated[str, typer.Argument(help="A model that `weft model list` shows, such as churn.")]
Version = Annotated[str, typer.Argument(help="A version that `weft model list` shows.")]


@models.command("list")
def list_() -> None:
    """Every trained version, its test rows and headline metrics; the champion makes the scores."""
    from ml import registry

    whole = [Column(name, no_wrap=True) for name in ("model", "version", "test date", "rows")]
    table = Table(*whole, Column("metrics", overflow="fold"), Column("", no_wrap=True), box=None)
    for card in build_platform().state.models.cards():
        metrics = json.loads(card["metrics"])
        headline = registry.MODULES[card["model"]].HEADLINE if card["model"] in registry.MODULES else ()
        shown = "\n".join(f"{name} {metrics[name]:,.3f}" for name in headline if metrics.get(name) is not None)
        table.add_row(
            card["model"],
            card["version"],
            str(card["test_date"]),
            f"{card['test_rows']:,}",
            shown,
            "champion" if card["is_champion"] else "",
        )
    console.print(table)


@models.command()
def show(
    model: Model,
    version: Annotated[str | None, typer.Argument(help="Default: the champion.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write the card with its pictures as one HTML file.")] = None,
) -> None:
    """The card of a version, what the gate decided on it, and every change of champion."""
    from ml import registry

    platform = build_platform()
    card = _card(platform, model, version)
    text = registry.read_card_text(
        platform.settings.models, model, card["version"], artifact_sha256=card["artifact_sha256"]
    )
    place = "champion" if card["is_champion"] else "not champion"
    if html is not None:
        _write_page(platform, card, text, html)
        return
    _say(
        f"{model} {card['version']}, {place}, trained {str(card['trained_at'])[:16]} by the run of {card['as_of_date']}"
    )
    _say(f"The gate: {json.loads(card['decision'])['reason']}.")
    for change in platform.state.models.history(model):
        _say(f"{change.decided_at:%Y-%m-%d %H:%M}  {change.action:<8}  {change.version}  {change.reason}")
    _say(f"\n{text}")


@models.command()
def compare(
    model: Model,
    version: Version,
    against: Annotated[str | None, typer.Argument(help="Default: the champion.")] = None,
) -> None:
    """Judge a version beside another on the newest labelled rows of the served build, as the gate does."""
    from ml import gate, registry
    from orchestration.model_inputs import INPUTS, model_options
    from orchestration.predicting import load

    platform = build_platform()
    ours, theirs = _card(platform, model, version), _card(platform, model, against)
    challenger, champion = (
        load(platform.state.models, model, card["version"], platform.settings.models) for card in (ours, theirs)
    )
    module = registry.MODULES[model]
    reads = module.reads(model_options(platform.settings))
    inputs = INPUTS[reads.kind]
    with platform.warehouse.open_served() as served:
        rows = inputs.training(served, reads)
    newest = inputs.split(rows, reads).test_date
    found = gate.compare(module, champion, challenger, inputs.on(rows, newest), day=newest)
    verdict = "It would be promoted." if found.is_better else "It would not be promoted."
    _say(f"{ours['version']} beside {theirs['version']}: {found.sentence()}. {verdict}")
    _say(gate.RULE)


@models.command()
def promote(
    model: Model, version: Version, reason: Annotated[str, typer.Option(help="Why; kept in the history.")]
) -> None:
    """Make a version the champion by hand; it scores from the next run on."""
    from orchestration.predicting import load

    platform = build_platform()
    load(platform.state.models, model, version, platform.settings.models)
    platform.state.models.promote(model, version, reason=reason, now=utc_now())
    _say(f"{model} {version} is the champion; the next run scores with it.")


@models.command()
def rollback(
    model: Model, reason: Annotated[str, typer.Option(help="Why; kept in the history.")] = "rolled back by hand"
) -> None:
    """Go back to the champion before; it scores from the next run on."""
    from orchestration.predicting import load

    platform = build_platform()
    _known(model)
    load(platform.state.models, model, platform.state.models.champion_before(model), platform.settings.models)
    version = platform.state.models.rollback(model, reason=reason, now=utc_now())
    _say(f"{model} {version} is the champion again; the next run scores with it.")


def _write_page(platform: Platform, card: dict[str, Any], text: str, file: Path) -> None:
    """Write the card of a version as HTML. Raises RegistryError where the file cannot be written."""
    from ml import registry
    from ml.card_html import card_html
    from ml.plots import beside_baselines_plot, model_plot

    model, metrics, baselines = card["model"], json.loads(card["metrics"]), json.loads(card["baseline_metrics"])
    facts = [
        ("Version", card["version"]),
        ("Place", "champion: it makes the scores" if card["is_champion"] else "not champion"),
        ("Trained", f"{str(card['trained_at'])[:16]} UTC, by the run of {card['as_of_date']}"),
        ("The gate", json.loads(card["decision"])["reason"]),
        ("Files", card["artifact_sha256"]),
    ]
    changes = [change for change in platform.state.models.history(model) if change.version == card["version"]]
    facts += [(f"{change.decided_at:%Y-%m-%d %H:%M}", f"{change.action}: {change.reason}") for change in changes]
    pictures = {}
    if plot := model_plot(model, metrics, currency=platform.settings.reporting_currency):
        pictures["What it said and what came, on the test date"] = plot
    headline = [name for name in registry.MODULES[model].HEADLINE if metrics.get(name) is not None]
    if headline and baselines:
        shown = beside_baselines_plot(model, metrics, baselines, headline)
        pictures["Beside simple rules, on the same rows"] = shown
    page = card_html(text, title=f"{model} {card['version']}: model card", facts=facts, pictures=pictures)
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise RegistryError(f"{file} cannot be written: {error.strerror}.") from None
    _say(f"The card of {model} {card['version']} is in {file}.")


def _card(platform: Platform, model: str, version: str | None) -> dict[str, Any]:
    """The row of a version, or of the champion. Raises RegistryError with one sentence."""
    _known(model)
    if version is not None:
        return platform.state.models.card(model, version)
    champion = platform.state.models.champion(model)
    if champion is None:
        raise RegistryError(f"No {model} model was trained yet; `weft run` trains where history is long enough.")
    return champion


def _known(model: str) -> None:
    from ml import registry

    if model not in registry.MODULES:
        raise RegistryError(f"There is no model {model!r}; there are {', '.join(registry.MODULES)}.")


def _say(text: str) -> None:
    console.print(text, markup=False, highlight=False)
