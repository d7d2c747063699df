"""The collector's side of the event log on Redis Streams: few connections, on which requests wait together for one fsync.

What is appended in one turn of our loop goes out in one piece. Redis reads 16 KiB of each connection in a turn of its own loop, and syncs
its file once before it answers any of what it read: so a connection is given no more than that while another is free. The rate grows
with the number of requests that are under way, and every answer still means "on disk". A command is never sent again: a request whose
answer was lost may be in the log, which its sender is told by an error.
"""

import asyncio
import ssl
import time
from collections import deque
from collections.abc import Callable
from operator import attrgetter
from typing import Any, cast

import hiredis
from redis.asyncio.connection import parse_url

from ingestion.event_log import LogError, LogFullError, LogUnavailableError, Received, UnsafeLogError
from ingestion.log_entries import RAW, raw_fields
from ingestion.log_safety import ROOM, SETTINGS, info_fields, unsafe_reason, write_failure

PATIENCE_SECONDS = 2.0
"""A webhook's sender hangs up after five seconds; ours is told before that."""
LOOK_SECONDS = 1.0
CONNECTIONS = 32
TURN_BYTES = 16 << 10
"""What Redis reads of a connection in one turn of its loop."""
_NOT_THERE = "The event log does not answer; is its Redis running?"
_NO_ANSWER = "The event log did not answer; whether it has the entry is not known."
_NOT_LET_IN = "The event log's Redis lets nobody in: see the name and password of WEFT_LOG_URL, and its maxclients."
_LOADING = "LOADING"
_FULL = "The event log is full until its readers have come on."


