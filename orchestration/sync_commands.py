"""`weft sync …`: what goes to which destination, what each of them took, and what to do about the rest."""

import json
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from activation.syncs.engine import Report
from activation.syncs.fingerprints import Fingerprints
from orchestration.destinations_file import AUTOMATION, Sync
from orchestration.errors import DestinationError
from orchestration.pass_commands import working
from orchestration.resources import Platform, build_platform
from orchestration.sync_books import SyncRun
from orchestration.syncing import Syncing, configured, detached, named

sync = typer.Typer(no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False)

Which = Annotated[str, typer.Argument(help="A sync (destination.audience), or a destination for all of its syncs.")]
OneSync = Annotated[str, typer.Argument(help="A sync, such as crm.high_value.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")]


@sync.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every sync with what its destination holds, what waits, what was refused, and its last run."""
    platform = build_platform()
    found = _listed(platform)
    if as_json:
        typer.echo(json.dumps({"syncs": found}, default=_text))
        return
    if not found:
        console.print(f"Nothing is sent anywhere: write {platform.settings.destinations_file} (docs/syncs.md).")
        return
    table = Table("sync", "type", "held", "waiting", "refused", "set aside", "last run", "status", box=None)
    for each in found:
        last = each["last_run"]
        at, status = (f"{last['started_at']:%Y-%m-%d %H:%M}", last["status"]) if last else ("never", "-")
        counts = (f"{each[name]:,}" for name in ("held", "waiting", "refused", "quarantined"))
        table.add_row(each["sync"], each["type"] or "no longer configured", *counts, at, status)
    console.print(table)


@sync.command("run")
def run_(
    which: Annotated[str | None, typer.Argument(help="A sync or a destination; without it all, side by side.")] = None,
) -> None:
    """Send what changed, now. Exits with 2 where a sync failed."""
    platform = build_platform()
    syncs = configured(platform)
    chosen = named(syncs, which) if which else syncs
    if not chosen:
        console.print(f"Nothing is sent anywhere: write {platform.settings.destinations_file} (docs/syncs.md).")
        return
    with working("Sending"):
        reports = Syncing(platform).run_all(chosen)
    _print(platform, reports)


@sync.command("dry-run")
def dry_run(
    which: Which,
    is_asked: Annotated[
        bool, typer.Option("--ask", help="Let the destination check what it would be sent (Google can).")
    ] = False,
) -> None:
    """What a run would send, by operation, with a sample of record names. Writes nothing; sends nothing, or with --ask to be checked
    only."""
    platform = build_platform()
    syncing = Syncing(platform)
    for each in named(configured(platform), which):
        plan = syncing.dry_run(each)
        counts = plan.by_operation
        console.print(f"{each.name}: {counts['upsert']:,} to be sent, {counts['remove']:,} to be removed.")
        names = Fingerprints(platform.salt, each.name)
        for row in [row for row in plan.changed if row.status == "pending"][:5]:
            is_new = "new" if row.accepted_fingerprint is None else "changed"
            what = "gone" if row.operation == "remove" else is_new
            console.print(f"  {names.shown(row.key)}  {row.operation}  {what}", markup=False)
        if is_asked:
            said = syncing.ask(each)
            told = (
                "cannot say"
                if said is None
                else ", ".join(f"{words}: {count:,}" for words, count in sorted(said.items()))
            )
            console.print(f"  {each.destination.name} says: {told or 'nothing to be sent'}", markup=False)


@sync.command("show")
def show(
    name: OneSync,
    limit: Annotated[int, typer.Option(help="How many of each to print.", min=1)] = 10,
    as_json: AsJson = False,
) -> None:
    """The last runs of a sync, the records that were not accepted with the destination's words, and the newest requests."""
    platform = build_platform()
    books = platform.state.syncs
    _check_known(platform, name)
    runs, problems, attempts = books.runs(name, limit), books.problems(name, limit), books.attempts(name, limit)
    standing = books.standing(name)
    if as_json:
        content = {
            "sync": name, "records": standing.by_status, "held": standing.held, "next_try_at": standing.next_try_at,
            "runs": [vars(run) for run in runs], "problems": problems, "attempts": attempts,
        }  # fmt: skip
        typer.echo(json.dumps(content, default=_text))
        return
    by_status = ", ".join(f"{count:,} {status}" for status, count in sorted(standing.by_status.items())) or "no records"
    console.print(f"{name}: {by_status}; the destination holds {standing.held:,}.")
    for run in runs:
        console.print(f"  {run.started_at:%Y-%m-%d %H:%M}  {run.status:<8} {run.sentence()}", markup=False)
    for title, lines, columns in (
        ("Not accepted", problems, ("record_key", "status", "attempts", "next_try_at", "words")),
        ("Newest requests", attempts, ("at", "outcome", "records", "accepted", "record_key", "words")),
    ):
        if lines:
            table = Table(*columns, title=title, title_justify="left", box=None)
            for line in lines:
                table.add_row(*(_shown(line[column]) for column in columns))
            console.print(table, markup=False)


