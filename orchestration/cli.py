"""The `weft` command line: a table of contents of what a person can do. A user's mistake gets one sentence and exit code 2."""

import sys
from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ingestion.file_errors import FileError
from ingestion.mappings import load_mapping
from orchestration.audience_commands import audiences
from orchestration.automation_commands import automation
from orchestration.collecting import land_file
from orchestration.consent_sweep import sweep_refusals
from orchestration.crm_commands import crm
from orchestration.decision_commands import forbid, link, reviews, split
from orchestration.errors import WeftError
from orchestration.fake_destination_commands import fake_destination
from orchestration.gate_commands import approve_version, exclude, holdout, lift
from orchestration.identity_commands import identity, why
from orchestration.key_commands import keys
from orchestration.model_commands import models
from orchestration.pass_commands import make_pass, parsed_instant, working
from orchestration.replay_commands import rejected, replay_rejected
from orchestration.resources import build_platform
from orchestration.segment_commands import segments
from orchestration.serve_commands import serve
from orchestration.state import utc_now
from orchestration.sync_commands import sync
from orchestration.upload_commands import upload

app = typer.Typer(
    help="Weft: collect, unify, predict, activate, on your own warehouse.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
app.add_typer(keys, name="keys", help="Who may send events or ask the API: make, list and revoke keys.")
app.add_typer(reviews, name="review", help="Look at events that name too many customers, approve or refuse them.")
app.add_typer(identity, name="identity", help="Decisions that were made; what other rules would change.")
app.add_typer(
    audiences,
    name="audience",
    help="Define audiences by rules; look at them, say why somebody is in; approve, roll back.",
)
app.add_typer(exclude, name="exclude", help="Whom nobody publishes: exclusion lists.")
app.add_typer(holdout, name="holdout", help="Who is left alone, so that the others can be compared with them.")
app.add_typer(crm, name="crm", help="Contacts of HubSpot, Salesforce or another CRM, pulled into the inbox.")
app.add_typer(sync, name="sync", help="Audiences at destinations.yml's destinations: send, look at, try again.")
app.add_typer(automation, name="automation", help="What happens when somebody enters or leaves an audience.")
app.add_typer(serve, name="serve", help="One service in this process: collector, normaliser, API or demo shop.")
app.add_typer(models, name="model", help="Look at trained models, compare them, choose the champion.")

console = Console(soft_wrap=True)

STAGES = ("ingestion", "identity", "ml", "activation")

AsOf = Annotated[
    str | None,
    typer.Option(help="The instant that the run looks back from, ISO, UTC. Default: the pinned clock, else now."),
]


@app.command()
def simulate(
    events: Annotated[int, typer.Option(help="About how many events.", min=1000, max=10_000_000)] = 200_000,
    seed: Annotated[int, typer.Option(help="Same seed, same shop.")] = 7,
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("simulated"),
    difficulty: Annotated[str, typer.Option(help="easy, default or hard.")] = "default",
) -> None:
    """Write a simulated shop: events by mapping, and the truth about who is who."""
    from ingestion.simulator import Difficulty, SimulationConfig, simulate

    with working("Simulating a shop"):
        summary = simulate(SimulationConfig(events=events, seed=seed, difficulty=Difficulty.named(difficulty)), out)
    console.print(f"Wrote {summary.rows:,} events of {summary.people:,} people to {out}.")


@app.command("import")
def import_(
    path: Annotated[Path, typer.Argument(help="A CSV, NDJSON or Parquet file, or a folder of them.")],
    mapping: Annotated[str, typer.Option(help="Name of a mapping, or a YAML file.")],
) -> None:
    """Land a file through a mapping: every event exactly once, rejects kept with their bytes and the reason."""
    platform = build_platform()
    chosen = load_mapping(mapping)
    if not path.exists():
        raise FileError(f"{path} does not exist; give a file or a folder.")
    files = sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]
    with platform.warehouse.writer() as connection:
        unusable = 0
        for file in files:
            try:
                with working(f"Landing {file.name}"):
                    report = land_file(connection, path=file, mapping=chosen, landed_at=utc_now())
            except FileError as error:
                unusable += 1
                console.print(f"[red]{escape(str(error))}[/]", highlight=False)
            else:
                console.print(report.sentence(), highlight=False)
        sweep_refusals(platform, connection)
    if unusable:
        raise typer.Exit(2)


