"""The one lock that every writer of a DuckDB file queues on, an analyst's own dbt included."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0


def lock_path(warehouse: Path) -> Path:
    """The lock's file beside the warehouse."""
    return warehouse.with_name(warehouse.name + ".lock")


@contextmanager
def writer_lock(warehouse: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the writer's lock; yields False at once where `wait` is off and somebody else writes.

    The kernel frees the lock when its process dies, so a killed run never keeps the next one out.
    """
    warehouse.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_path(warehouse), thread_local=False)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS if wait else 0)
    except Timeout:
        if not wait:
            yield False
            return
        log.warning("Another run is writing to the warehouse; waiting for it to finish.")
        lock.acquire()
    try:
        yield True
    finally:
        lock.release()
