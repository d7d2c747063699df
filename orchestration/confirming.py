"""From a build that changed nothing to Redis: which published audiences it leaves as they are, and telling their readers so."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import groupby

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from activation import keys
from activation.confirmation import Answer, Unchanged, confirm
from activation.embedded_redis import EmbeddedRedis
from activation.errors import ActivationError
from orchestration.audience_catalogue import audiences
from orchestration.confirmation_records import CONFIRMED, FAILED, REQUESTED, Confirmation, Sighting
from orchestration.errors import AudienceError, NothingServedError
from orchestration.guards import Facts, broken_guards, input_age
from orchestration.publishable import FailedChecks, no_checks
from orchestration.publishing import FAILED as PUBLICATION_FAILED
from orchestration.publishing import HELD, PROFILES, PUBLISHED
from orchestration.settings import Settings
from orchestration.sightings import confirmation, life_time, pause_after
from orchestration.state import AudienceVersion, State, utc_now
from orchestration.warehouse import Warehouse, row_count

LEASE = timedelta(seconds=60)
"""What was asked for so long ago and is in no run that goes on was lost with a killed process: it is asked for again."""
STALE = "stale"
SETTLED = frozenset({CONFIRMED, STALE, HELD})
PATIENCE_SECONDS = 5.0


@dataclass(frozen=True)
class Wanted:
    """A confirmation that readers are owed: the sighting, the published version, and the number of the try."""

    sighting: Sighting
    version: AudienceVersion
    expires_after: timedelta | None
    attempt: int

    def record(self, status: str, detail: str | None = None) -> Confirmation:
        """The row that says so."""
        return confirmation(self.sighting, self.expires_after, attempt=self.attempt, status=status, detail=detail)


@dataclass(frozen=True)
class Confirmed:
    """What one run told Redis: names of audiences by answer, and those that guards kept back."""

    confirmed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    stale: tuple[str, ...] = ()
    held: Mapping[str, str] = field(default_factory=dict)
    """Sentences of guards, by the audience that they keep from being confirmed."""


def outstanding(state: State) -> tuple[list[Wanted], list[str]]:
    """Confirmations that readers are owed, by audience, whatever is being done about them; and sentences about audiences whose
    definition says something that cannot be used, which are left alone."""
    unpublished = {(version.audience, version.version) for version, *_ in state.versions_without(PUBLISHED)}
    sightings, known = state.confirmations.sightings(), state.confirmations.all()
    lives: dict[str, timedelta | None] = {PROFILES: None}
    problems = []
    for each in audiences(state):
        try:
            lives[each.name] = life_time(each.name, each.meta)
        except AudienceError as error:
            problems.append(str(error))
    wanted = []
    for version in state.newest_versions():
        sighting, last = sightings.get(version.audience), known.get(version.audience)
        is_published = (version.audience, version.version) not in unpublished
        if version.audience not in lives or not is_published or sighting is None or sighting.version != version.version:
            continue
        expires_after = lives[version.audience]
        each_wanted = Wanted(sighting, version, expires_after, 1)
        if last is None or not _is_about(last, each_wanted):
            wanted.append(each_wanted)
        elif last.status not in SETTLED:
            wanted.append(Wanted(sighting, version, expires_after, last.attempt))
    return wanted, problems


def due(state: State, *, now: datetime, goes_on: Callable[[], bool]) -> tuple[list[Wanted], list[str]]:
    """Those that a run has to be asked for now, each with the number of its try. `goes_on`: whether a run of them does."""
    wanted, problems = outstanding(state)
    known = state.confirmations.all()
    pending = []
    for each in wanted:
        last = known.get(each.sighting.audience)
        if last is None or not _is_about(last, each):
            pending.append(each)
            continue
        waited = now - last.changed_at
        is_due = last.status == FAILED and waited >= pause_after(last.attempt)
        is_lost = last.status == REQUESTED and waited > LEASE and not goes_on()
        if is_due or is_lost:
            pending.append(Wanted(each.sighting, each.version, each.expires_after, last.attempt + 1))
    return pending, problems


def request(state: State, pending: list[Wanted]) -> str:
    """Write that a run is asked for, and give the run's key: the same for the same confirmations and tries."""
    named = sorted(
        (each.sighting.audience, each.sighting.version, each.sighting.build_id, str(each.expires_after), each.attempt)
        for each in pending
    )
    state.confirmations.record(each.record(REQUESTED) for each in pending)
    return "confirm:" + hashlib.sha256(repr(named).encode()).hexdigest()[:32]


