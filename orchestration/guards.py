"""Guards: what must hold before a version of an audience replaces the one that readers have. A broken one holds it back."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from orchestration.approvals import Held
from orchestration.audience_catalogue import Audience
from orchestration.errors import GateError
from orchestration.gate import gate_revision
from orchestration.state import AudienceVersion, State
from orchestration.warehouse import Connection, row_count, scalar

MAX_SHARE, MAX_GROWTH, MAX_SHRINK = 1.0, 5.0, 0.8
"""Where the YAML says nothing: an audience may be everybody, become five times as large, and lose four members of five."""
SMALL = 100
"""Audiences that had and have fewer members than this jump by nature; only that all members of one are gone is looked at."""
GUARDS = ("max_share", "max_growth", "max_shrink", "max_age_hours", "may_be_empty")


@dataclass(frozen=True)
class Facts:
    """What guards look at: the members to be published, those that readers have (None: never published) and all customers; how long
    before the build's run clock the newest event was known; and the checks that failed, in words."""

    members: int
    published: int | None
    customers: int
    input_age: timedelta | None = None
    failed_checks: Sequence[str] = ()


def broken_guards(audience: Audience, facts: Facts) -> list[str]:
    """One sentence for each guard that does not hold. Raises GateError for a guard that there is not, or that is no number."""
    return [*jumps(audience, facts), *_others(audience, facts)]


def jumps(audience: Audience, facts: Facts) -> list[str]:
    """The same for those that compare with what readers have."""
    limits, found = _limits(audience), list[str]()
    now, before = facts.members, facts.published
    if before and not now and not limits["may_be_empty"]:
        return [f"It would be empty and had {before:,} members (may_be_empty allows that)."]
    if before is None or max(now, before) < SMALL:
        return found
    if before and now > before * limits["max_growth"]:
        found.append(f"It would grow from {before:,} to {now:,}, more than max_growth {limits['max_growth']:g} times.")
    if before and before - now > before * limits["max_shrink"]:
        found.append(
            f"It would shrink from {before:,} to {now:,}, more than max_shrink {limits['max_shrink']:g} of it."
        )
    return found


def _others(audience: Audience, facts: Facts) -> list[str]:
    limits, found = _limits(audience), list[str]()
    if facts.customers and facts.members > facts.customers * limits["max_share"]:
        share = facts.members / facts.customers
        found.append(f"It would hold {share:.0%} of the customers, more than max_share {limits['max_share']:g}.")
    oldest = limits.get("max_age_hours")
    if oldest is not None and (facts.input_age is None or facts.input_age > timedelta(hours=oldest)):
        age = (
            "no event is known"
            if facts.input_age is None
            else f"the newest event is {facts.input_age / timedelta(hours=1):.0f} h"
        )
        found.append(f"Its inputs are stale: {age} old at the run's clock, more than max_age_hours {oldest:g}.")
    found.extend(f"A check of its inputs failed: {check}." for check in facts.failed_checks)
    return found


def _limits(audience: Audience) -> dict[str, float]:
    given = audience.meta.get("guards") or {}
    for name, value in given.items():
        if name not in GUARDS:
            raise GateError(f"{audience.name} has a guard {name!r} that there is not; there are {', '.join(GUARDS)}.")
        if not isinstance(value, int | float) or value < 0:
            raise GateError(f"The guard {name} of {audience.name} is {value!r}; it must be a number, not below 0.")
    defaults = {"max_share": MAX_SHARE, "max_growth": MAX_GROWTH, "max_shrink": MAX_SHRINK, "may_be_empty": False}
    return defaults | given


def input_age(build: Connection, audience: Audience) -> timedelta | None:
    """How long before the build's clock its newest event was known; asked only where a guard looks at it."""
    if "max_age_hours" not in (audience.meta.get("guards") or {}):
        return None
    as_of = scalar(build, "select as_of from control.current_run")
    newest = scalar(build, "select max(known_at) from staging.stg_events where known_at < ?", [as_of])
    return None if newest is None else as_of - newest


def facts(
    build: Connection, state: State, audience: Audience, *, members: int, failed_checks: Sequence[str] = ()
) -> Facts:
    """What the guards of an audience look at, of a build that would have this many members published."""
    published = state.published_version(audience.name)
    return Facts(
        members=members,
        published=published.member_count if published else None,
        customers=row_count(build, "customer_360.customers"),
        input_age=input_age(build, audience),
        failed_checks=failed_checks,
    )


def state_of_things(state: State, build_id: str | None) -> str:
    """What a held version was judged at: another build or another revision of the gate has it judged anew."""
    return f"{build_id}@{gate_revision(state)}"


def held_version(state: State, audience: str) -> Held | None:
    """The newest version of an audience where a guard holds it back and nobody approved it; a sync sends nothing new meanwhile."""
    newest = state.newest_version(audience)
    held = state.approvals.of(audience, newest.version) if newest else None
    return held if held and held.approved_at is None else None


def approve(state: State, audience: str, *, by: str, note: str, now: datetime) -> AudienceVersion:
    """Let the version that is held back pass, as a version of its own. Raises GateError where none is."""
    held, newest = held_version(state, audience), state.newest_version(audience)
    if held is None or newest is None:
        raise GateError(f"No version of {audience} is held back; `weft audience list` shows which are.")
    state.approvals.approve(audience, held.version, by=by, note=note, now=now)
    given = {
        name: getattr(newest, name) for name in ("build_id", "definition_hash", "content_hash", "member_count", "as_of")
    }
    passing = state.register_version(audience=audience, **given, again=True)
    assert passing is not None
    state.approvals.hold(audience, passing.version, sentence=held.sentence, seen=held.seen, now=now)
    state.approvals.approve(audience, passing.version, by=by, note=note, now=now)
    return passing
