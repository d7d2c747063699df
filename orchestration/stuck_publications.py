"""Publications that do not get through, as `weft status` tells them; they go on being tried."""

from datetime import datetime

from orchestration.publishing import FAILED, HELD, PUBLISHED, STUCK_AFTER, SUPERSEDED
from orchestration.state import State

TOLD_AFTER = 3
"""Failed tries after which people are told."""


def stuck_publications(state: State, now: datetime) -> dict[str, str]:
    """One sentence for each audience whose newest version failed again and again, or waits for longer than any publication takes."""
    newest = {(version.audience, version.version) for version in state.newest_versions()}
    found = {}
    for version, attempt, status, changed_at in state.versions_without(PUBLISHED, SUPERSEDED, HELD):
        if (version.audience, version.version) not in newest:
            continue
        since = changed_at or version.as_of
        if status == FAILED and attempt >= TOLD_AFTER:
            detail = state.publication_detail(version.audience, version.version, attempt)
            found[version.audience] = (
                f"{version.audience} v{version.version} could not be published in {attempt} tries; the last one said: {detail}"
            )
        elif status != FAILED and changed_at and now - since > STUCK_AFTER:
            found[version.audience] = (
                f"{version.audience} v{version.version} waits to be published since {changed_at:%Y-%m-%d %H:%M} UTC; "
                "look whether the daemon of `weft up` runs."
            )
    return found
