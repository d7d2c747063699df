"""Where the event log is: a Redis of one's own (WEFT_LOG_URL), else the one that Weft brings along, in <WEFT_HOME>/log."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager

from activation.embedded_redis import EmbeddedRedis
from ingestion.event_log import EventLog
from ingestion.normalise.source_settings import SOURCE_FILES
from orchestration.settings import Settings


def embedded_log(settings: Settings) -> EmbeddedRedis:
    """The embedded server of the log, not started: every accepted entry on disk before it is answered, nothing evicted."""
    return EmbeddedRedis(settings.log_folder, maxmemory_mb=settings.log_memory_mb)


@contextmanager
def log_address(settings: Settings, *, start: bool = True) -> Iterator[str | None]:
    """Address of the log for the block; it may hold a password. From then on this process reads entries by the operator's source files.

    The embedded server is started where it does not run, and stopped by the last process that leaves such a block; with `start` off the
    address is None where it does not run.
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
        try:
            yield server
        finally:
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                pass  # the others need it
            else:
                server.stop()


__all__ = ["EventLog", "embedded_log", "has_log", "log_address"]
