"""What adapters are handed: clients that keep the rules of outbound.py and the destination's rate, and secrets by name."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

import activation.destinations
from activation.destinations import KINDS, Tools
from activation.destinations.config import DestinationConfig
from activation.syncs.clock import Clock
from activation.syncs.contract import Destination, DestinationMisconfiguredError, Export
from activation.syncs.pacing import Pacer
from orchestration.errors import PrivateAddressError
from orchestration.outbound import CheckedTransport, outbound_client
from orchestration.settings import Settings, secret_variable

_SAYS_NOTHING_OF_RECORDS = {
    "rate_per_second", "every", "budget_seconds", "audiences", "purposes", "allow_private_address", "secrets",
}  # fmt: skip


class _Transport(CheckedTransport):
    """A private address is a mistake of destinations.yml; every request waits for its turn."""

    def __init__(self, config: DestinationConfig, pacer: Pacer) -> None:
        super().__init__(allow_private=config.allow_private_address)
        self._name, self._pacer = config.name, pacer

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request, in its turn."""
        self._pacer.wait()
        try:
            return super().handle_request(request)
        except PrivateAddressError:
            raise DestinationMisconfiguredError(
                f"{self._name} leads to a private address; set allow_private_address in destinations.yml if you want that."
            ) from None


@contextmanager
def opened(
    settings: Settings, config: DestinationConfig, audience: str, *, clock: Clock, pacer: Pacer
) -> Iterator[Destination | Export]:
    """A sync's adapter, and the end of its connections. Raises DestinationMisconfiguredError where a secret or address is wrong."""
    with ExitStack() as clients:

        def client_for(base_url: str) -> httpx.Client:
            if base_url.startswith("http:") and not config.allow_private_address:
                raise DestinationMisconfiguredError(
                    f"{config.name}: what is sent would travel unencrypted; write https."
                )
            transport = _Transport(config, pacer)
            client = outbound_client(base_url, allow_private=config.allow_private_address, transport=transport)
            return clients.enter_context(client)

        tools = Tools(audience, client_for, secret, settings.exports / config.name, clock)
        yield KINDS[config.type].open(config, tools)


def secret(variable: str) -> str:
    """The value of an environment variable that destinations.yml names. Raises DestinationMisconfiguredError."""
    value = (secret_variable(variable) or "").strip()
    if not value or not value.isascii() or not value.isprintable():
        raise DestinationMisconfiguredError(
            f"The environment variable {variable} that destinations.yml names is not set, or is no secret."
        )
    return value


def code_of(config: DestinationConfig) -> str:
    """Hash of all that records are made by: the destination's configuration and the adapters' own code, since an upgrade may change it."""
    digest = hashlib.sha256(json.dumps(config.model_dump(mode="json", exclude=_SAYS_NOTHING_OF_RECORDS)).encode())
    for file in sorted(Path(activation.destinations.__path__[0]).glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()