@sync.command("retry")
def retry(which: Which) -> None:
    """Let what was refused or set aside be tried again, and all that waits at once; then run."""
    platform = build_platform()
    syncing = Syncing(platform)
    chosen = named(configured(platform), which)
    for each in chosen:
        console.print(f"{each.name}: {syncing.retry(each.name):,} records are tried again.")
    with working("Sending"):
        reports = syncing.run_all(chosen)
    _print(platform, reports)


@sync.command("replay")
def replay(
    name: OneSync,
    run: Annotated[
        str | None, typer.Option(help="Only what this run sent last; `weft sync show --json` has its id.")
    ] = None,
) -> None:
    """Send everything again as changes of their own (new keys, higher sequence numbers), such as after the destination lost data."""
    platform = build_platform()
    syncing = Syncing(platform)
    [each] = _one(platform, name)
    console.print(f"{each.name}: {syncing.replay(each.name, run):,} records are sent again.")
    with working("Sending"):
        reports = syncing.run_all([each])
    _print(platform, reports)


@sync.command("withdraw")
def withdraw(name: OneSync) -> None:
    """Remove from a destination all that it took of an audience which is no longer sent there."""
    platform = build_platform()
    if any(each.name == name for each in configured(platform)):
        raise DestinationError(
            f"{name} is still sent; take the audience out of destinations.yml, or out of its own YAML, first."
        )
    [each] = detached(platform, name) or named([], name)
    with working("Removing"):
        report = Syncing(platform).withdraw(each)
    _print(platform, [report])


def _one(platform: Platform, name: str) -> list[Sync]:
    """A sync by its own name, also one whose audience is no longer sent there."""
    syncs = configured(platform)
    return [sync for sync in syncs if sync.name == name] or detached(platform, name) or named([], name)


def _listed(platform: Platform) -> list[dict[str, Any]]:
    books = platform.state.syncs
    syncs = {each.name: each for each in configured(platform)}
    last_runs, pauses = books.last_runs(), books.pauses()
    found = []
    for name in sorted({*syncs, *books.names()}):
        standing, last, each = books.standing(name), last_runs.get(name), syncs.get(name)
        waiting = sum(standing.by_status.get(status, 0) for status in ("pending", "sent"))
        found.append({
            "sync": name,
            "destination": name.partition(".")[0],
            "audience": name.partition(".")[2],
            "type": each.destination.type if each else AUTOMATION if name.startswith(f"{AUTOMATION}.") else None,
            "held": standing.held,
            "waiting": waiting,
            "refused": standing.by_status.get("refused", 0),
            "quarantined": standing.by_status.get("quarantined", 0),
            "next_try_at": standing.next_try_at,
            "not_before": pauses.get(name.partition(".")[0]),
            "last_run": vars(last) if last else None,
        })  # fmt: skip
    return found


def _check_known(platform: Platform, name: str) -> None:
    known = platform.state.syncs.names()
    if name not in known:
        named([each for each in configured(platform) if each.name == name], name)


def _print(platform: Platform, reports: list[Report]) -> None:
    runs = {each.run_id: each for each in platform.state.syncs.last_runs().values()}
    for report in reports:
        run: SyncRun | None = runs.get(report.run_id)
        sentence = run.sentence() if run else f"{report.sync}: {report.words}"
        console.print(sentence, style="red" if report.status == "failed" else None, markup=False)
        for words, count in report.samples.items():
            console.print(f"  {count:,} x {words}", markup=False)
    if any(report.status == "failed" for report in reports):
        raise typer.Exit(2)


def _shown(value: object) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else "-" if value is None else str(value)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
