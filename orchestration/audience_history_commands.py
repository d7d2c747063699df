"""`weft audience history|overlaps|why`: who came and went, who is in two audiences, and why somebody is in one or not."""

import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from orchestration.audience_catalogue import audiences
from orchestration.audience_explaining import explain_audiences, find_customer, lines
from orchestration.audience_history import changes_of, find_audience, overlaps_of, stale_because
from orchestration.audience_standing import clauses_of, gate_of, standing_of
from orchestration.resources import Platform, build_platform
from orchestration.state import utc_now
from orchestration.transform import prepare_manifest

console = Console(soft_wrap=True, highlight=False)

Customer = Annotated[str, typer.Argument(help="A customer id, or type:value such as email:anna@example.com.")]
AsJson = Annotated[bool, typer.Option("--json", help="For machines.")]


def history(
    name: Annotated[str, typer.Argument(help="Name of the audience.")],
    customer: Annotated[str | None, typer.Option(help="Only this customer: an id, or type:value.")] = None,
    limit: Annotated[int, typer.Option(help="How many to print.", min=1)] = 20,
) -> None:
    """Who entered and left, the newest first, and why."""
    platform = _prepared()
    find_audience(platform.state, name)
    with platform.warehouse.open_served() as served:
        only = find_customer(served, platform.rules, customer) if customer is not None else None
        rows, notes = changes_of(served, name, only, most=limit), stale_because(served)
    table = Table("nr", "when", "", Column("customer", no_wrap=True), "how", "because", box=None)
    for seq, at, what, customer_id, kind, because in rows:
        table.add_row(str(seq), f"{at:%Y-%m-%d %H:%M}", what, customer_id, kind, Text(because or ""))
    say(*notes)
    if rows:
        console.print(table)
    elif not notes:
        say(f"Nobody was in {name} yet." if only is None else f"Customer {only} never was in {name}.")


def overlaps(
    name: Annotated[str | None, typer.Argument(help="Only with this audience.")] = None,
) -> None:
    """How many customers are in two audiences at once."""
    platform = _prepared()
    if name is not None:
        find_audience(platform.state, name)
    with platform.warehouse.open_served() as served:
        rows, notes = overlaps_of(served, name), stale_because(served)
    table = Table("audience", "other", "in both", "of the one", "of the other", box=None)
    for one, other, count, share, share_of_other in rows:
        table.add_row(one, other, f"{count:,}", f"{share:.1%}", f"{share_of_other:.1%}")
    say(*notes)
    if rows:
        console.print(table)
    elif not notes:
        say("No customer is in two audiences." if name is None else f"No customer of {name} is in another audience.")


def why(
    customer: Customer,
    audience: Annotated[str | None, typer.Argument(help="Default: all.")] = None,
    as_json: AsJson = False,
) -> None:
    """In which audiences somebody is, since when and why; when they left; what keeps them from being published."""
    platform = _prepared()
    wanted = audiences(platform.state) if audience is None else [find_audience(platform.state, audience)]
    with platform.warehouse.open_served() as served:
        customer_id = find_customer(served, platform.rules, customer)
        found = explain_audiences(
            served,
            customer_id,
            wanted,
            withheld=gate_of(served, platform.state),
            publication=lambda each: standing_of(platform.state, each.name).sentence(utc_now()),
            clauses=clauses_of(served, platform.state),
        )
        notes = stale_because(served)
    if as_json:
        print_json(asdict(found))
        return
    say(*notes, *lines(found, is_about_one=audience is not None))


COMMANDS: tuple[Callable[..., None], ...] = (history, overlaps, why)


def say(*sentences: str) -> None:
    """Sentences as they are, whatever characters a reason has."""
    for sentence in sentences:
        console.print(sentence, markup=False)


def print_json(content: Any) -> None:
    """For machines, on one line; instants in ISO, UTC."""
    typer.echo(json.dumps(content, default=_iso, ensure_ascii=False))


def _iso(value: object) -> str:
    assert isinstance(value, datetime)
    return f"{value.isoformat()}Z"


def _prepared() -> Platform:
    platform = build_platform()
    prepare_manifest(platform.settings)
    return platform