def confirm_unchanged(
    client: redis.Redis, state: State, warehouse: Warehouse, failed_checks: FailedChecks = no_checks
) -> Confirmed:
    """Tell Redis of every confirmation that readers are owed. Raises ActivationError; what was confirmed before that stays so.

    What a guard would hold back is not confirmed: it goes on growing old until a build keeps the guard. What Redis turns out not to
    hold is published again: its publication counts as failed from here on.
    """
    wanted, _ = outstanding(state)
    found: dict[str, list[str]] = {"confirmed": [], "missing": [], "stale": []}
    held: dict[str, str] = {}
    for _, group in groupby(sorted(wanted, key=_of_build), key=_of_build):
        of_build = list(group)
        try:
            broken = _broken_guards(warehouse, state, of_build, failed_checks)
        except NothingServedError:
            continue  # no longer kept: the sensor's next look finds a newer one
        held |= broken
        state.confirmations.record(
            each.record(HELD, broken[each.sighting.audience]) for each in of_build if each.sighting.audience in broken
        )
        told = [each for each in of_build if each.sighting.audience not in broken]
        records = []
        for each, answer in zip(told, _tell(client, state, told), strict=True):
            found[answer].append(each.sighting.audience)
            records.append(each.record({"confirmed": CONFIRMED, "missing": FAILED, "stale": STALE}[answer]))
            if answer == "missing":
                publish_again(state, each.version)
        state.confirmations.record(records)
    return Confirmed(held=held, **{answer: tuple(sorted(names)) for answer, names in found.items()})


def _tell(client: redis.Redis, state: State, told: list[Wanted]) -> list[Answer]:
    if not told:
        return []
    sighting = told[0].sighting
    try:
        return confirm(
            client,
            [_unchanged(each) for each in told],
            confirmation=_number(sighting.completed_at),
            as_of=sighting.as_of,
            confirmed_at=utc_now(),
        )
    except ActivationError as error:
        state.confirmations.record(each.record(FAILED, str(error)) for each in told)
        raise


def _broken_guards(
    warehouse: Warehouse, state: State, of_build: list[Wanted], failed_checks: FailedChecks
) -> dict[str, str]:
    """What guards say of audiences in one build, by name, where one does not hold."""
    defined, found = {each.name: each for each in audiences(state)}, {}
    with warehouse.open_served(of_build[0].sighting.build_id) as served:
        customers = row_count(served, "customer_360.customers")
        for each in of_build:
            audience = defined.get(each.sighting.audience)
            if audience is None:
                continue
            members = each.version.member_count
            facts = Facts(
                members, members, customers, input_age(served, audience), failed_checks(each.sighting.audience)
            )
            if sentences := broken_guards(audience, facts):
                found[audience.name] = " ".join(sentences)
    return found


def _of_build(wanted: Wanted) -> tuple[datetime, str]:
    return wanted.sighting.completed_at, wanted.sighting.build_id


def publish_again(state: State, version: AudienceVersion) -> None:
    """A published version that Redis does not hold any more is published once more."""
    last = state.last_publication(version.audience, version.version)
    sentence = "Redis no longer holds this version whole; it is published again."
    state.record_publication(version.audience, version.version, last[0] if last else 1, PUBLICATION_FAILED, sentence)


def republish_lost(client: redis.Redis, state: State, *, now: datetime) -> list[str]:
    """Ask again for what was published and is no longer in Redis, such as after it was emptied; the names.

    An audience whose life time has passed since it was last published or confirmed is gone as it should be.
    """
    unpublished = {(version.audience, version.version) for version, *_ in state.versions_without(PUBLISHED)}
    defined = {PROFILES, *(each.name for each in audiences(state))}
    known = state.confirmations.all()
    published = [
        version
        for version in state.newest_versions()
        if version.audience in defined and (version.audience, version.version) not in unpublished
    ]
    with client.pipeline(transaction=False) as pipeline:
        for version in published:
            pipeline.exists(*_kept(version))
        found = pipeline.execute()
    lost = []
    for version, count in zip(published, found, strict=True):
        last = known.get(version.audience)
        lives_until = (
            last.changed_at + timedelta(seconds=last.expires_after) if last and last.expires_after else datetime.max
        )
        if count < len(_kept(version)) and now < lives_until:
            publish_again(state, version)
            lost.append(version.audience)
    return lost


@contextmanager
def running_store(settings: Settings) -> Iterator[redis.Redis | None]:
    """A client that gives up soon, of the online store where it runs; None where it does not. Starts nothing."""
    url = settings.redis_url
    if not url:
        folder = settings.home / "redis"
        port = EmbeddedRedis(folder, settings.redis_port).running_port() if folder.exists() else None
        if port is None:
            yield None
            return
        url = f"redis://127.0.0.1:{port}/0"
    patience = {"socket_timeout": PATIENCE_SECONDS, "socket_connect_timeout": PATIENCE_SECONDS}
    with redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **patience) as client:
        yield client


def _kept(version: AudienceVersion) -> tuple[str, ...]:
    if version.audience == PROFILES:
        return (keys.PROFILES_MANIFEST,)
    return (keys.audience_pointer_key(version.audience), keys.audience_manifest_key(version.audience, version.version))


def _unchanged(wanted: Wanted) -> Unchanged:
    version = wanted.version
    name = None if version.audience == PROFILES else version.audience
    return Unchanged(name=name, version=version.version, build=version.seq, expires_after=wanted.expires_after)


def _is_about(last: Confirmation, wanted: Wanted) -> bool:
    """Whether what is recorded tells of this version in this build (or a newer one) with this life time."""
    asked = wanted.record("")
    return (last.version, last.expires_after) == (asked.version, asked.expires_after) and (
        last.completed_at >= asked.completed_at
    )


def _number(completed_at: datetime) -> int:
    """Microseconds since 1970: grows from build to build, and Redis compares it exactly."""
    return int(completed_at.replace(tzinfo=UTC).timestamp() * 1_000_000)
