"""`weft automation …`: what happens when somebody enters or leaves an audience, to whom it happened, pools of coupons."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from activation.automations.coupons import codes_of
from activation.automations.definitions import AutomationError
from orchestration.automation_runs import Automating, Ran
from orchestration.automation_source import Source
from orchestration.automations_file import Configured, configured, named
from orchestration.pass_commands import working
from orchestration.resources import Platform, build_platform
from orchestration.state import utc_now
from orchestration.syncing import Syncing

automation = typer.Typer(no_args_is_help=True)
coupons = typer.Typer(no_args_is_help=True)
automation.add_typer(coupons, name="coupons", help="Codes that were uploaded, for automations that give them out.")
console = Console(soft_wrap=True, highlight=False)

Which = Annotated[str, typer.Argument(help="An automation that automations.yml names.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object, for machines.")]


@automation.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every automation, how far it has read, and what came of the changes of membership."""
    platform = build_platform()
    found = [_listed(platform, each) for each in configured(platform)]
    if as_json:
        typer.echo(json.dumps({"automations": found}))
        return
    if not found:
        console.print(f"There is no automation: write {platform.settings.automations_file} (docs/automations.md).")
        return
    table = Table("automation", "when", "destination", "state", "told", "to tell", "not told", box=None)
    for each in found:
        what = f"{each['when']} {each['audience']}"
        others = ", ".join(f"{count:,} {reason}" for reason, count in each["cancelled"].items()) or "-"
        waiting = f"{each['open'] + each['waiting']:,}"
        table.add_row(
            each["automation"], what, each["destination"], each["state"], f"{each['told']:,}", waiting, others
        )
    console.print(table)


@automation.command("show")
def show(
    name: Which,
    limit: Annotated[int, typer.Option(help="How many occurrences to print.", min=1)] = 20,
    as_json: AsJson = False,
) -> None:
    """The newest occurrences of an automation with what became of each, and the destination's words where it took one not."""
    platform = build_platform()
    each = named(configured(platform), name)
    listed = _listed(platform, each)
    newest = platform.state.automations.newest(name, limit)
    problems = platform.state.syncs.problems(each.name, limit)
    rows = [
        {
            "occurrence": one.occurrence,
            "customer_id": one.customer_id,
            "changed_at": f"{one.changed_at:%Y-%m-%d %H:%M}",
            "status": one.status,
            "reason": one.reason,
            "has_coupon": one.coupon is not None,
            "ended_at": f"{one.ended_at:%Y-%m-%d %H:%M}" if one.ended_at else None,
        }
        for one in newest
    ]
    if as_json:
        said = [{key: str(line[key]) for key in ("record_key", "status", "words")} for line in problems]
        typer.echo(json.dumps({**listed, "occurrences": rows, "problems": said}))
        return
    console.print(
        f"{name}: {listed['told']:,} told, {listed['open']:,} to tell, {listed['waiting']:,} wait for a coupon."
    )
    table = Table("customer", "changed at", "status", "reason", "coupon", "ended at", box=None)
    for row in rows:
        coupon = "yes" if row["has_coupon"] else "-"
        given = (row["customer_id"], row["changed_at"], row["status"], row["reason"], coupon, row["ended_at"])
        table.add_row(*(str(value) if value is not None else "-" for value in given))
    console.print(table)
    for line in problems:
        console.print(f"  {line['record_key']}  {line['status']}: {line['words'] or 'no reason given'}", markup=False)


@automation.command("dry-run")
def dry_run(name: Which) -> None:
    """What a run would find, by outcome, with a sample of customer ids. Writes and tells nothing."""
    platform = build_platform()
    noticed = Automating(platform, Syncing(platform)).look(named(configured(platform), name))
    if noticed.problem:
        raise AutomationError(noticed.problem)
    if noticed.is_first and not noticed.occurrences:
        console.print(f"{name} has never run: it begins with the changes after this build.")
        return
    console.print(f"{name}: {noticed.changes:,} changes to look at; {_counted(noticed.counts())}.")
    for one in [one for one in noticed.occurrences if one.reason is None][:5]:
        console.print(f"  {one.customer_id}  at {one.changed_at:%Y-%m-%d %H:%M}", markup=False)


