"""One pass at a time over an installation, whoever started it: steps of two passes between each other would build a mixture."""

import logging
from pathlib import Path

from filelock import FileLock, Timeout

from orchestration.settings import Settings

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0
_HELD: dict[Path, FileLock] = {}


def take_turn(settings: Settings) -> None:
    """Wait until no other process is in a pass; this one has the turn until `end_turn`, or until it ends, however it ends."""
    path = settings.home.absolute() / "pass.lock"
    if path in _HELD:
        return
    lock = FileLock(path, thread_local=False)
    try:
        lock.acquire(timeout=PATIENCE_SECONDS)
    except Timeout:
        log.warning("Another pass is in progress; waiting for it to finish.")
        lock.acquire()
    _HELD[path] = lock


def end_turn(settings: Settings) -> None:
    """Let the next pass go on; nothing where this process does not have the turn."""
    lock = _HELD.pop(settings.home.absolute() / "pass.lock", None)
    if lock:
        lock.release()
