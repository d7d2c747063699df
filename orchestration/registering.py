"""What changed becomes versions: an audience's definition, the members who may be published, or the profiles."""

import hashlib
import json
from collections.abc import Iterable

from orchestration.audience_catalogue import Audience, audiences
from orchestration.consent_sweep import whole_build
from orchestration.errors import GateError, NothingServedError
from orchestration.gate import REDIS, Gate, opened_gate
from orchestration.guards import broken_guards, facts, held_version, state_of_things
from orchestration.published_features import published_features_query
from orchestration.sightings import note_sightings
from orchestration.state import AudienceVersion, State, utc_now
from orchestration.warehouse import NEWEST_BUILD, Connection, Warehouse, first_row, tables_of

PROFILES = "profiles"
"""The profiles are published like an audience: versioned, as a diff, by the same sensor."""
PROFILES_CONTRACT = "contract-2"
REGISTERED, PROBLEMS = "registered_through", "gate_problems"

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


def register_changes(warehouse: Warehouse, state: State, *, wait: bool = True) -> list[AudienceVersion]:
    """Serve the newest whole build, if there is a new one, and write a version for everything whose definition, or whose members that
    may be published, changed.

    Notices an analyst's own `dbt build` as well as Weft's passes, and exclusions, holdouts and refusals without a build. Where none of
    these changed since the last time, nothing is read.
    """
    warehouse.serve_newest_build(wait=wait)
    build_id, catalogue = warehouse.served_build(), audiences(state)
    if build_id is None:
        return []
    seen = f"{state_of_things(state, build_id)} {_catalogue_hash(catalogue)}"
    if state.setting(REGISTERED) == seen:
        return []
    before = max((version.seq for version in state.newest_versions()), default=0)
    try:
        with warehouse.open_served(build_id) as served:
            registered = _register(served, state, catalogue)
    except NothingServedError:
        return []
    others = {version.seq for version in state.newest_versions() if version.seq > before}
    if others <= {version.seq for version in registered}:
        state.remember(REGISTERED, seen)
    else:
        register_again(
            state
        )  # somebody else registered meanwhile, perhaps from an older build: the next look settles it
    return registered


def register_again(state: State) -> None:
    """Let the next call of register_changes look at everything."""
    state.remember(REGISTERED, "")


def gate_problems(state: State) -> dict[str, str]:
    """Audiences of which the last registration could not tell who may be published, with the sentence that says why."""
    problems: dict[str, str] = json.loads(state.setting(PROBLEMS) or "{}")
    return problems


def built_in(build: Connection, catalogue: Iterable[Audience]) -> list[Audience]:
    """Those whose members a build holds; an audience that was defined since has none there, which is not the same as nobody."""
    tables = tables_of(build, "audiences")
    query = "select audience from audiences.rule_builds"
    rules = {name for (name,) in build.rows(query)} if "rule_builds" in tables else set()
    return [each for each in catalogue if each.name in (tables if each.kind == "sql" else rules)]


def _register(served: Connection, state: State, catalogue: list[Audience]) -> list[AudienceVersion]:
    build = first_row(served, NEWEST_BUILD)
    assert build is not None, "a served build has its row in control.builds"
    contained = whole_build(served)
    if contained:
        state.refusals.forget_contained(landed_seq=contained.landed_seq, as_of=contained.as_of)
    common = {"build_id": build[0], "as_of": build[1]}
    existing = tables_of(served, "audiences")
    built = built_in(served, catalogue)
    if not built and PROFILES not in existing:
        return []  # a build of some models before there was a whole one
    registered, problems, hashes, seen = [], {}, [], set()
    with opened_gate(served, state) as gate:
        for audience in built:
            try:
                version = _register_audience(served, gate, state, audience, common)
            except GateError as error:
                problems[audience.name] = str(error)
                continue
            seen.add(audience.name)
            registered += [version] if version else []
            newest = state.newest_version(audience.name)
            hashes.append(f"{audience.name} {newest and newest.version}")
    state.remember(PROBLEMS, json.dumps(problems))
    if PROFILES in existing:
        count, content = _profiles_content(served)
        version = state.register_version(
            audience=PROFILES,
            definition_hash=PROFILES_CONTRACT,
            content_hash=_digest(content, *hashes),
            member_count=count,
            **common,
        )
        seen.add(PROFILES)
        registered += [version] if version else []
    note_sightings(served, state, seen)
    return registered


def _register_audience(
    served: Connection, gate: Gate, state: State, audience: Audience, common: dict[str, object]
) -> AudienceVersion | None:
    """A version where the members who may be published changed; one that is held back is judged anew whenever anything did."""
    members = gate.members(audience, destination=REDIS).members
    content = _digest(gate.content_hash(members))
    newest, held = state.newest_version(audience.name), held_version(state, audience.name)
    seen = state_of_things(state, str(common["build_id"]))
    if held and held.seen != seen:
        content = f"{content}@{seen}"
    elif newest and newest.content_hash.partition("@")[0] == content:
        content = newest.content_hash
    broken = broken_guards(audience, facts(served, state, audience, members=len(members)))
    version = state.register_version(
        audience=audience.name,
        definition_hash=audience.definition_hash,
        content_hash=content,
        member_count=len(members),
        **common,  # type: ignore[arg-type]
    )
    if version and broken:
        # syncs wait from here on; the publication looks closer, at checks and at what readers have
        state.approvals.hold(audience.name, version.version, sentence=" ".join(broken), seen=seen, now=utc_now())
    return version


def _profiles_content(served: Connection) -> tuple[int, str]:
    """Row count and an order-independent hash of the profiles, their identifiers and features, without the audiences."""
    query = (
        "select 1 as member, cast(p as varchar) as line from (select * from audiences.profiles) as p "
        f"union all select 0 as member, cast(i as varchar) as line from ({IDENTIFIERS_QUERY}) as i"
    )
    features = published_features_query(served)
    if features is not None:
        query += f" union all select 0 as member, cast(f as varchar) as line from ({features}) as f"
    row = first_row(
        served,
        f"select coalesce(sum(member), 0), coalesce(sum({LINE_HASH[served.dialect]}), 0) from ({query}) as lines",
    )
    assert row is not None
    return int(row[0]), f"{row[0]}:{row[1]}"


def _catalogue_hash(catalogue: list[Audience]) -> str:
    return _digest(
        *(json.dumps([a.name, a.kind, a.definition_hash, a.meta], sort_keys=True, default=str) for a in catalogue)
    )


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
