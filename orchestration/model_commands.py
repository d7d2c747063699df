"""`weft model …`: the registry of trained models."""

import json

import typer
from rich.console import Console
from rich.table import Table

from orchestration.resources import build_platform

models = typer.Typer(no_args_is_help=True)
console = Console(soft_wrap=True)

HEADLINE = {"churn": ("roc_auc", "brier"), "ltv": ("mae", "spearman"), "segments": ("silhouette", "inertia")}


@models.command("list")
def list_() -> None:
    """Every trained version, its test rows and headline metrics; the champion makes the scores."""
    table = Table("model", "version", "trained", "test date", "test rows", "metrics", "", box=None)
    for card in build_platform().state.model_cards():
        metrics = json.loads(card["metrics"])
        shown = ", ".join(
            f"{name} {metrics[name]:.3f}" for name in HEADLINE[card["model"]] if metrics.get(name) is not None
        )
        table.add_row(
            card["model"],
            card["version"],
            str(card["trained_at"])[:16],
            str(card["test_date"]),
            f"{card['test_rows']:,}",
            shown,
            "champion" if card["is_champion"] else "",
        )
    console.print(table)
