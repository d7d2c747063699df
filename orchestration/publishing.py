"""From a registered version to Redis: what is pending, and how one version is published to whom that may be done now."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import redis

from activation.embedded_redis import EmbeddedRedis
from activation.errors import ActivationError, StalePublisherError
from activation.publisher import publish_audience, publish_profiles
from orchestration.audience_catalogue import audiences
from orchestration.errors import NothingServedError, WeftError
from orchestration.failpoints import failpoints
from orchestration.gate import MEMBERS, Gated, opened_gate
from orchestration.guards import state_of_things
from orchestration.publishable import FailedChecks, Publisher, no_checks
from orchestration.published_features import published_features
from orchestration.registering import (
    IDENTIFIERS_QUERY,
    PROFILES,
    built_in,
    gate_problems,
    register_changes,
)
from orchestration.settings import Settings
from orchestration.sightings import life_time_of, pause_after, settled, sighting_of
from orchestration.state import AudienceVersion, State, utc_now
from orchestration.warehouse import Warehouse

__all__ = ["PROFILES", "Publication", "online_store", "pending_versions", "publish", "register_changes"]

STUCK_AFTER = timedelta(minutes=15)
LEASE = timedelta(seconds=60)
"""What was asked for so long ago and never got a run was lost with a killed process."""

REQUESTED, PUBLISHED, FAILED, SUPERSEDED, HELD = "requested", "published", "failed", "superseded", "held"


@dataclass(frozen=True)
class Publication:
    """What one publication sent: counts of members or profiles, and how it was sent (diff, whole or nothing).

    `withheld` counts those who may not be published, by reason (orchestration.gate.REASONS); `held` says what holds the version back.
    """

    audience: str
    version: int
    status: str
    mode: str
    count: int
    changed: int
    removed: int
    sentence: str
    withheld: Mapping[str, int] = field(default_factory=dict)
    held: str = ""


@contextmanager
def online_store(settings: Settings, *, answer_seconds: float = 30) -> Iterator[redis.Redis]:
    """A client of the user's REDIS_URL, else of the embedded Redis (attached to where it runs, else started for the block).

    A Redis that says nothing for `answer_seconds` is taken for gone.
    """
    if settings.redis_url:
        with redis.Redis.from_url(settings.redis_url, socket_timeout=answer_seconds) as client:
            yield client
        return
    with (
        EmbeddedRedis(settings.home / "redis", settings.redis_port) as server,
        server.client(socket_timeout=answer_seconds) as client,
    ):
        yield client


RunOf = Callable[[AudienceVersion, int], bool | None]
"""Whether the run of a try goes on; None where there is none (yet)."""


def pending_versions(
    state: State, *, after: int, now: datetime, run_of: RunOf | None = None
) -> list[tuple[AudienceVersion, int]]:
    """Versions that want publishing and the number of the try: new ones, and failed ones whose turn has come again.

    `after` is the sensor's cursor: a version before it that was asked for already is waited for until it is stuck, or until its run
    has ended without a word, or never came.
    """
    pending = []
    for version, attempt, status, changed_at in state.versions_without(PUBLISHED, SUPERSEDED, HELD):
        waited = now - changed_at if changed_at else timedelta()
        is_due = status == FAILED and waited >= pause_after(attempt)
        if status is None:
            pending.append((version, 1))
        elif is_due or (status == REQUESTED and _is_stuck(version, attempt, waited, run_of)):
            pending.append((version, attempt + 1))
        elif status == REQUESTED and version.seq > after:
            pending.append((version, attempt))
    return pending


def _is_stuck(version: AudienceVersion, attempt: int, waited: timedelta, run_of: RunOf | None) -> bool:
    if waited > STUCK_AFTER:
        return True
    pause = pause_after(attempt - 1) if attempt > 1 else timedelta()
    if run_of is None or waited < min(LEASE, pause):
        return False
    goes_on = run_of(version, attempt)
    return waited > LEASE if goes_on is None else not goes_on and waited >= pause


def publish(
    settings: Settings,
    warehouse: Warehouse,
    state: State,
    version: AudienceVersion,
    *,
    attempt: int,
    failed_checks: FailedChecks = no_checks,
) -> Publication:
    """Publish one registered version from the newest build that holds it, to whom that may be done now. Raises ActivationError where
    Redis refuses or is gone, GateError where it cannot be told who may be published.

    A version that a newer one has overtaken, or whose audience is no longer defined, is superseded. One that a guard holds
    back leaves readers what they have, less those who may no longer be published.
    """
    state.record_publication(version.audience, version.version, attempt, REQUESTED)
    sighting = sighting_of(state, version)
    source = replace(version, build_id=sighting.build_id, as_of=sighting.as_of) if sighting else version
    try:
        expires_after = life_time_of(state, version.audience)
        with ExitStack() as stack:
            client = stack.enter_context(online_store(settings))
            served = stack.enter_context(warehouse.open_served(source.build_id))
            newest_build = warehouse.served_build()
            is_newest = newest_build in (None, source.build_id)
            newest = served if is_newest else stack.enter_context(warehouse.open_served(newest_build))
            gate = stack.enter_context(opened_gate(served, state, newest=newest))
            publisher = Publisher(served, state, gate, client, failed_checks)
            if version.audience == PROFILES:
                publication = _publish_profiles(publisher, settings, source)
            else:
                publication = _publish_audience(publisher, settings, source, expires_after)
    except (StalePublisherError, NothingServedError) as overtaken:
        if isinstance(overtaken, NothingServedError) and state.newest_version(version.audience) == version:
            # its build is no longer kept, and no newer one was looked at yet: the next look finds one
            state.record_publication(version.audience, version.version, attempt, FAILED, str(overtaken))
            raise
        state.record_publication(version.audience, version.version, attempt, SUPERSEDED, str(overtaken))
        return Publication(version.audience, version.version, SUPERSEDED, "nothing", 0, 0, 0, str(overtaken))
    except Exception as error:
        # anything else than a sentence for people may hold values of customers
        said = str(error) if isinstance(error, ActivationError | WeftError) else f"{type(error).__name__}; see the run"
        state.record_publication(version.audience, version.version, attempt, FAILED, said)
        raise
    if publication.status == HELD:
        seen = state_of_things(state, newest_build)
        state.approvals.hold(version.audience, version.version, sentence=publication.held, seen=seen, now=utc_now())
    elif publication.status == PUBLISHED:
        state.approvals.release(version.audience, version.version)
    if sighting and publication.status == PUBLISHED:
        state.confirmations.record([settled(sighting, expires_after)])
    state.record_publication(version.audience, version.version, attempt, publication.status, publication.sentence)
    return publication


def _publish_profiles(publisher: Publisher, settings: Settings, version: AudienceVersion) -> Publication:
    report = publish_profiles(
        publisher.client,
        version=version.version,
        build=version.seq,
        profiles=_profiles(publisher),
        identifiers=publisher.served.arrow(IDENTIFIERS_QUERY),
        as_of=version.as_of,
        features=published_features(publisher.served),
        snapshot=settings.home / "published" / "profiles.arrow",
        published_at=utc_now(),
        on_step=failpoints("profiles"),
    )
    return _publication(version, report.mode, report.count, report.profiles_written, report.profiles_removed)


def _publish_audience(
    publisher: Publisher, settings: Settings, version: AudienceVersion, expires_after: timedelta | None
) -> Publication:
    audience = {each.name: each for each in audiences(publisher.state)}.get(version.audience)
    if audience is None:
        sentence = f"{version.audience} is no longer defined, so nobody can be published in it."
        return Publication(version.audience, version.version, SUPERSEDED, "nothing", 0, 0, 0, sentence)
    sent = publisher.publishable(audience, version.version)
    withheld = dict(sent.gated.withheld)
    if sent.is_unchanged:
        count = len(sent.members)
        return _publication(version, "nothing", count, 0, 0, withheld=withheld, held=sent.held)
    report = publish_audience(
        publisher.client,
        name=version.audience,
        version=version.version,
        build=version.seq,
        members=sent.members["customer_id"],
        as_of=version.as_of,
        definition_hash=version.definition_hash,
        published_at=utc_now(),
        expires_after=expires_after,
        on_step=failpoints("audience"),
        snapshot=settings.home / "published" / "audiences" / f"{version.audience}.arrow",
    )
    publication = _publication(
        version, report.mode, report.count, report.added, report.removed, withheld=withheld, held=sent.held
    )
    # a person's no outranks an operator's pin
    unpinned = publisher.unpinned(audience) if report.pinned_version is not None else ""
    return replace(publication, sentence=publication.sentence + unpinned)


def _publication(
    version: AudienceVersion,
    mode: str,
    count: int,
    changed: int,
    removed: int,
    *,
    withheld: Mapping[str, int] | None = None,
    held: str = "",
) -> Publication:
    name = f"{version.audience} v{version.version}"
    sentence = f"{name}: {count:,} in all, {changed:,} written, {removed:,} removed ({mode})"
    if held:
        gone = f"; {removed:,} who may no longer be published were taken out" if removed else ""
        sentence = f"{name} is held back: {held} Readers keep the {count:,} that they have{gone}."
    if withheld:
        sentence += f"; withheld: {Gated(MEMBERS.empty_table(), withheld).sentence()}"
    status = HELD if held else PUBLISHED
    return Publication(
        version.audience, version.version, status, mode, count, changed, removed, sentence, withheld or {}, held
    )


def _profiles(publisher: Publisher) -> pa.Table:
    """The profiles of a build, each with the list of the audiences that it is published in: what no audience holds has an empty one."""
    profiles = publisher.served.arrow("select * from audiences.profiles")
    state = publisher.state
    members = {}
    for audience in built_in(publisher.served, audiences(state)):
        if audience.name not in gate_problems(state):
            newest = state.newest_version(audience.name)
            members[audience.name] = publisher.publishable(audience, newest.version if newest else None).members
    named = publisher.gate.names_by_customer(members)
    places = pc.index_in(profiles["customer_id"], named["customer_id"])
    names = named["audiences"].take(places)
    lists = pc.if_else(pc.is_null(places), pa.scalar([], pa.list_(pa.string())), names)
    return profiles.append_column("audiences", lists)
