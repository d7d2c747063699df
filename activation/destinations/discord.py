"""Discord by a webhook: as a sync one summary for each batch of changes, in automations one message for each customer."""

from typing import Annotated, Literal

import httpx
from pydantic import Field

from activation.destinations.calls import Answer, ask, raise_for_status
from activation.destinations.channel import Channel
from activation.destinations.config import SecretReference
from activation.destinations.messages import MessageConfig, cut, discord_text, filled
from activation.destinations.tools import Tools
from activation.syncs.clock import Clock
from activation.syncs.contract import (
    Change,
    DestinationMisconfiguredError,
    DestinationUnavailableError,
    Outcome,
)

LONGEST_MESSAGE = 2000
LONGEST_PAUSE = 10.0
"""Seconds that are waited for the next free place; a longer wait is the engine's to plan."""
NO_EMBEDS = 1 << 2


class DiscordConfig(MessageConfig):
    """`url`: the webhook's URL, which is a secret: who has it can post."""

    type: Literal["discord"]
    url: SecretReference
    rate_per_second: Annotated[float, Field(gt=0, le=2.5)] = 2.0


def open_discord(config: DiscordConfig, tools: Tools) -> "Discord":
    """The adapter. Raises DestinationMisconfiguredError without a usable URL."""
    client = tools.client_for(tools.secret(config.url.env))
    return Discord(config, client, audience=tools.audience, clock=tools.clock)


class Discord(Channel):
    """The adapter; see the module. Discord knows no key of idempotency: what it took without telling is posted again."""

    def __init__(self, config: DiscordConfig, client: httpx.Client, *, audience: str, clock: Clock) -> None:
        super().__init__(audience)
        self._config, self._client, self._clock = config, client, clock
        self._free_at = 0.0

    def _fill(self, template: str, change: Change) -> str:
        return filled(template, change.payload, discord_text)

    def _post(self, text: str) -> Outcome:
        name = self._config.name
        pause = self._free_at - self._clock.now()
        if 0 < pause <= LONGEST_PAUSE:
            self._clock.sleep(pause)
        content = {"content": cut(text, LONGEST_MESSAGE), "allowed_mentions": {"parse": []}, "flags": NO_EMBEDS}
        answer = ask(self._client, name, "POST", "", params={"wait": "true"}, json=content)
        told = answer.content if isinstance(answer.content, dict) else {}
        if answer.headers.get("x-ratelimit-remaining") == "0":
            self._free_at = self._clock.now() + (_seconds(answer.headers.get("x-ratelimit-reset-after")) or 0.0)
        if answer.is_success:
            return Outcome("accepted", remote_id=str(told["id"]) if told.get("id") else None)
        if answer.status == 429:
            raise DestinationUnavailableError(
                f"{name}: Discord wants fewer messages (429).", self._wait(answer), may_be_applied=False
            )
        if answer.status in (401, 403, 404):
            raise DestinationMisconfiguredError(
                f"{name}: Discord does not know this webhook ({told.get('code', answer.status)}); see to the variable "
                f"{self._config.url.env}."
            )
        raise_for_status(answer, name, self._clock)
        return Outcome("refused", f"answered {answer.status} ({told.get('code', 'no code')})")

    def _wait(self, answer: Answer) -> float | None:
        """The longest that it asks for: the body is exact, the header is whole seconds and all that a proxy in front sends."""
        told = answer.content.get("retry_after") if isinstance(answer.content, dict) else None
        asked = [wait for wait in (_seconds(told), answer.retry_after(self._clock.now())) if wait is not None]
        return max(asked, default=None)


def _seconds(value: object) -> float | None:
    try:
        seconds = float(value) if isinstance(value, str | int | float) else -1.0
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None
