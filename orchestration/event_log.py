"""Where the event log is: a Redis of one's own (WEFT_LOG_URL), else the one that Weft brings along, in <WEFT_HOME>/log."""

import fcntl
import logging
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import redis

from activation.embedded_redis import EmbeddedRedis
from activation.errors import EmbeddedRedisError
from activation.redis_keeper import kept_running
from ingestion.normalise.source_settings import SOURCE_FILES
from ingestion.redis_log import PATIENCE_SECONDS, RedisEventLog
from orchestration.settings import Settings

_STOP_SECONDS = 2.5
"""It takes milliseconds; a server that hangs may not hold up the end of the process."""

_LOG = logging.getLogger("weft.log")


def embedded_log(settings: Settings) -> EmbeddedRedis:
    """The embedded server of the log, not started: every accepted entry on disk before it is answered, nothing evicted."""
    return EmbeddedRedis(settings.log_folder, maxmemory_mb=settings.log_memory_mb)


@contextmanager
def log_address(settings: Settings, *, start: bool = True) -> Iterator[str | None]:
    """Address of the log for the block; it may hold a password. From then on this process reads entries by the operator's source files.

    The embedded server is started where it does not run, also when it is killed meanwhile, and stopped by the last process that leaves such
    a block; with `start` off the address is None where it does not run.
    """
    SOURCE_FILES.folder = settings.source_files
    if settings.log_url:
        yield settings.log_url.get_secret_value()
    elif start:
        with _running(settings) as server:
            yield server.url
    else:
        port = embedded_log(settings).running_port() if settings.log_folder.exists() else None
        yield f"redis://127.0.0.1:{port}/0" if port else None


@contextmanager
def opened_log(
    settings: Settings, *, start: bool = True, patience_seconds: float = PATIENCE_SECONDS
) -> Iterator[RedisEventLog | None]:
    """The log for its readers; None where the embedded one does not run and `start` is off."""
    with log_address(settings, start=start) as address:
        if address is None:
            yield None
            return
        log = RedisEventLog(address, patience_seconds=patience_seconds)
        try:
            yield log
        finally:
            log.close()


def has_log(settings: Settings) -> bool:
    """Whether there is or ever was a log to land from."""
    return settings.log_url is not None or (settings.log_folder / "redis.conf").exists()


@contextmanager
def _running(settings: Settings) -> Iterator[EmbeddedRedis]:
    """The embedded server, in use. Whoever uses it shares a lock, which a killed process lets go as well."""
    settings.log_folder.mkdir(parents=True, exist_ok=True)
    with (settings.log_folder / "in_use.lock").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        server = embedded_log(settings).start()
        keeper = None
        try:
            with kept_running(server) as keeper:
                yield server
        finally:
            if keeper and not keeper.is_alive() and _is_last(users):
                stopping = threading.Thread(target=_stop, args=(server,), name="log stopper", daemon=True)
                stopping.start()
                stopping.join(_STOP_SECONDS)


def _stop(server: EmbeddedRedis) -> None:
    try:
        server.stop()
    except (EmbeddedRedisError, redis.RedisError, subprocess.TimeoutExpired) as error:
        _LOG.warning(
            "The event log's Redis could not be stopped (%s); the next process will use it.", type(error).__name__
        )


def _is_last(users: IO[str]) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
