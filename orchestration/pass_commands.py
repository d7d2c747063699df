"""What the commands that make a pass share: the pass with its report, instants as they are typed, and the line that shows work going on."""

from datetime import UTC, datetime

import typer
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from orchestration.resources import Platform
from orchestration.settings import export_for_tools

console = Console(soft_wrap=True)


def make_pass(platform: Platform, as_of: datetime | None) -> None:
    """One whole pass of all four stages, and what came of it."""
    export_for_tools(platform.settings)  # Dagster's definitions read the same settings from the environment
    from orchestration.passes import run_pass

    with working("Collect, unify, predict, activate"):
        report = run_pass(platform, as_of=as_of)
    for line in report.published or ["Nothing changed, nothing was published."]:
        console.print(line)
    for check in report.failed_checks:
        console.print(f"[yellow]check failed:[/] {check}")
    console.print("  ".join(f"{stage} {seconds:.1f} s" for stage, seconds in report.seconds.items()))


def parsed_instant(text: str | None) -> datetime | None:
    """An ISO date or instant as naive UTC. Raises BadParameter with one sentence."""
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not an instant; write 2026-07-01 or 2026-07-01T12:00:00.") from None
    return instant.astimezone(UTC).replace(tzinfo=None) if instant.tzinfo else instant


def working(what: str) -> Progress:
    """A line that shows what is going on and for how long."""
    progress = Progress(
        SpinnerColumn(), TextColumn(what), TimeElapsedColumn(), console=Console(stderr=True), transient=True
    )
    progress.add_task(what, total=None)
    return progress
