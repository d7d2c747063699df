"""What an adapter is handed, so that it needs neither the environment nor the network's rules."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from activation.destinations.config import DestinationConfig
from activation.syncs.clock import Clock
from activation.syncs.contract import Destination, Export


@dataclass(frozen=True)
class Tools:
    """What one sync's adapter works with.

    `client_for(base_url)` calls checked addresses only, follows no redirect and keeps the destination's rate; raises
    DestinationMisconfiguredError where the address may not be called. The engine closes what it gave. `secret(name)` is the value
    of an environment variable; raises DestinationMisconfiguredError where it is not set. `folder` is where exports go.
    """

    audience: str
    client_for: Callable[[str], httpx.Client]
    secret: Callable[[str], str]
    folder: Path
    clock: Clock = field(default_factory=Clock)


@dataclass(frozen=True)
class Kind:
    """A type of destination: its part of destinations.yml, and how its adapter is made. `open` sends nothing that changes anything."""

    config_model: type[DestinationConfig]
    open: Callable[[Any, Tools], Destination | Export]
