"""The event log on Redis Streams, for normaliser and readers. Needs Redis 6.2; the collector's side is redis_log_writer.py.

Nothing here is retried by itself: a call whose answer was lost may have been carried out, and only the caller knows whether doing it
again is harmless.
"""

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from ingestion.event_log import (
    BEGINNING,
    LogError,
    LogFullError,
    LogState,
    LogUnavailableError,
    NormalizedEntry,
    RawEntry,
    Received,
)
from ingestion.log_entries import (
    COUNTS,
    EPOCH,
    NORMALIZED,
    RAW,
    READERS,
    id_parts,
    next_id,
    normalized_entry,
    normalized_fields,
    raw_entry,
)

PATIENCE_SECONDS = 10.0
_FULL = "The event log is full until its readers have come on."
WAREHOUSE = "warehouse"
"""The reader that lands what was collected."""

CONFIRM: Final = """
if redis.call('get', KEYS[1]) ~= ARGV[3] then return 0 end
local function parts(id)
    local milliseconds, number = string.match(id, '(%d+)-(%d+)')
    return tonumber(milliseconds), tonumber(number)
end
local was_ms, was_n = parts(redis.call('hget', KEYS[2], ARGV[1]) or '0-0')
local ms, n = parts(ARGV[2])
if ms < was_ms or (ms == was_ms and n <= was_n) then return 0 end
redis.call('hset', KEYS[2], ARGV[1], ARGV[2])
return 1
"""

NEW_EPOCH: Final = """
redis.call('set', KEYS[1], ARGV[1])
for _, reader in ipairs(redis.call('hkeys', KEYS[2])) do redis.call('hset', KEYS[2], reader, '0-0') end
redis.call('del', KEYS[3])
"""


