"""One publisher's own connections to the Redis that a client points at: no silent retries, replies as bytes."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from activation.command_stream import CommandStream
from activation.errors import PublicationError, StalePublisherError
from activation.profile_scripts import FENCED
from activation.redis_failures import diagnosis

_PATIENCE_SECONDS = 60.0
_NOT_TAKEN_OVER = (
    "retry",
    "retry_on_error",
    "retry_on_timeout",
    "parser_class",
    "event_dispatcher",
    "himport_registry",
)


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a publication talks through: `redis` for single commands and scripts, `stream()` for bulk."""

    redis: redis.Redis
    token: str

    def stream(self) -> CommandStream:
        """A command stream on one connection of this session."""
        return CommandStream(self.redis.connection_pool, patience=_PATIENCE_SECONDS)


@contextmanager
def publishing(client: redis.Redis, what: str) -> Iterator[Session]:
    """A session for publishing `what`; outages and refusals of Redis become one PublicationError.

    redis-py repeats a command whose connection broke; a repeated write could land after a newer publication, so this
    session never retries. It uses its own connections and leaves the client's alone."""
    pool = _pool_without_retries(client.connection_pool)
    try:
        yield Session(redis=redis.Redis(connection_pool=pool), token=secrets.token_hex(8))
    except redis.WatchError as error:
        raise StalePublisherError(_overtaken(what)) from error
    except redis.RedisError as error:
        if FENCED in str(error):
            raise StalePublisherError(_overtaken(what)) from error
        raise PublicationError(
            f"Publishing {what} failed: {diagnosis(client, error)}, then publish again; "
            "the version before stays readable."
        ) from error
    finally:
        pool.disconnect()


def _pool_without_retries(pool: redis.ConnectionPool) -> redis.ConnectionPool:
    settings = {key: value for key, value in pool.connection_kwargs.items() if key not in _NOT_TAKEN_OVER}
    settings = {key: value for key, value in settings.items() if not key.startswith("maint_notifications")}
    settings |= {"decode_responses": False, "protocol": 2, "retry": Retry(NoBackoff(), 0)}
    if find_spec("redis.driver_info"):
        # else redis-py reads its own package's metadata from the disk for each connection, to tell the server its version
        settings["driver_info"] = None
    settings["socket_timeout"] = max(_PATIENCE_SECONDS, settings.get("socket_timeout") or 0.0)
    return redis.ConnectionPool(connection_class=pool.connection_class, **settings)


def _overtaken(what: str) -> str:
    return f"Another publication of {what} began before this one ended, so this one stopped; the other one stands."
