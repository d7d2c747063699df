"""`weft exclude …`, `weft holdout …`, `weft audience approve|lift`: whom nobody publishes, who is left alone, and what came of it."""

import getpass
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from orchestration.audience_catalogue import audiences as catalogue
from orchestration.errors import GateError
from orchestration.exclusions import CUSTOMER_ID, EVERYWHERE, Kind, Named
from orchestration.guards import approve
from orchestration.holdouts import EVERYBODY
from orchestration.registering import register_again
from orchestration.resources import Platform, build_platform
from orchestration.state import utc_now
from orchestration.transform import prepare_manifest
from orchestration.typed_identifiers import parse_all

exclude = typer.Typer(no_args_is_help=True)
holdout = typer.Typer(no_args_is_help=True)
console = Console(soft_wrap=True)

Who = Annotated[
    list[str],
    typer.Argument(help="customer_id:ID, or an identifier such as email:anna@example.com; @FILE holds one a line."),
]
Audience = Annotated[str | None, typer.Option(help="Of this audience only.")]
Destination = Annotated[str | None, typer.Option(help="Of this destination only.")]
Note = Annotated[str, typer.Option(help="Why; it is kept with who and when.")]


@exclude.command("add")
def add(who: Who, note: Note = "", audience: Audience = None, destination: Destination = None) -> None:
    """Put people on an exclusion list: from the next publication on, within a minute, nobody publishes or syncs them there."""
    platform = build_platform()
    where, names = _list(platform, audience, destination), _named(platform, who)
    added = platform.state.exclusions.add(names, where=where, note=note, made_by=getpass.getuser(), now=utc_now())
    console.print(f"{added} of {len(names)} are new on the list ({' '.join(filter(None, where))}).")


@exclude.command("remove")
def remove(who: Who, audience: Audience = None, destination: Destination = None) -> None:
    """Take people off an exclusion list."""
    platform = build_platform()
    where, names = _list(platform, audience, destination), _named(platform, who)
    removed = platform.state.exclusions.remove(names, where=where, by=getpass.getuser(), now=utc_now())
    console.print(f"{removed} of {len(names)} were on the list ({' '.join(filter(None, where))}) and are no longer.")


@exclude.command("list")
def list_exclusions(
    withdrawn: Annotated[bool, typer.Option("--withdrawn", help="Also those that were taken off.")] = False,
) -> None:
    """Who is on which list, since when, by whom and why. Shows identifiers as they were given."""
    table = Table("who", "list", "since", "by", "why", box=None)
    for each in build_platform().state.exclusions.list(with_withdrawn=withdrawn):
        gone = f" (until {each.withdrawn_at:%Y-%m-%d %H:%M} by {each.withdrawn_by})" if each.withdrawn_at else ""
        who = f"{each.identifier_type}:{each.identifier_value}"
        table.add_row(who, each.where, f"{each.made_at:%Y-%m-%d %H:%M}{gone}", each.made_by, each.note)
    console.print(table if table.row_count else "Nobody is on an exclusion list.", highlight=False)


@holdout.command("set")
def set_holdout(
    percent: Annotated[float, typer.Argument(help="Share of the people to hold out; 0 ends it.", min=0, max=100)],
    audience: Annotated[str | None, typer.Option(help="Of this audience's members; without it, of everybody.")] = None,
    note: Note = "",
) -> None:
    """Hold out a share of an audience, or of everybody: never published, synced or automated. Another share begins a new round."""
    platform = build_platform()
    scope = _audience(platform, audience) if audience else EVERYBODY
    made = platform.state.holdouts.set(
        scope, percent, salt=platform.salt, note=note, made_by=getpass.getuser(), now=utc_now()
    )
    of = audience or "everybody"
    console.print(
        f"{made.percent:g} % of {of} are held out (round {made.round})." if made else f"Nobody of {of} is held out."
    )


@holdout.command("list")
def list_holdouts(ended: Annotated[bool, typer.Option("--ended", help="Also rounds that are over.")] = False) -> None:
    """The holdouts in force."""
    table = Table("of", "percent", "round", "since", "until", "by", "why", box=None)
    for each in build_platform().state.holdouts.list(with_ended=ended):
        until = f"{each.ended_at:%Y-%m-%d %H:%M}" if each.ended_at else ""
        of = "everybody" if each.scope == EVERYBODY else each.scope
        since = f"{each.started_at:%Y-%m-%d %H:%M}"
        table.add_row(of, f"{each.percent:g}", str(each.round), since, until, each.made_by, each.note)
    console.print(table if table.row_count else "Nobody is held out.", highlight=False)


@holdout.command("show")
def show_holdout(
    audience: Annotated[str | None, typer.Option(help="Of this audience; without it, of everybody.")] = None,
) -> None:
    """How many were assigned to which side of a holdout, and how many merged from both sides count for neither."""
    from orchestration.lift import assignment_counts

    platform = build_platform()
    scope = _audience(platform, audience) if audience else EVERYBODY
    [*found] = [each for each in platform.state.holdouts.list() if each.scope == scope]
    if not found:
        raise GateError(f"{audience or 'Everybody'} has no holdout; `weft holdout set PERCENT` makes one.")
    with platform.warehouse.open_served() as served:
        counts = assignment_counts(served, found[0])
    table = Table("side", "people", box=None)
    for side, people in counts.items():
        table.add_row(side, f"{people:,}")
    console.print(table)


def approve_version(
    name: Annotated[str, typer.Argument(help="Name of the audience.")],
    note: Note = "",
) -> None:
    """Let the version that a guard holds back pass, this one only."""
    state = build_platform().state
    version = approve(state, name, by=getpass.getuser(), note=note, now=utc_now())
    register_again(state)
    console.print(f"{name} v{version.version} passes its guards; the sensor publishes it within a minute.")


def lift(
    name: Annotated[str, typer.Argument(help="Name of the audience.")],
    days: Annotated[
        int | None, typer.Option(help="Orders of so many days after entering; all by default.", min=1)
    ] = None,
) -> None:
    """What the audience brought: orders of those who were reached beside those who were held out, with 95 % intervals."""
    # statistics take a second to import, which every command would wait for
    from orchestration.lift import measure_lift

    platform = build_platform()
    _audience(platform, name)
    with platform.warehouse.open_served() as served:
        found = measure_lift(served, platform.state, name, days=days)
    console.print(found.text(), highlight=False)


def _list(platform: Platform, audience: str | None, destination: str | None) -> tuple[Kind, str]:
    if audience and destination:
        raise GateError("A list is of an audience or of a destination, not of both; give one of them.")
    if audience:
        return "audience", _audience(platform, audience)
    return ("destination", destination) if destination else EVERYWHERE


def _audience(platform: Platform, name: str) -> str:
    prepare_manifest(platform.settings)
    names = [each.name for each in catalogue(platform.state)]
    if name not in names:
        raise GateError(f"There is no audience {name}; there are {', '.join(names) or 'none'}.")
    return name


def _named(platform: Platform, who: list[str]) -> list[Named]:
    """Customer ids as they are, identifiers normalised."""
    prefix = f"{CUSTOMER_ID}:"
    ids = [(CUSTOMER_ID, text.removeprefix(prefix).strip()) for text in who if text.startswith(prefix)]
    if any(not value for _, value in ids):
        raise GateError("customer_id: needs an id after the colon.")
    others = [text for text in who if not text.startswith(prefix)]
    return [*ids, *(parse_all(others, platform.rules) if others else ())]