class RedisEventLog:
    """An EventLog in the Redis at `url`. `readers` are those whose position holds back what is forgotten, also before they first read."""

    def __init__(
        self, url: str, *, readers: Sequence[str] = (WAREHOUSE,), patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._redis = redis.Redis.from_url(
            url,
            socket_timeout=patience_seconds,
            socket_connect_timeout=patience_seconds,
            retry=Retry(NoBackoff(), 0),
        )
        self._readers = tuple(readers)
        self._confirm = self._redis.register_script(CONFIRM)
        self._new_epoch = self._redis.register_script(NEW_EPOCH)

    def close(self) -> None:
        """Let the connections go."""
        self._redis.close()

    def state(self) -> LogState:
        """See EventLog. Begins the first epoch, and lets trimming wait for this log's readers, where that has not happened."""
        with _plain_words():
            asked = self._redis.pipeline(transaction=False)
            asked.get(EPOCH)
            asked.hkeys(READERS)
            asked.info("memory")
            epoch, known, memory = asked.execute()
            if epoch is None or not {reader.encode() for reader in self._readers} <= set(known):
                epoch = self._begun()  # only where it is needed: a log without any room can be read, not written
            raw, normalized = _stream(self._redis, RAW), _stream(self._redis, NORMALIZED)
        return LogState(
            epoch=epoch.decode(),
            last_raw=raw[0],
            last_normalized=normalized[0],
            raw_entries=raw[1],
            normalized_entries=normalized[1],
            memory_used=int(memory["used_memory"]),
            memory_limit=int(memory["maxmemory"]),
        )

    def _begun(self) -> bytes:
        begin = self._redis.pipeline(transaction=True)
        begin.set(EPOCH, secrets.token_hex(8), nx=True)
        for reader in self._readers:
            begin.hsetnx(READERS, reader, BEGINNING)
        begin.get(EPOCH)
        epoch: bytes = begin.execute()[-1]
        return epoch

    def read_raw(self, after: str, *, limit: int) -> list[RawEntry]:
        """See EventLog."""
        return [raw_entry(*entry) for entry in self._range(RAW, after, limit)]

    def raw(self, ids: Sequence[str]) -> dict[str, Received]:
        """See EventLog."""
        with _plain_words():
            asked = self._redis.pipeline(transaction=False)
            for entry_id in ids:
                asked.xrange(RAW, entry_id, entry_id)
            found = [raw_entry(*entry) for entries in asked.execute() for entry in entries]
        return {entry.id: entry.received for entry in found}

    def write_normalized(self, entries: Sequence[NormalizedEntry]) -> int:
        """See EventLog; entries and counts in one step.

        What is there already is left out, and its counts with it, so that two normalisers, or one that was killed, change
        nothing. Each names the one written before it (v), so that no reader passes over a gap without seeing it. This is no
        script because Lua compares every long text that it is given with those that look alike, as events do: of the time of
        writing that took three quarters, and senders could make it worse.
        """
        with _plain_words(), self._redis.pipeline(transaction=True) as step:
            while True:
                step.watch(NORMALIZED)  # type: ignore[no-untyped-call]
                before = _stream(step, NORMALIZED)[0]
                new = [entry for entry in entries if id_parts(entry.id) > id_parts(before)]
                if not new:
                    return 0
                step.multi()
                counts: Counter[str] = Counter()
                for entry in new:
                    fields = [b"v", before.encode(), *normalized_fields(entry.normalized)]
                    step.execute_command("XADD", NORMALIZED, entry.id, *fields)  # type: ignore[no-untyped-call]
                    before = entry.id
                    counts.update(entry.normalized.counts)
                for name, count in counts.items():
                    step.hincrby(COUNTS, name, count)
                with suppress(redis.WatchError):  # somebody else wrote, or trimmed, in between
                    step.execute()
                    return len(new)

    def read_normalized(self, after: str, *, limit: int) -> list[NormalizedEntry]:
        """See EventLog."""
        return [normalized_entry(*entry) for entry in self._range(NORMALIZED, after, limit)]

    def positions(self) -> dict[str, str]:
        """See EventLog."""
        with _plain_words():
            found: dict[bytes, bytes] = self._redis.hgetall(READERS)  # type: ignore[assignment]
        return dict.fromkeys(self._readers, BEGINNING) | {
            name.decode(): position.decode() for name, position in found.items()
        }

    def confirm(self, reader: str, position: str, *, epoch: str) -> None:
        """See EventLog. In a log without any room, what the reader has passed is forgotten first: that makes some."""
        try:
            self._note(reader, position, epoch)
        except LogFullError:
            with _plain_words():
                is_current = self._redis.get(EPOCH) == epoch.encode()
            if is_current:
                self._forget(self.positions() | {reader: position})
                self._note(reader, position, epoch)

    def _note(self, reader: str, position: str, epoch: str) -> None:
        with _plain_words():
            self._confirm(keys=[EPOCH, READERS], args=[reader, position, epoch])

    def trim(self) -> int:
        """See EventLog. Only what every reader has passed, and of requests nothing that was not normalised."""
        return self._forget(self.positions())

    def _forget(self, positions: Mapping[str, str]) -> int:
        slowest = min(positions.values(), key=id_parts, default=BEGINNING)
        if slowest == BEGINNING:
            return 0
        with _plain_words():
            forget = self._redis.pipeline(transaction=False)
            for stream in (RAW, NORMALIZED):
                forget.xtrim(stream, minid=next_id(slowest), approximate=False)
            return int(sum(forget.execute()))

    def counts(self) -> dict[str, int]:
        """See EventLog."""
        with _plain_words():
            found: dict[bytes, bytes] = self._redis.hgetall(COUNTS)  # type: ignore[assignment]
        return {name.decode(): int(count) for name, count in found.items()}

    def new_epoch(self) -> str:
        """See EventLog."""
        epoch = secrets.token_hex(8)
        with _plain_words():
            self._new_epoch(keys=[EPOCH, READERS, COUNTS], args=[epoch])
        return epoch

    def _range(self, stream: str, after: str, limit: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        with _plain_words():
            found: list[tuple[bytes, dict[bytes, bytes]]] = self._redis.xrange(stream, f"({after}", "+", count=limit)  # type: ignore[assignment]
        return found


def _stream(client: redis.Redis, name: str) -> tuple[str, int]:
    """Last id and number of entries of a stream, also of one that does not exist yet."""
    try:
        found: dict[str, Any] = client.xinfo_stream(name)
    except redis.ResponseError as error:
        if "no such key" not in str(error):
            raise
        return BEGINNING, 0
    return found["last-generated-id"].decode(), int(found["length"])


@contextmanager
def _plain_words() -> Iterator[None]:
    """Redis' errors as ours; its own words may show a value."""
    try:
        yield
    except redis.exceptions.OutOfMemoryError as error:
        raise LogFullError(_FULL) from error
    except (redis.ConnectionError, redis.TimeoutError) as error:  # loading and read-only are among them
        raise LogUnavailableError("The event log does not answer; is its Redis running?") from error
    except redis.ResponseError as error:
        if "-OOM " in str(error):  # from within a script; nothing of it was carried out
            raise LogFullError(_FULL) from error
        raise LogError(f"The event log refused a command ({str(error).split()[0]}).") from error
