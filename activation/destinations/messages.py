"""Messages: a template's placeholders, and values that can neither call anybody nor change the formatting."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import model_validator

from activation.destinations.config import DestinationConfig
from activation.destinations.values import text_value
from activation.syncs.contract import Change, Outcome

PLACEHOLDER = re.compile(r"\{([a-z_][a-z0-9_]{0,62})\}")
LONGEST_VALUE = 200
_SPACE = re.compile(r"[\s\u0000-\u001f\u007f-\u009f]+")
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
"""Characters that hide or turn what stands beside them."""
_DISCORD = re.compile(r"([\\*_~`|>#\-+\[\]()<:.!@])")


class MessageConfig(DestinationConfig):
    """A channel that people read."""

    @model_validator(mode="after")
    def _without_fields(self) -> "MessageConfig":
        if self.fields:
            raise ValueError("a channel takes no fields: a sync posts numbers only, an automation its own message")
        return self


def placeholders(template: str) -> list[str]:
    """The names in a template, once each, in order."""
    return list(dict.fromkeys(PLACEHOLDER.findall(template)))


def filled(template: str, values: Mapping[str, Any], escape: Callable[[str], str]) -> str:
    """The message. Values are cut at LONGEST_VALUE characters and stand on one line; what they hold is not looked at again."""
    return PLACEHOLDER.sub(lambda found: escape(_plain(values.get(found[1]))), template)


def slack_text(text: str) -> str:
    """Slack's three signs of control as entities: no mention and no link can come of it. The rest is shown by blocks of plain text."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def discord_text(text: str) -> str:
    """Every sign that Discord reads as Markdown behind a backslash."""
    return _DISCORD.sub(r"\\\1", text)


def cut(text: str, most: int) -> str:
    """At most so many UTF-16 units, which is how Discord and Slack may count; an ellipsis says that something is left out."""
    if len(text.encode("utf-16-le")) // 2 <= most:
        return text
    shorter = text.encode("utf-16-le")[: 2 * (most - 1)].decode("utf-16-le", "ignore")
    return shorter.rstrip("\\") + "…"


def summary(audience: str, entered: int, left: int) -> str:
    """What a batch of changes says, of nobody by name. An upsert may also be an update."""
    return f"Audience {audience}: {entered:,} entered or changed, {left:,} left."


def posted(
    changes: Sequence[Change],
    audience: str,
    message: str | None,
    fill: Callable[[str, Change], str],
    post: Callable[[str], Outcome],
) -> list[Outcome]:
    """One message a change where there is a template, else one for all of them; a channel cannot be told that somebody left."""
    if message is None:
        left = sum(change.operation == "remove" for change in changes)
        outcome = post(summary(audience, len(changes) - left, left))
        return [outcome] * len(changes)
    return [post(fill(message, each)) if each.operation == "upsert" else Outcome("accepted") for each in changes]


def _plain(value: Any) -> str:
    text = _INVISIBLE.sub("", _SPACE.sub(" ", text_value(value))).strip()
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"
