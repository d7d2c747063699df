"""`WEFT_HOME/automations.yml` with what it names: each automation beside its audience and its destination."""

from collections.abc import Sequence
from dataclasses import dataclass

from activation.automations.definitions import Automation, AutomationError, load_automations
from activation.destinations.config import DestinationConfig
from orchestration.audience_catalogue import Audience, audiences
from orchestration.consent_purposes import PURPOSES
from orchestration.destinations_file import AUTOMATION, load_destinations
from orchestration.resources import Platform
from orchestration.transform import prepare_manifest


@dataclass(frozen=True)
class Configured:
    """One automation with its audience and its destination."""

    automation: Automation
    audience: Audience
    destination: DestinationConfig

    @property
    def name(self) -> str:
        """The name of its ledger, and of its runs."""
        return f"{AUTOMATION}.{self.automation.name}"


def configured(platform: Platform) -> list[Configured]:
    """Every automation of automations.yml. Raises AutomationError with a sentence for each mistake, DestinationError."""
    path = platform.settings.automations_file
    if not path.exists():
        return []
    destinations = {each.name: each for each in load_destinations(platform.settings)}
    prepare_manifest(platform.settings)
    catalogue = {each.name: each for each in audiences(platform.state)}
    types = {name: each.type for name, each in destinations.items()}
    found = load_automations(path, audiences=catalogue, destinations=types)
    if unknown := [each for each in found if each.purpose not in (None, *PURPOSES)]:
        raise AutomationError(
            f"{path.name}: {unknown[0].name}: there is no purpose {unknown[0].purpose}; use {', '.join(PURPOSES)}."
        )
    return [Configured(each, catalogue[each.audience], destinations[each.destination]) for each in found]


def named(found: Sequence[Configured], name: str) -> Configured:
    """One of them. Raises AutomationError where there is none of that name."""
    chosen = [each for each in found if each.automation.name == name]
    if not chosen:
        known = ", ".join(each.automation.name for each in found) or "none; see docs/automations.md"
        raise AutomationError(f"automations.yml has no automation '{name}'; it has {known}.")
    return chosen[0]
