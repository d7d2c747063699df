"""From a whole build to Redis: register what changed as audience versions, and publish one version."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import redis

from activation.embedded_redis import EmbeddedRedis
from activation.errors import ActivationError, StalePublisherError
from activation.publisher import publish_audience, publish_profiles
from orchestration.errors import NothingServedError
from orchestration.failpoints import failpoints
from orchestration.settings import Settings
from orchestration.state import AudienceVersion, State, utc_now
from orchestration.transform import AudienceDefinition, audience_definitions, read_manifest
from orchestration.warehouse import NEWEST_BUILD, Connection, Warehouse, first_row, tables_of

PROFILES = "profiles"
"""The profiles are published like an audience: versioned, as a diff, by the same sensor."""

MAX_ATTEMPTS = 5
STUCK_AFTER = timedelta(minutes=15)

REQUESTED, PUBLISHED, FAILED, SUPERSEDED = "requested", "published", "failed", "superseded"


@dataclass(frozen=True)
class Publication:
    """What one publication sent: counts of members or profiles, and how it was sent (diff, whole or nothing)."""

    audience: str
    version: int
    status: str
    mode: str
    count: int
    changed: int
    removed: int
    sentence: str


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


def register_changes(warehouse: Warehouse, state: State, *, wait: bool = True) -> list[AudienceVersion]:
    """Serve the newest whole build, if there is a new one, and write a version for everything whose definition or content changed.

    Notices an analyst's own `dbt build` as well as Weft's passes. Registering the same build twice changes nothing.
    """
    warehouse.serve_newest_build(wait=wait)
    try:
        with warehouse.open_served() as served:
            return _register(served, state)
    except NothingServedError:
        return []


def _register(served: Connection, state: State) -> list[AudienceVersion]:
    build = first_row(served, NEWEST_BUILD)
    assert build is not None, "a served build has its row in control.builds"
    build_id, as_of = build
    existing = tables_of(served, "audiences")
    registered = []
    for definition in [*audience_definitions(read_manifest()), _profiles_definition()]:
        if definition.name not in existing:
            continue
        count, content_hash = _content(served, definition.name)
        version = state.register_version(
            audience=definition.name,
            build_id=build_id,
            definition_hash=definition.definition_hash,
            content_hash=content_hash,
            member_count=count,
            as_of=as_of,
        )
        if version:
            registered.append(version)
    return registered


def _profiles_definition() -> AudienceDefinition:
    return AudienceDefinition(PROFILES, "Customer profiles with their audiences", "contract-1", {})


def _content(served: Connection, audience: str) -> tuple[int, str]:
    """Row count and an order-independent hash of an audience's members, or of the profiles with their audiences and identifiers."""
    if audience != PROFILES:
        query = f"select 1 as member, customer_id as line from audiences.{audience}"
    else:
        query = (
            f"select 1 as member, cast(p as varchar) as line from ({profiles_query(served)}) as p "
            f"union all select 0 as member, cast(i as varchar) as line from ({IDENTIFIERS_QUERY}) as i"
        )
    row = first_row(
        served,
        f"select coalesce(sum(member), 0), coalesce(sum({LINE_HASH[served.dialect]}), 0) from ({query}) as lines",
    )
    assert row is not None
    return int(row[0]), hashlib.sha256(f"{row[0]}:{row[1]}".encode()).hexdigest()


LINE_HASH = {
    "duckdb": "cast(md5_number_lower(line) as hugeint)",
    "postgres": "cast(cast('x' || substr(md5(line), 1, 16) as bit(64)) as bigint)",
}
"""64 bits of a text's MD5 as a number, which add up to the same in whatever order the lines come."""

IDENTIFIERS_QUERY = """
    select identifier_type, identifier_value, customer_id from identity.nodes where customer_id is not null
    union all
    select 'customer_id', customer_id, living_customer_id from identity.customer_redirects where customer_id <> living_customer_id
"""
"""Every identifier's customer; ids of merged customers lead to the living one."""


