"""What a look at a build leaves behind: which audiences it holds as they were registered, and how long their keys may live."""

import re
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from orchestration.audience_catalogue import audiences
from orchestration.confirmation_records import CONFIRMED, Confirmation, Sighting
from orchestration.errors import AudienceError
from orchestration.state import AudienceVersion, State, utc_now
from orchestration.warehouse import Connection, first_row

LONGEST_PAUSE = timedelta(minutes=10)
_LIFE_TIME = re.compile(r"([1-9][0-9]{0,5}) +(minute|hour|day)s?")
_BUILD = "select build_id, as_of, completed_at from control.builds order by completed_at desc limit 1"


def pause_after(attempt: int) -> timedelta:
    """How long a failed try of this number is left alone: half a minute, twice as long each time, ten minutes at most."""
    return min(timedelta(seconds=30 * 2 ** min(attempt - 1, 10)), LONGEST_PAUSE)


def life_time(audience: str, meta: dict[str, Any]) -> timedelta | None:
    """`expires_after` of an audience's definition, such as `36 hours`; None where its keys stay. Raises AudienceError."""
    given = meta.get("expires_after")
    if given is None:
        return None
    found = _LIFE_TIME.fullmatch(str(given))
    if found is None:
        raise AudienceError(
            f"expires_after of the audience {audience} cannot be used: write a number and minutes, hours or days, such as 36 hours."
        )
    return timedelta(**{f"{found[2]}s": int(found[1])})


def life_time_of(state: State, audience: str) -> timedelta | None:
    """The life time that the catalogue gives an audience; None also where it is no longer in it. Raises AudienceError."""
    return next((life_time(each.name, each.meta) for each in audiences(state) if each.name == audience), None)


def note_sightings(served: Connection, state: State, seen: Collection[str]) -> None:
    """Remember that the newest registered version of each of these audiences is what the served build holds."""
    row = first_row(served, _BUILD)
    assert row is not None, "a served build has its row in control.builds"
    build_id, as_of, completed_at = row
    newest = [version for version in state.newest_versions() if version.audience in seen]
    state.confirmations.saw(Sighting(each.audience, each.version, build_id, completed_at, as_of) for each in newest)


def sighting_of(state: State, version: AudienceVersion) -> Sighting | None:
    """The newest build in which an audience was seen with this version's content; None where it was seen with another since."""
    seen = state.confirmations.sightings().get(version.audience)
    return seen if seen and seen.version == version.version else None


def settled(sighting: Sighting, expires_after: timedelta | None) -> Confirmation:
    """The row of a version that was published from the build of its sighting: there is nothing to confirm until the next one."""
    return confirmation(sighting, expires_after, attempt=1, status=CONFIRMED)


def confirmation(
    sighting: Sighting, expires_after: timedelta | None, *, attempt: int, status: str, detail: str | None = None
) -> Confirmation:
    """The row that says where the confirmation of a sighting stands, as of now."""
    seconds = None if expires_after is None else int(expires_after.total_seconds())
    seen = sighting
    return Confirmation(seen.audience, seen.version, seen.completed_at, seconds, attempt, status, detail, utc_now())
