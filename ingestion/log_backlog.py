"""How far the warehouse is behind the event log, and how full the log is: asked of the log alone, so that nobody waits for a writer."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ingestion.event_log import BEGINNING, EventLog
from ingestion.log_entries import id_parts
from ingestion.redis_log import WAREHOUSE


@dataclass(frozen=True)
class Backlog:
    """One log at one instant. Instants are naive UTC, by the log's clock; sizes are bytes.

    `position` is the last entry that has landed, `landed_until` when that came, `waiting_since` when the oldest came that has not landed.
    `entries` are requests that the log still holds, because they have not landed or another reader is behind.
    """

    epoch: str
    position: str
    last_received: str
    landed_until: datetime | None
    waiting_since: datetime | None
    entries: int
    is_normalised: bool
    memory_used: int
    memory_limit: int

    @property
    def is_waiting(self) -> bool:
        """Whether something has not landed."""
        return id_parts(self.last_received) > id_parts(self.position)

    @property
    def memory_share(self) -> float:
        """Of the memory that the log may use; 1 where it has no limit set, which no collector accepts."""
        return self.memory_used / self.memory_limit if self.memory_limit else 1.0

    def lag(self, now: datetime) -> timedelta:
        """How long the oldest that has not landed has waited."""
        return max(now - self.waiting_since, timedelta()) if self.waiting_since else timedelta()


def read_backlog(log: EventLog) -> Backlog:
    """How the log stands now. Raises LogError."""
    state = log.state()
    position = log.positions().get(WAREHOUSE, BEGINNING)
    # ids of both streams are the same, and requests are not forgotten before they have landed
    waiting = log.read_raw(position, limit=1)
    return Backlog(
        epoch=state.epoch,
        position=position,
        last_received=state.last_raw,
        landed_until=None if position == BEGINNING else _instant(position),
        waiting_since=_instant(waiting[0].id) if waiting else None,
        entries=state.raw_entries,
        is_normalised=id_parts(state.last_normalized) >= id_parts(state.last_raw),
        memory_used=state.memory_used,
        memory_limit=state.memory_limit,
    )


def _instant(entry_id: str) -> datetime:
    """When an entry was added."""
    return datetime.fromtimestamp(id_parts(entry_id)[0] / 1000, UTC).replace(tzinfo=None)
