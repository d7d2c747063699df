"""Where the event log is: a Redis of one's own (WEFT_LOG_URL), else the one that Weft brings along, in <WEFT_HOME>/log."""

from collections.abc import Iterator
from contextlib import contextmanager

from activation.embedded_redis import EmbeddedRedis
from ingestion.redis_log import PATIENCE_SECONDS, RedisEventLog
from orchestration.settings import Settings


def embedded_log(settings: Settings) -> EmbeddedRedis:
    """The embedded server of the log, not started: every accepted entry on disk before it is answered, nothing evicted."""
    return EmbeddedRedis(settings.log_folder, maxmemory_mb=settings.log_memory_mb)


@contextmanager
def log_address(settings: Settings, *, start: bool = True) -> Iterator[str | None]:
    """Address of the log for the block. The embedded server is started where it does not run, and stopped again at the end;
    with `start` off the address is None then. The address may hold a password.
    """
    if settings.log_url:
        yield settings.log_url.get_secret_value()
    elif start:
        with embedded_log(settings) as server:
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
