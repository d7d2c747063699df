"""How an audience version is reached from what Redis really holds: as a difference, whole, or with nothing to send."""

from dataclasses import dataclass
from typing import Literal, NoReturn

import pyarrow as pa
import pyarrow.compute as pc
import redis

from activation import keys, scripts
from activation.errors import StalePublisherError
from activation.fingerprint import Hashes, checksum, string_hashes
from activation.published_values import text
from activation.set_difference import has_repeats, not_shared

Mode = Literal["diff", "whole", "nothing"]
_MEMBERS_PER_PAGE = 10_000
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
class Plan:
    """How the target is reached from what Redis holds."""

    mode: Mode
    base_version: int | None
    added: pa.Array
    removed: pa.Array
    damaged_version: int | None


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


def plan_publication(connection: redis.Redis, target: Target) -> Plan:
    """Compare the target with the newest version in Redis, as its set really is, and clear what crashes left staged.

    Raises StalePublisherError where Redis holds a newer version or build."""
    prefix = keys.audience_prefix(target.name)
    answer, *rest = connection.eval(scripts.PREPARE_AUDIENCE, 1, prefix, target.version, target.build)
    if answer == b"stale":
        refuse_stale(target, newest=text(rest[0]), build=text(rest[1]))
    if not rest or rest[0] is None:
        return _whole(target)
    base, count, base_checksum, size = int(rest[0]), text(rest[1]), text(rest[2]), int(rest[3])
    held = _members(connection, keys.audience_set_key(target.name, base), size) if count == str(size) else None
    held_hashes = string_hashes(held) if held is not None else None
    if held is None or held_hashes is None or checksum(held_hashes) != base_checksum:
        return _whole(target, damaged_version=base)
    if base == target.version and base_checksum == target.checksum and size == len(target.members):
        return Plan(mode="nothing", base_version=base, added=_NOBODY, removed=_NOBODY, damaged_version=None)
    is_added, is_removed = not_shared(target.hashes, held_hashes)
    added, removed = target.members.filter(pa.array(is_added)), held.filter(pa.array(is_removed))
    if len(added) + len(removed) >= len(target.members):
        return _whole(target, removed=removed)
    return Plan(mode="diff", base_version=base, added=added, removed=removed, damaged_version=None)


def _whole(target: Target, *, removed: pa.Array = _NOBODY, damaged_version: int | None = None) -> Plan:
    return Plan(mode="whole", base_version=None, added=target.members, removed=removed, damaged_version=damaged_version)


def _members(connection: redis.Redis, key: str, size: int) -> pa.Array:
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
