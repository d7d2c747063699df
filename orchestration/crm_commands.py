"""`weft crm …`: contacts of a CRM, pulled into the inbox."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from orchestration.crm_pulls import configured_sources, pull_source, source_named
from orchestration.pass_commands import working
from orchestration.resources import build_platform

crm = typer.Typer(no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False)


@crm.command("list")
def list_() -> None:
    """The sources that crm.yml names, and what came of their last pull."""
    platform = build_platform()
    sources = configured_sources(platform.settings)
    if not sources:
        console.print(f"No CRM is configured: write {platform.settings.crm_file} (docs/crm.md).")
        return
    pulls = platform.state.crm.last_pulls()
    table = Table("source", "kind", "last pull", "contacts", "problem", box=None)
    for source in sources:
        last = pulls.get(source.name)
        at = f"{last.pulled_at:%Y-%m-%d %H:%M}" if last and last.pulled_at else "never"
        table.add_row(
            source.name, source.kind, at, f"{last.contacts:,}" if last else "-", (last and last.problem) or "-"
        )
    console.print(table)


@crm.command("pull")
def pull_(
    name: Annotated[str, typer.Argument(help="A source that crm.yml names.")],
    from_start: Annotated[
        bool,
        typer.Option("--from-start", help="All contacts again, such as after new fields; unchanged ones land once."),
    ] = False,
) -> None:
    """Pull what has changed since the last pull; the next run lands it."""
    platform = build_platform()
    source = source_named(platform.settings, name)
    with working(f"Pulling {name}"):
        report = pull_source(platform, source, from_start=from_start)
    console.print(report.sentence(), style="red" if report.problem else None, markup=False)
    if report.problem:
        raise typer.Exit(2)