class RedisLogWriter:
    """A LogWriter in the Redis at `url`.

    Once a second it looks whether Redis is still set so that nothing it takes can be lost, and has room: see log_safety. `append`
    refuses at once where the last look found otherwise, or where the room that it found has been filled since.
    """

    def __init__(self, url: str, *, room: float = ROOM, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._address: dict[str, Any] = dict(parse_url(url))
        self._room = room
        self._patience = patience_seconds
        self._room_bytes = 0.0
        self._connections: list[_Connection] = []
        self._connecting = asyncio.Lock()
        self._trouble: LogError | None = LogUnavailableError("The event log has not been looked at yet.")
        self._first_look: asyncio.Task[None] | None = None
        self._looks: asyncio.Task[None] | None = None

    async def append(self, received: Received) -> str:
        """See LogWriter."""
        if self._first_look is None or not self._first_look.done():
            await self.check()
        self._raise_trouble()
        command = _command(b"XADD", RAW.encode(), b"*", *raw_fields(received))
        if self._room_bytes < len(command):
            raise LogFullError(_FULL)
        if not self._connections:
            await self._connect()
        self._room_bytes -= len(command)
        answer = await self._free_connection(len(command)).ask(command)
        if isinstance(answer, bytes):
            return answer.decode()
        raise _refusal(answer)

    async def check(self) -> None:
        """See LogWriter."""
        if self._first_look is None:
            self._first_look = asyncio.create_task(self._look())
            self._looks = asyncio.create_task(self._look_again_and_again())
        await asyncio.shield(self._first_look)  # whoever waits for it may be given up; the others still wait
        self._raise_trouble()

    async def close(self) -> None:
        """See LogWriter."""
        if self._looks is not None:
            self._looks.cancel()
            await asyncio.gather(self._looks, return_exceptions=True)
        await asyncio.gather(*(connection.close() for connection in self._connections))

    def _free_connection(self, size: int) -> "_Connection":
        """The first one that Redis reads in one turn with a command of this size (bytes), else the one with least to do."""
        for connection in self._connections:
            if not connection.bytes_under_way or connection.bytes_under_way + size <= TURN_BYTES:
                return connection
        return min(self._connections, key=attrgetter("bytes_under_way"))

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            raise type(self._trouble)(*self._trouble.args)

    async def _look_again_and_again(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self._look()

    async def _look(self) -> None:
        try:
            self._trouble = await self._found_trouble()
        except LogError as error:
            self._trouble = error
        except Exception as error:  # noqa: BLE001 - a look that ends otherwise must not be the last one, nor leave the door open
            self._trouble = LogUnavailableError(f"The event log could not be looked at ({type(error).__name__}).")

    async def _found_trouble(self) -> LogError | None:
        if len(self._connections) < CONNECTIONS:
            await self._connect(is_look=True)
        connection = self._connections[0]
        asked = [_command(b"CONFIG", b"GET", name.encode()) for name in SETTINGS]
        asked += [_command(b"INFO"), _command(b"TIME")]
        *found, info, clock = await asyncio.gather(*map(connection.ask, asked))
        for answer in (*found, info, clock):
            if isinstance(answer, Exception):
                if str(answer).startswith(_LOADING):
                    return LogUnavailableError("The event log's Redis is reading its file.")
                return UnsafeLogError(
                    "The event log's Redis does not show its settings: allow CONFIG GET, INFO and TIME."
                )
        settings = {answer[0].decode(): answer[1].decode() for answer in found if answer}
        fields = info_fields(info.decode())
        offset = float(clock[0]) - time.time()
        if failure := write_failure(fields):
            return LogUnavailableError(failure)
        if reason := unsafe_reason(settings, role=fields.get("role", ""), clock_offset_seconds=offset):
            return UnsafeLogError(reason)
        self._room_bytes = self._room * int(settings["maxmemory"]) - int(fields["used_memory"])
        return LogFullError(_FULL) if self._room_bytes < 0 else None

    async def _connect(self, *, is_look: bool = False) -> None:
        """Open the connections that are missing."""
        async with self._connecting:
            if self._connections and not is_look:
                return
            if not is_look:  # the one before us in the queue may have found that nobody answers
                self._raise_trouble()
            missing = range(CONNECTIONS - len(self._connections))
            try:
                async with asyncio.timeout(self._patience):
                    await asyncio.gather(*(self._open_another() for _ in missing))
            except (OSError, TimeoutError, LogUnavailableError) as error:
                if self._connections:  # some are enough; the next look tries again
                    return
                self._trouble = error if isinstance(error, LogError) else LogUnavailableError(_NOT_THERE)
                raise self._trouble from error

    async def _open_another(self) -> None:
        connection = await _opened(self._address, self._patience)
        for command in _greeting(self._address):
            answer = await connection.ask(command)
            if isinstance(answer, Exception) and not str(answer).startswith(_LOADING):
                connection.abort()
                raise LogUnavailableError(_NOT_LET_IN)
        connection.when_lost = self._forget
        self._connections.append(connection)

    def _forget(self, lost: "_Connection") -> None:
        self._connections.remove(lost)
        if lost.is_given_up or not self._connections:
            self._trouble = LogUnavailableError(_NOT_THERE)


class _Connection(asyncio.Protocol):
    """One connection; answers come in the order of the commands."""

    def __init__(self, patience: float) -> None:
        self.when_lost: Callable[[_Connection], None] = _nobody_told
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._reader: Any = hiredis.Reader()
        self.bytes_under_way = 0
        self.is_given_up = False
        self._waiting: deque[tuple[asyncio.Future[Any], float, int]] = deque()
        self._unsent: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._drained = asyncio.Event()

    def ask(self, command: bytes) -> asyncio.Future[Any]:
        """Send a command; its answer, Redis' errors as hiredis.ReplyError. The future raises LogUnavailableError where none comes."""
        future: asyncio.Future[Any] = self._loop.create_future()
        if self._transport is None or self._transport.is_closing():
            future.set_exception(LogUnavailableError(_NO_ANSWER))
            return future
        self._waiting.append((future, self._loop.time(), len(command)))
        self.bytes_under_way += len(command)
        if not self._unsent:
            # what the other requests of this turn of the loop append goes out with it
            self._loop.call_soon(self._send)
        self._unsent.append(command)
        if self._watch is None:
            self._watch = self._loop.call_later(self._patience, self._look_at_oldest)
        return future

    async def close(self) -> None:
        """Wait for the answers that are due, then close."""
        while self._waiting:
            await asyncio.wait([self._waiting[-1][0]])
        if self._transport is not None:
            self._transport.close()
            await self._drained.wait()

    def abort(self) -> None:
        """Let it go at once."""
        if self._transport is not None:
            self._transport.abort()

    def _send(self) -> None:
        if self._transport is not None and self._unsent:
            self._transport.write(b"".join(self._unsent))
        self._unsent.clear()

    def _look_at_oldest(self) -> None:
        self._watch = None
        if not self._waiting:
            return
        left = self._waiting[0][1] + self._patience - self._loop.time()
        if left > 0:
            self._watch = self._loop.call_later(left, self._look_at_oldest)
        else:
            self.is_given_up = True
            self.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.Protocol."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one by its methods only

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        self._reader.feed(data)
        while (answer := self._reader.gets()) is not False:
            future, _, size = self._waiting.popleft()
            self.bytes_under_way -= size
            if not future.done():  # its request may have been given up
                future.set_result(answer)

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio.Protocol."""
        if self._watch is not None:
            self._watch.cancel()
        self._unsent.clear()
        while self._waiting:
            future, _, _ = self._waiting.popleft()
            if not future.done():
                future.set_exception(LogUnavailableError(_NO_ANSWER))
        self._drained.set()
        self.when_lost(self)


def _nobody_told(_lost: _Connection) -> None:
    """Before a connection is in use, whoever opened it sees for himself that it was lost."""


async def _opened(address: dict[str, Any], patience: float) -> _Connection:
    loop = asyncio.get_running_loop()
    if "path" in address:
        _, connection = await loop.create_unix_connection(lambda: _Connection(patience), address["path"])
        return connection
    secure = ssl.create_default_context() if "SSL" in address.get("connection_class", type(None)).__name__ else None
    host, port = address.get("host", "127.0.0.1"), address.get("port", 6379)
    _, connection = await loop.create_connection(lambda: _Connection(patience), host, port, ssl=secure)
    return connection


def _greeting(address: dict[str, Any]) -> list[bytes]:
    """The commands that a new connection begins with: who we are, the database, and whether we were let in."""
    commands = []
    if address.get("password"):
        who = [address["username"].encode()] if address.get("username") else []
        commands.append(_command(b"AUTH", *who, address["password"].encode()))
    if address.get("db"):
        commands.append(_command(b"SELECT", b"%d" % address["db"]))
    return [*commands, _command(b"PING")]


def _command(*parts: bytes) -> bytes:
    return b"*%d\r\n%b" % (len(parts), b"".join([b"$%d\r\n%b\r\n" % (len(part), part) for part in parts]))


def _refusal(answer: Any) -> LogError:
    """What Redis said instead of an id, without its words where they could show something of the entry."""
    code = str(answer).partition(" ")[0]
    if code == "OOM":
        return LogFullError(_FULL)
    return LogUnavailableError(f"The event log refused the entry ({code}).")