@automation.command("run")
def run_(name: Annotated[str | None, typer.Argument(help="One of them; without it all.")] = None) -> None:
    """Notice what changed and tell it, now. Exits with 2 where one failed."""
    platform = build_platform()
    found = configured(platform)
    chosen = [named(found, name)] if name else found
    automating = Automating(platform, Syncing(platform))
    ran: list[Ran] = []
    with working("Telling"):
        for destination in dict.fromkeys(each.destination.name for each in chosen):
            ran += automating.run_destination([each for each in chosen if each.destination.name == destination])
    for each in ran:
        console.print(each.sentence(), style="red" if each.is_failed else None, markup=False)
    if any(each.is_failed for each in ran):
        raise typer.Exit(2)


@automation.command("retry")
def retry(name: Which) -> None:
    """Let what the destination refused be tried again by the next run, with the same coupons."""
    platform = build_platform()
    each = named(configured(platform), name)
    with Syncing(platform).alone(each.destination.name):
        count = platform.state.syncs.retry(each.name, utc_now())
    console.print(f"{count:,} occurrences of {name} are tried again by the next run.")


@automation.command("restart")
def restart(name: Which) -> None:
    """Let an automation go on from the served build as it stands: what changed before is nobody's coming or going any more."""
    platform = build_platform()
    each = named(configured(platform), name)
    with Syncing(platform).alone(each.destination.name), platform.warehouse.open_served() as served:
        newest = Source(served).newest_change()
        platform.state.automations.restart(name, newest, utc_now())
    console.print(f"{name} goes on after change {newest:,}.")


@coupons.command("load")
def load(
    pool: Annotated[str, typer.Argument(help="Name of the pool, as `coupon: {pool: NAME}` says it.")],
    file: Annotated[Path, typer.Argument(help="A text file with one code on each line.")],
) -> None:
    """Add codes to a pool. What it holds already, given or not, stays as it is; so a file may be loaded twice."""
    try:
        with file.open(encoding="utf-8", errors="strict") as lines:
            codes = codes_of(lines)
    except (OSError, UnicodeDecodeError) as error:
        raise AutomationError(f"{file} cannot be read ({type(error).__name__}); nothing was loaded.") from None
    added = build_platform().state.automations.load(pool, codes, utc_now())
    console.print(f"{added:,} new codes in {pool}, {len(codes) - added:,} were there before.")


@coupons.command("list")
def pools() -> None:
    """Every pool: how many codes are left, how many were given."""
    table = Table("pool", "left", "given", box=None)
    for pool, (left, given) in build_platform().state.automations.pools().items():
        table.add_row(pool, f"{left:,}", f"{given:,}")
    console.print(table)


def _listed(platform: Platform, each: Configured) -> dict[str, Any]:
    records, name = platform.state.automations, each.automation.name
    counts = records.counts(name)
    by_status = {status: sum(count for (one, _), count in counts.items() if one == status) for status in _STATUSES}
    cancelled = {
        reason or "": count for (status, reason), count in sorted(counts.items(), key=str) if status == "cancelled"
    }
    cursor = records.cursor(name)
    state = "off" if not each.automation.enabled else "never ran" if cursor is None else f"read to {cursor:,}"
    return {
        "automation": name,
        "when": each.automation.when,
        "audience": each.audience.name,
        "destination": each.destination.name,
        "state": state,
        **by_status,
        "cancelled": cancelled,
    }


_STATUSES = ("told", "open", "waiting")


def _counted(counts: dict[str, int]) -> str:
    names = {"open": "to tell"}
    return ", ".join(f"{count:,} {names.get(status, status)}" for status, count in counts.items()) or "nobody to tell"
