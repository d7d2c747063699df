"""Commands streamed down one socket while their replies are counted: many in flight, memory bounded, errors noticed."""

import select
import socket
import ssl
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import redis

_RECEIVE_BYTES = 1 << 18
_WAIT_FOR_IO = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class CommandStream:
    """One connection taken out of a pool; commands go in as bytes, replies must be single lines.

    Send only commands that answer with a status, a non-negative integer or (EXEC) an array of these: then an error
    and an EXEC that a WATCH aborted (`*-1`) are the only replies that hold a `-`. Raises redis.ResponseError for an
    error reply, redis.WatchError for an aborted EXEC, redis.ConnectionError when the server goes away and
    redis.TimeoutError when it neither reads nor answers for `patience` seconds. After an error the connection is
    closed, so the server forgets a transaction that was not executed.
    """

    def __init__(self, pool: redis.ConnectionPool, *, patience: float) -> None:
        self._pool = pool
        self._patience = patience
        self._connection = pool.get_connection()
        self._socket: socket.socket = self._connection._sock  # type: ignore[assignment]  # redis-py has no public way
        self._lines_due = 0
        self._lines_seen = 0
        self._error = b""
        self.bytes_sent = 0
        self.commands_sent = 0

    def __enter__(self) -> Self:
        self._socket.setblocking(False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._socket.settimeout(self._connection.socket_timeout)
        else:
            self._connection.disconnect()  # type: ignore[no-untyped-call]
        self._pool.release(self._connection)

    def send(self, commands: bytes | memoryview, *, count: int, reply_lines: int | None = None) -> None:
        """Send `count` commands that answer with `reply_lines` lines in all (default: one each)."""
        self._lines_due += count if reply_lines is None else reply_lines
        self.commands_sent += count
        self.bytes_sent += len(commands)
        rest = memoryview(commands)
        deadline = time.monotonic() + self._patience
        while rest:
            sent = self._send_some(rest)
            rest = rest[sent:]
            deadline = self._deadline_after(progressed=bool(sent), deadline=deadline)
            if rest:
                # Replies can wait: the server keeps them, and waking up for each one would slow it down.
                select.select([], [self._socket], [], 1.0)

    @property
    def lines_due(self) -> int:
        """Number of reply lines that everything sent so far will have produced."""
        return self._lines_due

    def wait(self, *, until: int | None = None) -> None:
        """Return when `until` reply lines (default: all that are due) have arrived."""
        target = self._lines_due if until is None else until
        deadline = time.monotonic() + self._patience
        while self._lines_seen < target:
            readable, _, _ = select.select([self._socket], [], [], 1.0)
            if readable:
                self._receive()
            deadline = self._deadline_after(progressed=bool(readable), deadline=deadline)

    def transaction(self, parts: Sequence[bytes | memoryview], *, count: int, fence: bytes, watch: bytes) -> None:
        """Run `count` commands in one MULTI/EXEC, but only if `fence` answers without an error.

        `watch` comes first, then `fence`; EXEC is held back until the fence's answer is here, while the commands
        travel already: the server has work and no round trip is lost. A change of the watched key after the fence
        looked makes EXEC abort."""
        self.send(watch, count=1)
        self.send(fence, count=1)
        fence_answered = self.lines_due
        self.send(_MULTI, count=1)
        for part in parts:
            self.send(part, count=0)
        self._lines_due += count
        self.commands_sent += count
        self.wait(until=fence_answered)
        self.send(_EXEC, count=1, reply_lines=count + 1)

    def _deadline_after(self, *, progressed: bool, deadline: float) -> float:
        now = time.monotonic()
        if progressed:
            return now + self._patience
        if now > deadline:
            raise redis.TimeoutError(f"no answer for {self._patience:g} seconds")
        return deadline

    def _send_some(self, rest: memoryview) -> int:
        try:
            return int(self._socket.send(rest))
        except _WAIT_FOR_IO:
            return 0
        except OSError as error:
            self._receive()  # why the server hung up, where it said so
            raise redis.ConnectionError(str(error)) from error

    def _receive(self) -> None:
        """Take in all that has arrived (all, because select does not see what TLS has already decrypted)."""
        while True:
            try:
                received = self._socket.recv(_RECEIVE_BYTES)
            except _WAIT_FOR_IO:
                return
            except OSError as error:
                raise redis.ConnectionError(str(error)) from error
            if not received:
                raise redis.ConnectionError("the server closed the connection")
            self._lines_seen += received.count(b"\n")
            if self._error or b"-" in received:
                self._raise_error(received)

    def _raise_error(self, received: bytes) -> None:
        """Raise what the first line with a `-` says; a line cut in two by the network is completed first."""
        self._error += received[received.index(b"-") :] if not self._error else received
        line, end, _ = self._error.partition(b"\r\n")
        if not end:
            self.wait(until=self._lines_seen + 1)
        if line.startswith(b"-1"):
            raise redis.WatchError("the manifest changed during the publication")
        raise redis.ResponseError(line[1:].decode(errors="replace"))


_MULTI = b"*1\r\n$5\r\nMULTI\r\n"
_EXEC = b"*1\r\n$4\r\nEXEC\r\n"
