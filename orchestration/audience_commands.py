"""`weft audience …`: what is published, who is in, and the way back."""

from itertools import islice
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from activation.reader import Reader
from activation.rollback import release_audience, rollback_audience, withdraw_audience
from orchestration.publishing import online_store
from orchestration.resources import build_platform
from orchestration.state import utc_now
from orchestration.transform import audience_definitions, prepare_manifest, read_manifest

audiences = typer.Typer(no_args_is_help=True)
console = Console(soft_wrap=True)

Name = Annotated[str, typer.Argument(help="Name of the audience.")]


@audiences.command("list")
def list_() -> None:
    """Every audience with its owner, purpose and newest registered size."""
    platform = build_platform()
    table = Table("audience", "owner", "purpose", "version", "members", box=None)
    prepare_manifest(platform.settings)
    for definition in audience_definitions(read_manifest()):
        newest = platform.state.newest_version(definition.name)
        size = (f"v{newest.version}", f"{newest.member_count:,}") if newest else ("-", "-")
        table.add_row(definition.name, definition.meta["owner"], definition.meta["consent_purpose"], *size)
    console.print(table)


@audiences.command()
def show(name: Name) -> None:
    """What readers see in Redis: version, size, age, and whether it is pinned."""
    with online_store(build_platform().settings) as client:
        published = Reader(client).audience(name, now=utc_now())
        for field, value in vars(published).items():
            console.print(f"{field:<18}{value}")


@audiences.command()
def members(name: Name, limit: Annotated[int, typer.Option(help="How many to print.", min=1)] = 20) -> None:
    """Customer ids in the published audience."""
    with online_store(build_platform().settings) as client:
        for customer_id in islice(Reader(client).members(name), limit):
            console.print(customer_id)


@audiences.command()
def rollback(name: Name, to_version: Annotated[int, typer.Option(help="One of the kept versions.")]) -> None:
    """Point readers at an older version and keep them there until `release`."""
    with online_store(build_platform().settings) as client:
        rollback_audience(client, name, to_version)
    console.print(f"{name} is pinned at v{to_version}; `weft audience release {name}` lets it move again.")


@audiences.command()
def release(name: Name) -> None:
    """Let a pinned audience move to its newest published version again."""
    with online_store(build_platform().settings) as client:
        release_audience(client, name)
    console.print(f"{name} follows its newest version again.")


@audiences.command()
def withdraw(name: Name) -> None:
    """Take an audience whose files were deleted out of Redis, with all its versions."""
    platform = build_platform()
    prepare_manifest(platform.settings)
    if name in {definition.name for definition in audience_definitions(read_manifest())}:
        raise typer.BadParameter(
            f"{name} is still defined and would come back; delete its SQL file and its YAML first."
        )
    with online_store(platform.settings) as client:
        versions = withdraw_audience(client, name)
    console.print(
        f"{name} is out of Redis; {versions} versions went." if versions else f"Redis holds no audience {name}."
    )
