"""Slack by an incoming webhook: as a sync one summary for each batch of changes, in automations one message for each customer."""

from typing import Annotated, Literal

import httpx
from pydantic import Field

from activation.destinations.calls import ask, raise_for_status
from activation.destinations.channel import Channel
from activation.destinations.config import SecretReference
from activation.destinations.messages import MessageConfig, cut, filled, slack_text
from activation.destinations.tools import Tools
from activation.syncs.clock import Clock
from activation.syncs.contract import Change, DestinationMisconfiguredError, Outcome

LONGEST_MESSAGE = 3000
"""Of a block of text."""
_REFUSED = frozenset({b"invalid_payload", b"no_text", b"invalid_blocks", b"invalid_blocks_format", b"msg_too_long"})


class SlackConfig(MessageConfig):
    """`url`: the webhook's URL, which is a secret: who has it can post."""

    type: Literal["slack"]
    url: SecretReference
    rate_per_second: Annotated[float, Field(gt=0, le=1)] = 1.0


def open_slack(config: SlackConfig, tools: Tools) -> "Slack":
    """The adapter. Raises DestinationMisconfiguredError without a usable URL."""
    client = tools.client_for(tools.secret(config.url.env))
    return Slack(config, client, audience=tools.audience, clock=tools.clock)


class Slack(Channel):
    """The adapter; see the module. Slack knows no key of idempotency: what it took without telling is posted again."""

    def __init__(self, config: SlackConfig, client: httpx.Client, *, audience: str, clock: Clock) -> None:
        super().__init__(audience)
        self._config, self._client, self._clock = config, client, clock

    def _fill(self, template: str, change: Change) -> str:
        return filled(slack_text(template), change.payload, slack_text)

    def _post(self, text: str) -> Outcome:
        text = cut(text, LONGEST_MESSAGE)
        # plain text is not looked through for formatting, links or mentions; `text` is what a notification shows
        block = {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}}
        content = {"text": text, "blocks": [block], "mrkdwn": False, "link_names": False, "unfurl_links": False}
        name = self._config.name
        answer = ask(self._client, name, "POST", "", json={**content, "unfurl_media": False})
        if answer.is_success:
            return Outcome("accepted")
        word = answer.body.strip()
        told = word.decode() if word.replace(b"_", b"").isalpha() and len(word) < 60 else ""
        if answer.status == 400 and (word in _REFUSED or not told):
            return Outcome("refused", told or "answered 400")
        if answer.status in (400, 403, 404, 410):
            raise DestinationMisconfiguredError(
                f"{name}: Slack takes no messages ({told or answer.status}); see to the webhook and its channel, and to the variable "
                f"{self._config.url.env}."
            )
        raise_for_status(answer, name, self._clock)
        return Outcome("refused", f"answered {answer.status}")