def profiles_query(served: Connection) -> str:
    """The profiles as published: audiences.profiles and the sorted names of the audiences a customer is in, with commas between."""
    existing = tables_of(served, "audiences")
    names = [definition.name for definition in audience_definitions(read_manifest()) if definition.name in existing]
    members = " union all ".join(f"select customer_id, '{name}' as audience from audiences.{name}" for name in names)
    members = members or "select cast(null as varchar) as customer_id, cast(null as varchar) as audience where false"
    return f"""
        select profiles.*, coalesce(memberships.audiences, '') as audiences
        from audiences.profiles as profiles
        left join (
            select customer_id, string_agg(audience, ',' order by audience) as audiences from ({members}) as members group by customer_id
        ) as memberships on profiles.customer_id = memberships.customer_id
    """


def pending_versions(state: State, *, after: int, now: datetime) -> list[tuple[AudienceVersion, int]]:
    """Versions that want publishing and the number of the try: new ones, and failed ones whose turn has come again.

    `after` is the sensor's cursor: a version before it that was asked for already is waited for until it is stuck.
    """
    pending = []
    for version, attempt, status, changed_at in state.versions_without(PUBLISHED, SUPERSEDED):
        waited = now - changed_at if changed_at else timedelta()
        is_due = status == FAILED and waited >= timedelta(seconds=30 * 2 ** (attempt - 1))
        is_stuck = status == REQUESTED and waited > STUCK_AFTER
        if status is None:
            pending.append((version, 1))
        elif (is_due or is_stuck) and attempt < MAX_ATTEMPTS:
            pending.append((version, attempt + 1))
        elif status == REQUESTED and version.seq > after:
            pending.append((version, attempt))
    return pending


def publish(
    settings: Settings, warehouse: Warehouse, state: State, version: AudienceVersion, *, attempt: int
) -> Publication:
    """Publish one registered version from the build it was registered in. Raises ActivationError where Redis refuses or is gone.

    A version that a newer one has overtaken, or whose build is no longer kept, is superseded: the newer one has what readers need.
    """
    state.record_publication(version.audience, version.version, attempt, REQUESTED)
    try:
        with online_store(settings) as client, warehouse.open_served(version.build_id) as served:
            publication = _publish(client, served, settings, version)
    except (StalePublisherError, NothingServedError) as overtaken:
        state.record_publication(version.audience, version.version, attempt, SUPERSEDED, str(overtaken))
        return Publication(version.audience, version.version, SUPERSEDED, "nothing", 0, 0, 0, str(overtaken))
    except ActivationError as error:
        state.record_publication(version.audience, version.version, attempt, FAILED, str(error))
        raise
    state.record_publication(version.audience, version.version, attempt, PUBLISHED, publication.sentence)
    return publication


def _publish(client: redis.Redis, served: Connection, settings: Settings, version: AudienceVersion) -> Publication:
    if version.audience == PROFILES:
        report = publish_profiles(
            client,
            version=version.version,
            build=version.seq,
            profiles=_with_lists(served.arrow(profiles_query(served))),
            identifiers=served.arrow(IDENTIFIERS_QUERY),
            as_of=version.as_of,
            snapshot=settings.home / "published" / "profiles.arrow",
            published_at=utc_now(),
            on_step=failpoints("profiles"),
        )
        changed, removed = report.profiles_written, report.profiles_removed
        count, mode = report.count, report.mode
    else:
        members = served.arrow(f"select customer_id from audiences.{version.audience}")
        audience_report = publish_audience(
            client,
            name=version.audience,
            version=version.version,
            build=version.seq,
            members=members["customer_id"],
            as_of=version.as_of,
            definition_hash=version.definition_hash,
            published_at=utc_now(),
            on_step=failpoints("audience"),
            snapshot=settings.home / "published" / "audiences" / f"{version.audience}.arrow",
        )
        changed, removed = audience_report.added, audience_report.removed
        count, mode = audience_report.count, audience_report.mode
    sentence = (
        f"{version.audience} v{version.version}: {count:,} in all, {changed:,} written, {removed:,} removed ({mode})"
    )
    return Publication(version.audience, version.version, PUBLISHED, mode, count, changed, removed, sentence)


def _with_lists(profiles: pa.Table) -> pa.Table:
    """The column of audiences as lists: what no audience holds has an empty one."""
    names = profiles["audiences"]
    lists = pc.if_else(pc.equal(names, ""), pa.scalar([], pa.list_(pa.string())), pc.split_pattern(names, ","))
    return profiles.set_column(profiles.schema.get_field_index("audiences"), "audiences", lists)
