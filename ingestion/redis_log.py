"""The event log on Redis Streams, for normaliser and readers. Needs Redis 6.2; the collector's side is redis_log_writer.py.

Nothing here is retried by itself: a call whose answer was lost may have been carried out, and only the caller knows whether doing it
again is harmless.
"""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
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
WAREHOUSE = "warehouse"
"""The reader that lands what was collected."""

# Entries that are there already are left out, and their counts with them, so that two normalisers, or one that was killed, change nothing.
WRITE_NORMALIZED: Final = """
local function parts(id)
    local milliseconds, number = string.match(id, '(%d+)-(%d+)')
    return tonumber(milliseconds), tonumber(number)
end
local last_ms, last_n = 0, 0
if redis.call('exists', KEYS[1]) == 1 then
    local info = redis.call('xinfo', 'stream', KEYS[1])
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then last_ms, last_n = parts(info[i + 1]) end
    end
end
local added, at = 0, 1
while at <= #ARGV do
    local id, length = ARGV[at], tonumber(ARGV[at + 1])
    local ms, n = parts(id)
    if ms > last_ms or (ms == last_ms and n > last_n) then
        redis.call('xadd', KEYS[1], id, unpack(ARGV, at + 2, at + 1 + length))
        for name, count in pairs(cjson.decode(ARGV[at + 3])) do redis.call('hincrby', KEYS[2], name, count) end
        last_ms, last_n = ms, n
        added = added + 1
    end
    at = at + 2 + length
end
return added
"""

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
        self._write_normalized = self._redis.register_script(WRITE_NORMALIZED)
        self._confirm = self._redis.register_script(CONFIRM)
        self._new_epoch = self._redis.register_script(NEW_EPOCH)

    def close(self) -> None:
        """Let the connections go."""
        self._redis.close()

    def state(self) -> LogState:
        """See EventLog. Begins the first epoch, and lets trimming wait for this log's readers, where that has not happened."""
        with _plain_words():
            begin = self._redis.pipeline(transaction=True)
            begin.set(EPOCH, secrets.token_hex(8), nx=True)
            for reader in self._readers:
                begin.hsetnx(READERS, reader, BEGINNING)
            begin.get(EPOCH)
            begin.info("memory")
            *_, epoch, memory = begin.execute()
            raw, normalized = self._stream(RAW), self._stream(NORMALIZED)
        return LogState(
            epoch=epoch.decode(),
            last_raw=raw[0],
            last_normalized=normalized[0],
            raw_entries=raw[1],
            normalized_entries=normalized[1],
            memory_used=int(memory["used_memory"]),
            memory_limit=int(memory["maxmemory"]),
        )

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
        """See EventLog; entries and counts in one step."""
        arguments: list[bytes | int] = []
        for entry in entries:
            fields = normalized_fields(entry.normalized)
            arguments += [entry.id.encode(), len(fields), *fields]
        with _plain_words():
            return int(self._write_normalized(keys=[NORMALIZED, COUNTS], args=arguments)) if entries else 0

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
        """See EventLog."""
        with _plain_words():
            self._confirm(keys=[EPOCH, READERS], args=[reader, position, epoch])

    def trim(self) -> int:
        """See EventLog. Only what every reader has passed, and of requests nothing that was not normalised."""
        slowest = min(self.positions().values(), key=id_parts, default=BEGINNING)
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

    def _stream(self, name: str) -> tuple[str, int]:
        """Last id and number of entries of a stream, also of one that does not exist yet."""
        try:
            found: dict[str, Any] = self._redis.xinfo_stream(name)
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
        raise LogFullError("The event log is full until its readers have come on.") from error
    except (redis.ConnectionError, redis.TimeoutError) as error:  # loading and read-only are among them
        raise LogUnavailableError("The event log does not answer; is its Redis running?") from error
    except redis.ResponseError as error:
        raise LogError(f"The event log refused a command ({str(error).split()[0]}).") from error
