"""Confirm what a newer build left unchanged: its age moves on, and so does the instant at which its keys expire."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

import redis

from activation import confirmation_scripts as scripts
from activation import keys
from activation.published_values import check_numbers, instant_text, text
from activation.session import publishing

Answer = Literal["confirmed", "stale", "missing"]
"""stale: Redis holds a newer version or a newer confirmation; missing: it does not hold this version whole, publish it again."""


@dataclass(frozen=True, kw_only=True)
class Unchanged:
    """A published version (of an audience, where it has a `name`, else of the profiles) that a newer build left as it is.

    `build` is the number it was published with. `expires_after`: its keys go when nothing was confirmed for so long."""

    name: str | None
    version: int
    build: int
    expires_after: timedelta | None = None


def confirm(
    client: redis.Redis,
    unchanged: Sequence[Unchanged],
    *,
    confirmation: int,
    as_of: datetime,
    confirmed_at: datetime,
) -> list[Answer]:
    """Write into each version's manifest that it holds as of `as_of` too (naive UTC), one atomic step per audience.

    `confirmation` is the number of the build that was looked at: a lower one than Redis knows changes nothing, so a
    confirmation that fell asleep cannot win. The life time is given to all keys of the audience, also where only it
    changed. Repeating a call is harmless. Raises PublicationError when Redis fails; what was confirmed before stays."""
    check_numbers(confirmation=confirmation)
    fields = {
        "confirmed_as_of": instant_text(as_of),
        "confirmed_at": instant_text(confirmed_at),
        "confirmation": str(confirmation),
    }
    answers: list[Answer] = []
    with publishing(client, "confirmations") as session:
        for each in unchanged:
            numbers = [str(each.version), str(each.build), str(confirmation)]
            if each.name is None:
                script, key, given = scripts.CONFIRM_PROFILES, keys.PROFILES_MANIFEST, fields
            else:
                script, key = scripts.CONFIRM_AUDIENCE, keys.audience_prefix(each.name)
                given = fields | life_time(each.expires_after)
                numbers.append(given.get("expires_after", ""))
            pairs = [part for field in given.items() for part in field]
            answer = text(session.redis.eval(script, 1, key, *numbers, *pairs))
            assert answer in ("confirmed", "stale", "missing")
            answers.append(answer)  # type: ignore[arg-type]
    return answers


def life_time(expires_after: timedelta | None) -> dict[str, str]:
    """The manifest's field for a life time, in whole seconds; none where keys stay. Raises ValueError below a second."""
    if expires_after is None:
        return {}
    seconds = int(expires_after.total_seconds())
    if seconds < 1:
        raise ValueError(f"expires_after is {expires_after}; keys live a second at least.")
    return {"expires_after": str(seconds)}
