"""`WEFT_HOME/destinations.yml`: where audiences are sent. Secrets stand in it as `{env: NAME}` only, and no error holds a value of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from pydantic import ValidationError

from activation.destinations import KINDS
from activation.destinations.config import DestinationConfig
from orchestration.audience_catalogue import Audience
from orchestration.consent_purposes import PURPOSES
from orchestration.errors import DestinationError
from orchestration.settings import Settings

AUTOMATION = "automation"
RESERVED = frozenset({"redis", AUTOMATION})
"""Redis is the publication's, automations have a ledger of that name."""


@dataclass(frozen=True)
class Sync:
    """One audience at one destination."""

    audience: Audience
    destination: DestinationConfig

    @property
    def name(self) -> str:
        """What it is called on the command line and in the ledger."""
        return f"{self.destination.name}.{self.audience.name}"


def load_destinations(settings: Settings) -> tuple[DestinationConfig, ...]:
    """All destinations, none where there is no such file. Raises DestinationError with one sentence."""
    path = settings.destinations_file
    if not path.exists():
        return ()
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise DestinationError(f"{path.name} cannot be read ({type(error).__name__}); see docs/syncs.md.") from None
    listed = content.get("destinations") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not all(isinstance(each, dict) for each in listed):
        raise DestinationError(f"{path.name} needs a list `destinations`; see docs/syncs.md.")
    destinations = tuple(_destination(each, path.name) for each in listed)
    names = [destination.name for destination in destinations]
    if twice := [name for name in names if names.count(name) > 1]:
        raise DestinationError(f"{path.name} names the destination {twice[0]} twice.")
    return destinations


def destination_named(settings: Settings, name: str) -> DestinationConfig:
    """One of them. Raises DestinationError where there is none of that name."""
    destinations = load_destinations(settings)
    found = [destination for destination in destinations if destination.name == name]
    if not found:
        known = ", ".join(destination.name for destination in destinations) or "none; see docs/syncs.md"
        raise DestinationError(f"destinations.yml has no destination '{name}'; it has {known}.")
    return found[0]


def syncs_of(destination: DestinationConfig, catalogue: Sequence[Audience]) -> list[Sync]:
    """The audiences that go there: those it lists, and those whose own YAML names it. Raises DestinationError for an unknown one."""
    known = {audience.name: audience for audience in catalogue}
    if missing := [name for name in destination.audiences if name not in known]:
        there_are = ", ".join(sorted(known)) or "none"
        raise DestinationError(f"{destination.name}: there is no audience '{missing[0]}'; there are {there_are}.")
    chosen = {*destination.audiences, *(each.name for each in catalogue if destination.name in named_in(each))}
    return [Sync(known[name], destination) for name in sorted(chosen)]


def named_in(audience: Audience) -> tuple[str, ...]:
    """Destinations that an audience's own YAML names."""
    given = audience.meta.get("destinations") or ()
    return tuple(str(name) for name in given) if isinstance(given, list | tuple) else ()


def _destination(given: dict[str, Any], file: str) -> DestinationConfig:
    named = given["name"] if isinstance(given.get("name"), str) else "a destination"
    kind = KINDS.get(str(given.get("type")))
    if kind is None:
        raise DestinationError(f"{file}: {named} needs a `type`: {', '.join(sorted(KINDS))}.")
    if not given.get("purposes"):
        raise DestinationError(
            f"{file}: {named} needs `purposes`, what customers have to have consented to, such as [advertising]."
        )
    try:
        destination = kind.config_model.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "it"
        why = first["msg"].removeprefix("Value error, ")
        raise DestinationError(f"{file}: {named}: {field}: {why[0].lower()}{why[1:]}.") from None
    if unknown := [purpose for purpose in destination.purposes if purpose not in PURPOSES]:
        raise DestinationError(f"{file}: {named}: there is no purpose '{unknown[0]}'; use {', '.join(PURPOSES)}.")
    if destination.name in RESERVED:
        raise DestinationError(f"{file}: a destination cannot be called {destination.name}; give it another name.")
    return destination
