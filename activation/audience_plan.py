"""How an audience version is reached from what Redis really holds: as a difference, whole, or with nothing to send."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import redis

from activation import audience_scripts as scripts
from activation import keys
from activation.audience_snapshot import HeldMembers, held_members
from activation.errors import StalePublisherError
from activation.fingerprint import Hashes, checksum, string_hashes
from activation.published_values import text
from activation.set_difference import has_repeats, is_in, not_shared

Mode = Literal["diff", "whole", "nothing"]
_MEMBERS_PER_PAGE = 10_000
_SHARE_CHECKED = 50
_MEMBERS_CHECKED = 500
# Redis answers nobody else meanwhile: some 50 ms, as a COPY of 250,000 takes.
_MOST_CHANGED_IN_PLACE = 50_000
_NOBODY = pa.array([], pa.binary())


@dataclass(frozen=True, kw_only=True)
class Target:
    """The version to be: its members, and the identity of who publishes it."""

    name: str
    version: int
    build: int
    members: pa.Array
    hashes: Hashes
    checksum: str
    staging: str


@dataclass(frozen=True, kw_only=True)
class Base:
    """The newest version in Redis as its manifest and the size of its set say; `is_pinned` = a rollback holds it."""

    version: int
    checksum: str
    size: int
    is_pinned: bool


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the target is reached from what Redis holds: `base` is None where everything is sent.

    `is_in_place`: the base's set itself is changed, in one step, else a copy of it."""

    mode: Mode
    base: Base | None = None
    added: pa.Array = field(default_factory=lambda: _NOBODY)
    removed: pa.Array = field(default_factory=lambda: _NOBODY)
    is_in_place: bool = False
    damaged_version: int | None = None
    checked_until: int = 0


def target_version(*, name: str, version: int, build: int, members: pa.Array | pa.ChunkedArray, token: str) -> Target:
    """Check and fingerprint the members to publish; repeated ids count once. Raises ValueError for a missing id."""
    staging = keys.audience_staging_key(name, build, token)
    combined = members.combine_chunks() if isinstance(members, pa.ChunkedArray) else members
    distinct = combined.cast(pa.string()).cast(pa.binary())
    hashes = string_hashes(distinct)
    if has_repeats(hashes):
        distinct = pc.unique(distinct)
        hashes = string_hashes(distinct)
    if distinct.null_count or pc.any(pc.equal(pc.binary_length(distinct), 0)).as_py():
        raise ValueError(f"The members of audience {name!r} hold a missing id; a member is a customer id.")
    total = checksum(hashes)
    return Target(
        name=name, version=version, build=build, members=distinct, hashes=hashes, checksum=total, staging=staging
    )


def plan_publication(connection: redis.Redis, target: Target, snapshot: Path | None) -> Plan:
    """Compare the target with the newest version in Redis, and clear what crashes left staged.

    What that version holds is what `snapshot` remembers, where its checksum is that of Redis's manifest, the set has the
    manifest's count and a part of it (another one each time) was found to hold nobody else; where not, it is read.
    Raises StalePublisherError where Redis holds a newer version or build."""
    prefix = keys.audience_prefix(target.name)
    answer, *rest = connection.eval(scripts.PREPARE_AUDIENCE, 1, prefix, target.version, target.build)
    if answer == b"stale":
        refuse_stale(target, newest=text(rest[0]), build=text(rest[1]))
    if not rest or rest[0] is None:
        return _whole(target)
    newest, count, base_checksum, size, pinned = rest
    base = Base(version=int(newest), checksum=text(base_checksum), size=int(size), is_pinned=pinned == newest)
    held = None
    if text(count) == str(base.size):
        held = _remembered(connection, target, base, snapshot) or _read_back(connection, target, base)
    return _whole(target, damaged_version=base.version) if held is None else _reached_from(target, base, held)


def _reached_from(target: Target, base: Base, held: HeldMembers) -> Plan:
    if base.version == target.version and base.checksum == target.checksum and base.size == len(target.members):
        return Plan(mode="nothing", base=base, checked_until=held.checked_until)
    is_added, is_removed = not_shared(target.hashes, held.hashes)
    removed = held.chosen(is_removed)
    if removed is None:
        return _whole(target, damaged_version=base.version)
    added = target.members.filter(pa.array(is_added))
    changed = len(added) + len(removed)
    # under its own number a version has nothing else to become: older versions are kept as differences to it
    is_in_place = base.version == target.version or (changed <= _MOST_CHANGED_IN_PLACE and not base.is_pinned)
    if changed >= len(target.members) and base.version != target.version:
        return _whole(target, removed=removed)
    return Plan(
        mode="diff",
        base=base,
        added=added,
        removed=removed,
        is_in_place=is_in_place,
        checked_until=held.checked_until,
    )


def _whole(target: Target, *, removed: pa.Array = _NOBODY, damaged_version: int | None = None) -> Plan:
    return Plan(mode="whole", added=target.members, removed=removed, damaged_version=damaged_version)


def _remembered(connection: redis.Redis, target: Target, base: Base, snapshot: Path | None) -> HeldMembers | None:
    if snapshot is None:
        return None
    held = held_members(snapshot, name=target.name, version=base.version, manifest_checksum=base.checksum)
    if held is None or len(held.members) != base.size:
        return None
    some = base.size // _SHARE_CHECKED + _MEMBERS_CHECKED
    cursor, page = connection.sscan(keys.audience_set_key(target.name, base.version), held.checked_until, count=some)
    found = np.unique(string_hashes(pa.array(page, pa.binary())))
    # as many members as there should be and nobody else among them: nobody is missing either
    return replace(held, checked_until=int(cursor)) if is_in(held.hashes, found).sum() == len(found) else None


def _read_back(connection: redis.Redis, target: Target, base: Base) -> HeldMembers | None:
    members = members_of(connection, keys.audience_set_key(target.name, base.version), base.size)
    held = HeldMembers(members=members, hashes=string_hashes(members), checked_until=0)
    return held if checksum(held.hashes) == base.checksum else None


def members_of(connection: redis.Redis, key: str, size: int) -> pa.Array:
    """All members of a set that no longer changes, read in pages so that other readers are not kept waiting."""
    pages, cursor = [], 0
    while True:
        cursor, page = connection.sscan(key, cursor, count=_MEMBERS_PER_PAGE)
        pages.append(pa.array(page, pa.binary()))
        if not cursor:
            members = pa.concat_arrays(pages)
            return members if len(members) == size else pc.unique(members)


def refuse_stale(target: Target, *, newest: str, build: str) -> NoReturn:
    """Raise StalePublisherError: Redis holds a newer publication."""
    raise StalePublisherError(
        f"Audience {target.name!r} is at version {newest} of build {build} in Redis; version {target.version} of "
        f"build {target.build} is older and was not published."
    )
