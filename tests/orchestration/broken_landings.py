"""Landings of the event log made wrong on purpose, each of which the kill tests must find out."""

from collections.abc import Callable
from typing import Any

from ingestion import settlement
from ingestion.event_log import EventLog, NormalizedEntry
from ingestion.log_entries import NORMALIZED, RAW
from ingestion.redis_log import WAREHOUSE, RedisEventLog
from orchestration import log_landing
from orchestration.landing import DuckDBTarget


class ConfirmsWhatItReads:
    """(a) The log is told of entries when they are read, before anything of them is committed."""

    def __init__(self, log: RedisEventLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def read_normalized(self, after: str, *, limit: int) -> list[NormalizedEntry]:
        entries = self._log.read_normalized(after, limit=limit)
        if entries:
            self._log.confirm(WAREHOUSE, entries[-1].id, epoch=self._log.state().epoch)
        return entries


class TrimsRegardless:
    """(d) The log holds so many entries, whoever has read them, as with XADD and MAXLEN."""

    def __init__(self, log: RedisEventLog) -> None:
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def trim(self) -> int:
        return sum(int(self._log._redis.xtrim(name, maxlen=30, approximate=False)) for name in (RAW, NORMALIZED))


def position_first(log: RedisEventLog) -> EventLog:
    """(b) The position is committed by itself, before the rows."""
    write = log_landing._ChunkLanding._write

    def write_after_position(self: Any, staged: Any) -> Any:
        standing = log_landing.standing_position(self.target)
        epoch = standing.epoch if standing else log.state().epoch
        _alone(self.target, lambda: log_landing._write_position(
            self.target, log_landing.Position(epoch, self.chunk.last), self.landed_at
        ))  # fmt: skip
        return write(self, staged)

    log_landing._ChunkLanding._write = write_after_position  # type: ignore[method-assign]
    return log


def position_last(log: RedisEventLog) -> EventLog:
    """(c) The rows are committed by themselves, the position after them, and nobody looks whether a key has landed."""
    write = log_landing._ChunkLanding._write

    def write_before_position(self: Any, staged: Any) -> Any:
        report = write(self, staged)
        _alone(self.target, lambda: None)
        return report

    log_landing._ChunkLanding._write = write_before_position  # type: ignore[method-assign]
    settlement.FIND_STANDING = settlement.FIND_STANDING.replace("where (", "where false and (")
    settlement.MARK_KNOWN_REJECTS = "select 1"
    return log


def _alone(target: Any, write: Callable[[], None]) -> None:
    """Commit what was written until now and what `write` writes; then a new transaction begins."""
    connection = target.scratch if isinstance(target, DuckDBTarget) else target.connection
    write()
    connection.commit()
    if isinstance(target, DuckDBTarget):
        connection.begin()


VARIANTS: dict[str, Callable[[RedisEventLog], Any]] = {
    "confirm_before_commit": ConfirmsWhatItReads,
    "position_before_rows": position_first,
    "position_after_rows": position_last,
    "trim_regardless": TrimsRegardless,
}
