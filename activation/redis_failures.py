"""What a Redis that fails is suffering from and what to do about it, in one clause, without credentials or data."""

import redis
from redis.exceptions import NoPermissionError

_REASONS = {
    "OOM": "is out of memory (maxmemory is reached): give it more memory",
    "WRONGTYPE": "holds a key of Weft's with another type (docs/redis-contract.md): delete it",
    "NOAUTH": "asks for a password: put it into REDIS_URL",
    "WRONGPASS": "refuses the user name or password of REDIS_URL",
    "NOPERM": "does not allow this user the commands that Weft needs",
    "READONLY": "is a read-only replica: point REDIS_URL at the primary",
    "LOADING": "is still loading its data: wait until it is ready",
    "MISCONF": "cannot save to its disk and refuses writes: free some disk space",
    "BUSY": "is busy with a long script: wait until it is free",
    "CROSSSLOT": "is a cluster: Weft needs a single primary",
    "MOVED": "is a cluster: Weft needs a single primary",
}
# Inside a script, or parsed by redis-py, an error has lost its code or carries it further back.
_WORDS = {
    "command not allowed when used memory": "OOM",
    "Operation against a key holding the wrong kind of value": "WRONGTYPE",
}


def address(client: redis.Redis) -> str:
    """Where a client connects to, as host:port or a socket path, never with a credential."""
    settings = client.connection_pool.connection_kwargs
    return str(settings.get("path") or f"{settings.get('host', 'localhost')}:{settings.get('port', 6379)}")


def diagnosis(client: redis.Redis, error: redis.RedisError) -> str:
    """For example: Redis at shop:6379 is out of memory (maxmemory is reached): give it more memory."""
    return f"Redis at {address(client)} {_complaint(error)}"


def _complaint(error: redis.RedisError) -> str:
    text = str(error)
    if isinstance(error, redis.AuthenticationError):
        return _REASONS["NOAUTH" if "required" in text.lower() else "WRONGPASS"]
    if isinstance(error, redis.BusyLoadingError):
        return _REASONS["LOADING"]
    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return "does not answer: start it"
    if isinstance(error, NoPermissionError):
        return _REASONS["NOPERM"]
    code = next((code for words, code in _WORDS.items() if words in text), None)
    code = code or next((code for code in _REASONS if code in text.split() or f"-{code}" in text), None)
    # The arguments that Redis repeats in some errors may be personal data.
    return _REASONS[code] if code else f"answered {text.partition(', with args')[0][:200]!r}"
