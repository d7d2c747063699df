"""`weft keys …`: who may send events to the collector, as what source, and who may ask the API."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from orchestration.resources import build_platform
from orchestration.state import utc_now

keys = typer.Typer(no_args_is_help=True)
console = Console(soft_wrap=True, highlight=False)


@keys.command()
def create(
    source: Annotated[
        str, typer.Option(help="The source that its events get, such as web; or who asks the API with it.")
    ],
    scope: Annotated[
        list[str] | None,
        typer.Option(
            help="events, upload, read:profiles, read:audiences, read:predictions, write:audiences; may be repeated."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Events per second that it may send.", min=1)] = None,
    name: Annotated[str, typer.Option(help="What it is for; default: the source.")] = "",
) -> None:
    """Make a key and show it, once: only its hash is kept. Without --scope it may send events."""
    state = build_platform().state
    key, made = state.keys.create(
        source=source, name=name, scopes=scope or ["events"], limit_per_second=limit, now=utc_now()
    )
    typer.echo(key)
    err = Console(stderr=True, soft_wrap=True, highlight=False)
    err.print(f"Key {made.id} of source {made.source}. Keep it now, it is not shown again.", markup=False)


@keys.command("list")
def list_() -> None:
    """Every key by its id: source, scopes, limit, and since when it holds."""
    table = Table(Column("id", no_wrap=True), "name", "source", "scopes", "limit/s", "created", "revoked", box=None)
    for key in build_platform().state.keys.list():
        limit = f"{key.limit_per_second:,}" if key.limit_per_second else "-"
        instants = (str(at)[:16] if at else "-" for at in (key.created_at, key.revoked_at))
        table.add_row(key.id, key.name, key.source, " ".join(sorted(key.scopes)), limit, *instants)
    console.print(table if table.row_count else "There is no key yet: type `weft keys create --source NAME`.")


@keys.command()
def revoke(
    key: Annotated[str, typer.Argument(metavar="ID", help="An id that `weft keys list` shows, or its beginning.")],
) -> None:
    """Refuse a key from now on; collectors notice within five seconds."""
    revoked = build_platform().state.keys.revoke(key, now=utc_now())
    console.print(f"Key {revoked.id} of source {revoked.source} is refused from now on.", markup=False)
