"""`weft audience …`: what is published, who is in, and the way back."""

from contextlib import suppress
from dataclasses import asdict
from itertools import islice
from typing import Annotated

import typer
from rich.console import Console

from activation.errors import NotPublishedError
from activation.reader import Reader
from activation.rollback import release_audience, rollback_audience, withdraw_audience
from orchestration.audience_catalogue import Audience
from orchestration.audience_catalogue import audiences as catalogue
from orchestration.audience_history import Summary, defined_sizes, newest_sizes, overlaps_of, stale_because, summaries
from orchestration.audience_history_commands import COMMANDS, AsJson, print_json, say
from orchestration.audience_standing import standing_of
from orchestration.errors import GateError, NothingServedError
from orchestration.gate import REASONS, REDIS, gate, opened_gate
from orchestration.guards import held_version
from orchestration.publishable import Publisher
from orchestration.publishing import online_store
from orchestration.resources import Platform, build_platform
from orchestration.rule_commands import COMMANDS as RULE_COMMANDS
from orchestration.state import utc_now
from orchestration.transform import audience_definitions, prepare_manifest, read_manifest

audiences = typer.Typer(no_args_is_help=True)
console = Console(soft_wrap=True)
for command in (*COMMANDS, *RULE_COMMANDS):
    audiences.command()(command)

Name = Annotated[str, typer.Argument(help="Name of the audience.")]


@audiences.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every audience: who answers for it, who is in by its definition, and the newest version made of them."""
    platform = build_platform()
    prepare_manifest(platform.settings)
    found = summaries_now(platform)
    if as_json:
        print_json([asdict(each) for each in found])
        return
    width = max((len(each.audience) for each in found), default=0)
    for each in found:
        members = "not built" if each.members is None else f"{each.members:,} members"
        say(f"{each.audience:<{width}}  {members:>16}  {each.standing.sentence(utc_now())}")
        say(
            f"{'':<{width}}  {each.kind} of {each.owner}, for {each.consent_purpose}, to {', '.join(each.destinations) or 'nowhere'}"
        )


@audiences.command()
def show(name: Name) -> None:
    """The definition and who is in by it; then what readers see in Redis: version, size, age, and whether it is pinned."""
    platform = build_platform()
    prepare_manifest(platform.settings)
    defined = next((each for each in catalogue(platform.state) if each.name == name), None)
    if defined is not None:
        _show_definition(platform, defined)
    with online_store(platform.settings) as client:
        try:
            published = Reader(client).audience(name, now=utc_now())
        except NotPublishedError as error:
            if defined is None:
                raise
            say(str(error))
            return
        for field, value in vars(published).items():
            console.print(f"{field:<18}{value}")


def _show_definition(platform: Platform, defined: Audience) -> None:
    said = {"kind": defined.kind, "description": defined.description, **defined.meta}
    for field, value in said.items():
        say(f"{field:<18}{', '.join(map(str, value)) if isinstance(value, list) else value}")
    say(f"{'standing':<18}{standing_of(platform.state, defined.name).sentence(utc_now())}")
    with suppress(NothingServedError), platform.warehouse.open_served() as served:
        passing = gate(served, platform.state, defined, destination=REDIS)
        say(f"{'may be published':<18}{len(passing.members):,}")
        for reason, count in passing.withheld.items():
            say(f"{'':<18}{count:,} withheld: {REASONS[reason]}")
        if held := held_version(platform.state, defined.name):
            say(
                f"{'held back':<18}v{held.version}: {held.sentence} `weft audience approve {defined.name}` lets it pass."
            )
        for members in defined_sizes(served, [defined]).values():
            say(f"{'members':<18}{members:,} by the definition, before consent, exclusions and holdouts")
        say(*stale_because(served))
        for as_of, entered, left, after in newest_sizes(served, defined.name, most=3):
            say(f"{'':<18}{as_of:%Y-%m-%d %H:%M}: {entered:,} entered, {left:,} left, {after:,} in")
        for _, other, count, share, _ in overlaps_of(served, defined.name)[:3]:
            say(f"{'':<18}{count:,} of them ({share:.1%}) are in {other} too")


def summaries_now(platform: Platform) -> list[Summary]:
    """Every audience as it stands; members are unknown where no build is served yet."""
    try:
        with platform.warehouse.open_served() as served:
            return summaries(served, platform.state)
    except NothingServedError:
        return summaries(None, platform.state)


@audiences.command()
def members(name: Name, limit: Annotated[int, typer.Option(help="How many to print.", min=1)] = 20) -> None:
    """Customer ids in the published audience."""
    with online_store(build_platform().settings) as client:
        for customer_id in islice(Reader(client).members(name), limit):
            console.print(customer_id)


@audiences.command()
def rollback(name: Name, to_version: Annotated[int, typer.Option(help="One of the kept versions.")]) -> None:
    """Point readers at an older version and keep them there until `release`, unless people in it may no longer be published."""
    platform = build_platform()
    prepare_manifest(platform.settings)
    defined = next((each for each in catalogue(platform.state) if each.name == name), None)
    with online_store(platform.settings) as client:
        rollback_audience(client, name, to_version)
        if defined is not None:
            with platform.warehouse.open_served() as served, opened_gate(served, platform.state) as gate:
                refused = Publisher(served, platform.state, gate, client).unpinned(defined)
            if refused:
                raise GateError(f"{name} cannot go back to v{to_version}{refused}.")
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
