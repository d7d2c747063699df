"""One publisher's own connections to the Redis that a client points at: no silent retries, replies as bytes."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from activation.command_stream import CommandStream
from activation.errors import PublicationError, StalePublisherError
from activation.scripts import FENCED

_PATIENCE_SECONDS = 60.0
_NOT_TAKEN_OVER = (
    "retry",
    "retry_on_error",
    "retry_on_timeout",
    "parser_class",
    "event_dispatcher",
    "himport_registry",
)
_REASONS = {
    "OOM": "is out of memory (maxmemory is reached); give it more memory and publish again",
    "WRONGTYPE": "holds a key of Weft's with another type (docs/redis-contract.md); delete it and publish again",
    "NOAUTH": "asks for a password; put it into REDIS_URL",
    "WRONGPASS": "refuses the user name or password of REDIS_URL",
    "NOPERM": "does not allow this user the commands that publication needs",
    "READONLY": "is a read-only replica; point REDIS_URL at the primary",
    "LOADING": "is still loading its data; publish again when it is ready",
    "MISCONF": "cannot save to its disk and refuses writes; free some disk space and publish again",
    "BUSY": "is busy with a long script; publish again when it is free",
    "CROSSSLOT": "is a cluster; contract 1 needs a single primary",
    "MOVED": "is a cluster; contract 1 needs a single primary",
}


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a publication talks through: `redis` for single commands and scripts, `stream()` for bulk."""

    redis: redis.Redis
    token: str

    def stream(self) -> CommandStream:
        """A command stream on one connection of this session."""
        return CommandStream(self.redis.connection_pool, patience=_PATIENCE_SECONDS)


def address(client: redis.Redis) -> str:
    """Where a client connects to, as host:port or a socket path, never with a credential."""
    settings = client.connection_pool.connection_kwargs
    return str(settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}")


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
    except (redis.ConnectionError, redis.TimeoutError) as error:
        raise PublicationError(_outage(client, what, error)) from error
    except redis.ResponseError as error:
        if FENCED in str(error):
            raise StalePublisherError(_overtaken(what)) from error
        raise PublicationError(_refusal(client, what, error)) from error
    finally:
        pool.disconnect()


def _pool_without_retries(pool: redis.ConnectionPool) -> redis.ConnectionPool:
    settings = {key: value for key, value in pool.connection_kwargs.items() if key not in _NOT_TAKEN_OVER}
    settings = {key: value for key, value in settings.items() if not key.startswith("maint_notifications")}
    settings |= {"decode_responses": False, "protocol": 2, "retry": Retry(NoBackoff(), 0)}
    settings["socket_timeout"] = max(_PATIENCE_SECONDS, settings.get("socket_timeout") or 0.0)
    return redis.ConnectionPool(connection_class=pool.connection_class, **settings)


def _overtaken(what: str) -> str:
    return f"Another publication of {what} began before this one ended, so this one stopped; the other one stands."


def _outage(client: redis.Redis, what: str, error: redis.RedisError) -> str:
    if isinstance(error, redis.AuthenticationError):
        return f"Publishing {what} failed: Redis at {address(client)} refuses the user name or password of REDIS_URL."
    if isinstance(error, redis.BusyLoadingError):
        return f"Publishing {what} failed: Redis at {address(client)} {_REASONS['LOADING']}."
    return (
        f"Publishing {what} failed: Redis at {address(client)} does not answer; start it and publish again, "
        "the version before stays readable."
    )


def _refusal(client: redis.Redis, what: str, error: redis.ResponseError) -> str:
    text = str(error)
    code = next((code for code in _REASONS if code in text.split() or f"-{code}" in text), None)
    if code is None and "command not allowed when used memory" in text:
        code = "OOM"
    if code is None and isinstance(error, NoPermissionError):
        code = "NOPERM"
    if code is None and "Operation against a key holding the wrong kind of value" in text:
        code = "WRONGTYPE"
    reason = _REASONS[code] if code else f"answered {text.partition(', with args')[0][:200]!r}"
    return f"Publishing {what} failed: Redis at {address(client)} {reason}. The version before stays readable."
