"""`weft audience preview|save|rules|export|delete`: audiences that are JSON rules (docs/audience-rules.md)."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from activation.rules import read_json
from ingestion.file_errors import FileError
from orchestration.audience_catalogue import audiences
from orchestration.errors import NothingServedError
from orchestration.resources import Platform, build_platform
from orchestration.rule_audiences import Preview
from orchestration.rule_author import RuleAuthor
from orchestration.rule_definitions import read_definition_file
from orchestration.rule_export import export_rule, write_export
from orchestration.transform import prepare_manifest
from orchestration.warehouse import tables_of

console = Console(soft_wrap=True, highlight=False)

Name = Annotated[str, typer.Argument(help="Name of the audience: small letters, digits and _.")]
File = Annotated[Path, typer.Argument(help="A JSON file: a rule, or a whole definition with its rule.")]


def preview(file: File) -> None:
    """How many customers a rule would give on the newest build, and some of their ids. Keeps nothing."""
    given = read_json(_content(file))
    rule = given["rule"] if isinstance(given, dict) and "rule" in given else given
    _print(RuleAuthor(build_platform()).preview(rule))


def save(
    name: Name,
    file: File,
    *,
    owner: Annotated[str | None, typer.Option(help="Who answers for it.")] = None,
    purpose: Annotated[
        str | None,
        typer.Option(help="Of consent: analytics, personalisation, advertising, sharing; or none, with a legal basis."),
    ] = None,
    legal_basis: Annotated[
        str | None, typer.Option(help="Why nobody has to be asked, where the purpose is none.")
    ] = None,
    destination: Annotated[
        list[str] | None, typer.Option(help="Where it goes, such as redis; may be repeated.")
    ] = None,
    description: Annotated[str | None, typer.Option(help="Who is in, in a sentence.")] = None,
    max_share: Annotated[float | None, typer.Option(help="Guard: the largest share of all customers.")] = None,
) -> None:
    """Keep a rule as an audience, after a preview; the next run builds and publishes it."""
    said: dict[str, Any] = {
        "owner": owner,
        "consent_purpose": purpose,
        "legal_basis": legal_basis,
        "destinations": destination,
        "description": description,
        "guards": None if max_share is None else {"max_share": max_share},
    }
    definition = read_definition_file(
        _content(file), name, {key: each for key, each in said.items() if each is not None}
    )
    author = RuleAuthor(build_platform())
    found = author.preview(definition.rule)
    saved = author.save(definition, by="command line")
    _print(found)
    console.print(f"{name} is saved as revision {saved.revision}; the next run builds and publishes it.")


def rules() -> None:
    """Every audience that is a rule, with its revision and what became of it in the newest build."""
    platform = _prepared()
    kinds = {each.name: each.kind for each in audiences(platform.state)}
    built = _built(platform)
    table = Table("audience", "revision", "owner", "purpose", "saved", "members", "", box=None)
    for rule in platform.state.rules.current():
        revision, members, problem = built.get(rule.name, (None, None, None))
        note = problem or ("" if revision == rule.revision else "waits for the next run")
        note = "the SQL file of this name is the audience" if kinds[rule.name] == "sql" else note
        shown = "-" if members is None else f"{members:,}"
        said = (
            rule.name,
            str(rule.revision),
            rule.owner,
            rule.consent_purpose,
            f"{rule.saved_at:%Y-%m-%d %H:%M}",
            shown,
            note,
        )
        table.add_row(*map(Text, said))
    console.print(table if table.row_count else "There is no rule yet: type `weft audience save NAME FILE.json`.")


def export(
    name: Name,
    to: Annotated[Path, typer.Option(help="A folder; dbt_project/models/audiences makes it the audience.")] = Path("."),
) -> None:
    """Write a rule as the SQL file and the YAML of an audience, for review in git."""
    platform = _prepared()
    with platform.warehouse.open_served() as served:
        exported = export_rule(served, platform.state, name)
    for path in write_export(exported, name, to):
        console.print(f"{path}")


def delete(name: Name) -> None:
    """Take a rule out of force and out of Redis; its revisions stay in the operator state."""
    versions = RuleAuthor(build_platform()).delete(name, by="command line")
    if versions is None:
        console.print(
            f"{name} is deleted, but Redis does not answer: type `weft audience withdraw {name}` when it does."
        )
        return
    console.print(f"{name} is deleted" + (f", and {versions} versions of it left Redis." if versions else "."))


COMMANDS: tuple[Callable[..., None], ...] = (preview, save, rules, export, delete)


def _print(found: Preview) -> None:
    console.print(f"{found.size:,} customers, {found.share:.1%} of all, as of {found.as_of:%Y-%m-%d %H:%M}.")
    for customer_id in found.sample:
        console.print(f"  {customer_id}", markup=False)


def _content(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise FileError(f"{file} cannot be read ({error.strerror}); name a JSON file.") from None


def _prepared() -> Platform:
    platform = build_platform()
    prepare_manifest(platform.settings)
    return platform


def _built(platform: Platform) -> dict[str, tuple[int, int, str | None]]:
    """Revision, members and problem of each rule in the build that readers see; empty where nothing is served."""
    with suppress(NothingServedError), platform.warehouse.open_served() as served:
        if "rule_builds" in tables_of(served, "audiences"):
            rows = served.rows("select audience, revision, member_count, problem from audiences.rule_builds")
            return {name: (revision, members, problem) for name, revision, members, problem in rows}
    return {}
