"""Operator's moves on one audience: pin an older version, release the pin, withdraw the audience."""

import redis

from activation import keys
from activation import rollback_scripts as scripts
from activation.audience_copy import copy_set
from activation.audience_plan import members_of
from activation.errors import NotPublishedError, RollbackError
from activation.fingerprint import checksum, string_hashes
from activation.published_values import text
from activation.session import Session, publishing

_ATTEMPTS = 8


def rollback_audience(client: redis.Redis, name: str, to_version: int) -> None:
    """Point readers at a kept version and pin it: publications go on being stored, but the pointer stays until release.

    A version kept as a difference is rebuilt first, beside what readers see, and must have its manifest's checksum.
    Raises RollbackError where that version is not kept or its set no longer matches its manifest's count."""
    prefix = keys.audience_prefix(name)
    with publishing(client, f"audience {name!r}") as session:
        answer, *rest = session.redis.eval(scripts.PIN_AUDIENCE, 1, prefix, to_version, "")
        for _ in range(_ATTEMPTS):
            if answer != b"rebuild":
                break
            staging = _rebuilt(session, name, to_version, base=int(rest[0]))
            answer, *rest = session.redis.eval(scripts.PIN_AUDIENCE, 1, prefix, to_version, staging)
    if answer == b"unknown":
        versions = ", ".join(text(version) for version in rest) or "none"
        raise RollbackError(f"Audience {name!r} has no version {to_version} in Redis; kept versions: {versions}.")
    if answer == b"rebuild":
        raise RollbackError(f"Audience {name!r} is being published over and over; try the rollback again later.")
    if answer == b"damaged":
        raise RollbackError(
            f"Version {to_version} of audience {name!r} is damaged in Redis and cannot be rolled back to."
        )


def _rebuilt(session: Session, name: str, version: int, *, base: int) -> str:
    """Key of a staged set with the members of a version that is kept as a difference; '' where it must be tried again."""
    prefix, manifest = keys.audience_prefix(name), keys.audience_manifest_key(name, base)
    build = int(session.redis.hget(manifest, "build") or 0)
    staging = keys.audience_staging_key(name, build, session.token)
    # the next publication clears it should this process die
    session.redis.zadd(keys.audience_staging_registry_key(name), {staging: build})
    session.redis.unlink(staging)
    copy_set(session.redis, keys.audience_set_key(name, base), staging)
    wanted = session.redis.eval(scripts.UNDO_IN_COPY, 1, prefix, version, base, staging)
    if wanted is None:
        return ""
    members = members_of(session.redis, staging, int(session.redis.scard(staging)))
    if checksum(string_hashes(members)) != text(wanted):
        session.redis.unlink(staging)
    return staging


def release_audience(client: redis.Redis, name: str) -> int:
    """Lift a rollback's pin: readers see the newest published version again, whose number is returned.

    Raises NotPublishedError where the audience is not published."""
    with publishing(client, f"audience {name!r}") as session:
        newest = session.redis.eval(scripts.RELEASE_AUDIENCE, 1, keys.audience_prefix(name))
    if newest is None:
        raise NotPublishedError(f"Audience {name!r} is not published in Redis, so there is nothing to release.")
    return int(newest)


def withdraw_audience(client: redis.Redis, name: str) -> int:
    """Remove an audience that is no longer defined, with all its versions and its pin; returns how many versions went.

    Readers get NotPublishedError from then on. A publisher still at work on it can bring it back: stop that first."""
    with publishing(client, f"audience {name!r}") as session:
        prefix = keys.audience_prefix(name)
        return int(session.redis.eval(scripts.WITHDRAW_AUDIENCE, 2, prefix, keys.AUDIENCE_NAMES, name))
