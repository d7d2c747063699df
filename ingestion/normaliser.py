"""The process between the log's two streams: reads requests behind the newest normalised one, and writes what became of them.

Its position is the last id of `events.normalized`, so there is nothing to store: killed anywhere, it reads the same requests again,
makes the same lines of them, and the log leaves out those that it has.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable

from ingestion.envelope import RejectReason
from ingestion.event_log import EventLog, LogError, LogFullError, Normalized, NormalizedEntry, RawEntry
from ingestion.normalise import normalise
from ingestion.normalise.lines import refused_whole

ENTRIES = 1_000
"""Requests in one round at most."""
ROUND_BYTES = 8 << 20
"""A round ends with the entry that brings it over this, in bytes read or in bytes to write."""

_READ_AT_ONCE = 32  # requests may be 2 MB each: more of them are asked for only after these were counted
_IDLE_SECONDS = 0.05
_TRIM_SECONDS = 5.0
_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0

_LOG = logging.getLogger("weft.normaliser")


def _no_step(step: str) -> None:
    """Outside of tests nothing happens at a step."""


def run(log: EventLog, stop: threading.Event, on_step: Callable[[str], None] = _no_step) -> None:
    """Normalise until `stop` is set; a round that was begun is finished. A log that does not answer is waited for."""
    pause = _FIRST_PAUSE_SECONDS
    trimmed_at: float | None = None
    limit = ENTRIES
    while not stop.is_set():
        try:
            if trimmed_at is None or time.monotonic() - trimmed_at >= _TRIM_SECONDS:
                on_step("before_trim")
                log.trim()
                trimmed_at = time.monotonic()
            count = run_once(log, limit=limit, on_step=on_step)
        except LogError as error:
            if isinstance(error, LogFullError) and limit > 1:
                limit = max(1, limit // 8)  # there may be room for less
                trimmed_at = None
                continue
            if pause == _FIRST_PAUSE_SECONDS:
                _LOG.warning("Normalising waits for the event log. %s", error)
            stop.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            trimmed_at = None  # a full log has room again once it is trimmed
        else:
            limit = min(ENTRIES, 2 * limit)
            if pause > _FIRST_PAUSE_SECONDS:
                _LOG.warning("Normalising goes on.")
                pause = _FIRST_PAUSE_SECONDS
            if not count:
                stop.wait(_IDLE_SECONDS)


def run_once(log: EventLog, *, limit: int = ENTRIES, on_step: Callable[[str], None] = _no_step) -> int:
    """One round: at most `limit` requests; returns how many were read and written. 0: there were none.

    Tells `on_step` of "read", "before_write" and "written". Raises LogError where the log does not do its part; what was not written
    is read again in the next round.
    """
    requests = _read(log, log.state().last_normalized, limit)
    if not requests:
        return 0
    on_step("read")
    entries: list[NormalizedEntry] = []
    size = 0
    for request in requests:
        normalized = _normalised(request)
        entries.append(NormalizedEntry(request.id, normalized))
        size += len(normalized.events) + len(normalized.products) + len(normalized.privacy)
        if size > ROUND_BYTES:
            break
    on_step("before_write")
    log.write_normalized(entries)
    on_step("written")
    return len(entries)


def _read(log: EventLog, after: str, limit: int) -> list[RawEntry]:
    requests: list[RawEntry] = []
    size = 0
    while len(requests) < limit and size <= ROUND_BYTES:
        asked = min(_READ_AT_ONCE, limit - len(requests))
        found = log.read_raw(requests[-1].id if requests else after, limit=asked)
        requests += found
        size += sum(len(request.received.body) for request in found)
        if len(found) < asked:
            break
    return requests


def _normalised(request: RawEntry) -> Normalized:
    try:
        return normalise(request.received, request.id)
    except Exception as error:  # noqa: BLE001 - one request that a shape does not foresee must not hold up all that come behind it
        place = traceback.extract_tb(error.__traceback__)[-1]
        # neither the error's words nor the request: both may name a person
        _LOG.error(
            "Request %s (%s) could not be normalised: %s in %s, line %d.",
            request.id,
            request.received.kind,
            type(error).__name__,
            place.name,
            place.lineno or 0,
        )
        return refused_whole(request.received, RejectReason.UNREADABLE)