@app.command()
def build(
    as_of: AsOf = None,
    select: Annotated[list[str] | None, typer.Option(help="dbt's --select; all models by default.")] = None,
) -> None:
    """Build the warehouse without Dagster: dbt up to evidence, the identity engine, dbt from there."""
    from orchestration.building import build

    platform = build_platform()
    statistics, changed = build(platform, as_of=parsed_instant(as_of), select=select or [])
    console.print(
        f"{statistics.customers:,} customers from {statistics.identifiers:,} identifiers; {len(changed)} audiences changed."
    )


@app.command()
def run(
    as_of: AsOf = None,
    reporting_currency: Annotated[
        str | None, typer.Option(help="ISO 4217 code; default: WEFT_REPORTING_CURRENCY.")
    ] = None,
) -> None:
    """One whole pass of all four stages, then publish what changed."""
    overrides = {"reporting_currency": reporting_currency.upper()} if reporting_currency else {}
    make_pass(build_platform(**overrides), parsed_instant(as_of))


@app.command()
def demo(
    events: Annotated[int, typer.Option(help="About how many simulated events.", min=1000)] = 200_000,
    seed: Annotated[int, typer.Option(help="Same seed, same shop.")] = 7,
) -> None:
    """The main job on a simulated shop, with a report of what came out."""
    from orchestration.demo import run_demo

    run_demo(build_platform(), events=events, seed=seed, console=console)


@app.command()
def backfill(
    first: Annotated[datetime, typer.Argument(metavar="FROM", formats=["%Y-%m-%d"], help="First day, 2026-01-31.")],
    last: Annotated[datetime, typer.Argument(metavar="TO", formats=["%Y-%m-%d"], help="Last day, included.")],
) -> None:
    """Land the files of past days (inbox/<mapping>/<day>/) and make the feature snapshots of their midnights."""
    from orchestration.backfilling import days_from, land_days, make_snapshots, snapshot_sizes

    platform = build_platform()
    days = days_from(platform, first.date(), last.date())
    refused = 0
    with working(f"Landing {len(days)} days"):
        for report in land_days(platform, days):
            refused += report.problem is not None
            console.print(report.sentence(), highlight=False, style="red" if report.problem else None)
    with working(f"Making the features of {len(days)} days"):
        is_new = make_snapshots(platform, days)
    for day, customers in snapshot_sizes(platform, days).items():
        console.print(f"{day}  {customers:,} customers with features", highlight=False)
    if not is_new:
        console.print("All of it was there already.")
    if refused:
        raise typer.Exit(2)


@app.command()
def features(
    at: Annotated[str, typer.Option(help="Past days, by comma: 2026-01-01,2026-02-01. Any number, in any order.")],
) -> None:
    """Make the features of any past days, of what was known at their midnights (UTC): rows of features.customer_features."""
    from orchestration.backfilling import days_listed, make_snapshots, snapshot_sizes

    platform = build_platform()
    days = days_listed(platform, at)
    with working(f"Making the features of {len(days)} days"):
        is_new = make_snapshots(platform, days)
    for day, customers in snapshot_sizes(platform, days).items():
        console.print(f"{day}  {customers:,} customers with features", highlight=False)
    if not is_new:
        console.print("All of it was there already.")


@app.command()
def up() -> None:
    """Start event log, collector, normaliser, API, demo shop, Redis and Dagster; Ctrl-C stops all of it."""
    from orchestration.up import run_services

    run_services(build_platform(), console)


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")] = False,
) -> None:
    """What is where, how old and how big. Waits for nobody who writes."""
    from orchestration.status import read_status, status_json
    from orchestration.status_tables import status_tables

    current = read_status(build_platform())
    if as_json:
        typer.echo(status_json(current))
        return
    plain = Console(highlight=False)
    for part in status_tables(current):
        if not isinstance(part, Table) or part.row_count:
            plain.print(part)


audiences.command("approve")(approve_version)
audiences.command("lift")(lift)
for command in (why, link, forbid, split, segments, upload, rejected):
    app.command()(command)
app.command("replay")(replay_rejected)
app.command("fake-destination")(fake_destination)


def main() -> None:
    """Run the command line; what a user can mend is one sentence and exit code 2."""
    try:
        app()
    except Exception as error:
        if not is_mistake(error):
            raise
        console.print(f"[red]{escape(str(error))}[/]", highlight=False)
        sys.exit(2)


def is_mistake(error: Exception) -> bool:
    """Whether a person can mend it: ours, or one of the ValueErrors that the stages define for that and nothing else."""
    is_of_a_stage = type(error).__module__.partition(".")[0] in STAGES
    return isinstance(error, WeftError) or (isinstance(error, ValueError) and is_of_a_stage)
