"""One connection of the collector: what uvicorn does, with an end to the patience for senders who stop halfway, and stricter heads.

uvicorn waits without end for the rest of a request. Here a request has to be there whole some seconds after its first byte (or after the
connection), an answer has to be read in as many, and heads have a size. Bytes that parsers could disagree about are refused.
"""

import logging
from asyncio import Transport
from collections.abc import Callable
from typing import Any, ClassVar

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from ingestion.collector.settings import Connections

RECEIVE_SECONDS = "weft.receive_seconds"
"""Where a route says in its request's scope how long this body may take: uploads of an authenticated sender take longer."""

_LOGGER = logging.getLogger("weft.collector.connections")
_LOGGER.setLevel(logging.ERROR)  # uvicorn warns of every request that cannot be parsed: a sender could fill the disk

_ONCE = (b"host", b"content-length", b"transfer-encoding", b"content-encoding", b"content-type", b"authorization")


class CollectorConnection(HttpToolsProtocol):
    """A connection with deadlines; `cut_if_late` has to be called from time to time. See `connection_class`."""

    rules: ClassVar[Connections]
    on_cut: ClassVar[Callable[[int], None]]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.logger = _LOGGER
        self._receiving_since: float | None = None
        self._blocked_since: float | None = None
        self._closing_since: float | None = None
        self._head_bytes = 0
        self._is_head_open = True
        self._discarded = 0
        self._is_cut = False
        self._answering: RequestResponseCycle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """The first request is awaited from now on; beyond the most connections it is refused."""
        super().connection_made(transport)
        self._receiving_since = self.loop.time()
        if len(self.connections) > self.rules.most_connections:
            self._cut(503)

    def data_received(self, data: bytes) -> None:
        """Parse what came. Heads are counted before the parser gathers them."""
        if self._is_cut:
            return
        if self._receiving_since is None:
            self._receiving_since = self.loop.time()
        if self._is_head_open:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._is_head_open and self._head_bytes > self.rules.head_bytes:
            self._cut(431)

    def on_message_begin(self) -> None:
        """A request begins: its head is open."""
        super().on_message_begin()
        self._receiving_since = self._receiving_since or self.loop.time()
        self._is_head_open = True

    def on_headers_complete(self) -> None:
        """Start the application on a request, unless its head is too large or ambiguous."""
        self._head_bytes = 0
        self._discarded = 0
        if self._is_cut:
            return
        names = [name for name, _ in self.headers]
        http_version = self.parser.get_http_version()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.rules.head_bytes or len(names) > self.rules.head_fields:
            self._cut(431)
        elif len(self.pipeline) >= self.rules.pipelined_requests:
            self._cut(503)
        elif (
            any(names.count(name) > 1 for name in _ONCE)
            or (b"transfer-encoding" in names and b"content-length" in names)
            or http_version not in ("1.0", "1.1")
            or (b"host" not in names and http_version == "1.1")
        ):
            self._cut(400)
        else:
            self._is_head_open = False
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Hand on a part of the body. What follows a refusal is thrown away, up to a size, so that the refusal can be read."""
        if self._is_cut:
            return
        super().on_body(body)
        if self.cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > self.rules.discarded_bytes:
                self.transport.close()

    def on_message_complete(self) -> None:
        """The request is there whole."""
        self._receiving_since = None
        self._is_head_open = True
        if not self._is_cut:
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """uvicorn tells only the request that came last; the one being answered must not write any more either."""
        self.pipeline.clear()
        if self._answering is not None and not self._answering.response_complete:
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """What uvicorn calls where its parser cannot go on."""
        self._cut(400)

    def pause_writing(self) -> None:
        """The sender does not read its answers."""
        super().pause_writing()
        self._blocked_since = self.loop.time()

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        self._blocked_since = None

    def shutdown(self) -> None:
        """The collector is going down: nothing new is begun on this connection."""
        if self.cycle is not None and self.cycle.response_complete:
            self._is_cut = True
        super().shutdown()

    def cut_if_late(self, now: float, patience: float | None = None) -> None:
        """End the connection if its sender has taken too long; `patience` (seconds) instead of the rules' own."""
        if self.transport.is_closing():
            self._closing_since = self._closing_since or now
            if now - self._closing_since > (patience or self.rules.receive_seconds):
                self.transport.abort()
        elif self._blocked_since is not None and now - self._blocked_since > (patience or self.rules.receive_seconds):
            self.transport.abort()
        elif self._receiving_since is not None:
            if self.flow.read_paused:  # by us, while an earlier request is being answered
                self._receiving_since = now
            elif now - self._receiving_since > (patience or self._seconds_to_receive()):
                self._cut(408)

    def _seconds_to_receive(self) -> float:
        if self.scope is None:
            return self.rules.receive_seconds
        return float(self.scope.get(RECEIVE_SECONDS, self.rules.receive_seconds))  # type: ignore[arg-type]

    def _cut(self, status: int) -> None:
        """Take nothing more from this connection. Requests that were received whole before are answered first."""
        if not self._is_cut:
            type(self).on_cut(status)
        self._is_cut = True
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            if self.pipeline or not cycle.more_body or cycle.response_started:
                cycle.keep_alive = False
                return
        elif not self._is_head_open:  # a body that was refused already: its sender has the answer
            self.transport.close()
        if not self.transport.is_closing():
            self.transport.write(STATUS_LINE[status] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()


def connection_class(rules: Connections, on_cut: Callable[[int], None]) -> type[CollectorConnection]:
    """The class of connections that keep these rules, as uvicorn takes it. `on_cut` is told the status of every cut."""
    return type("ConfiguredConnection", (CollectorConnection,), {"rules": rules, "on_cut": staticmethod(on_cut)})
