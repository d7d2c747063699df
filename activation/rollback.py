"""Operator's moves on one audience: pin an older version, release the pin, withdraw the audience."""

import redis

from activation import keys, scripts
from activation.errors import NotPublishedError, RollbackError
from activation.published_values import text
from activation.session import publishing


def rollback_audience(client: redis.Redis, name: str, to_version: int) -> None:
    """Point readers at a kept version and pin it: publications go on being stored, but the pointer stays until release.

    Raises RollbackError where that version is not kept or its set no longer matches its manifest's count."""
    with publishing(client, f"audience {name!r}") as session:
        answer, *kept = session.redis.eval(scripts.PIN_AUDIENCE, 1, keys.audience_prefix(name), to_version)
    if answer == b"unknown":
        versions = ", ".join(text(version) for version in kept) or "none"
        raise RollbackError(f"Audience {name!r} has no version {to_version} in Redis; kept versions: {versions}.")
    if answer == b"damaged":
        raise RollbackError(
            f"Version {to_version} of audience {name!r} is damaged in Redis and cannot be rolled back to."
        )


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
