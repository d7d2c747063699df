"""A vendor's stand-in: a real HTTP server on loopback that keeps the vendor's rules, with faults on request."""

import json
import socket
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit


class Timepiece(Protocol):
    """Seconds since 1970."""

    def now(self) -> float:
        """Now."""


@dataclass(frozen=True)
class Call:
    """One request as the vendor sees it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def form(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(self.body.decode()).items()}


@dataclass
class Reply:
    """What the vendor answers; `content` is JSON, or bytes as they stand."""

    status: int
    content: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Fault = Reply | str
"""A reply instead of the real one, or, where the request is carried out: `lost` (its reply never comes), `cut` (half of it comes),
`reset` (the connection is torn down)."""


class Vendor(ABC):
    """A server that answers by `answer`. `faults` are used up by the requests in turn (None: none for this one).

    `tell` gets a line for every request that was carried out, without anything of a customer; GET /_state is answered with `state`.
    """

    def __init__(self, clock: Timepiece) -> None:
        self.clock = clock
        self.calls: list[Call] = []
        self.faults: list[Fault | None] = []
        self.before_each: Callable[[int], None] = lambda number: None
        self.tell: Callable[[str], None] = lambda line: None
        self.quiet_until = 0.0
        self.called_while_told_to_wait = 0
        self._lock = threading.Lock()

    @abstractmethod
    def answer(self, call: Call) -> Reply:
        """What a request of a well-behaved vendor gets."""

    def state(self) -> Any:
        """What it holds, as JSON, for people and tests to look at."""
        return {}

    def take(self, call: Call) -> tuple[Reply, str | None]:
        """The reply to a request, with a fault where one was asked for."""
        with self._lock:
            if (call.method, call.path) == ("GET", "/_state"):
                return Reply(200, self.state()), None
            if self.clock.now() < self.quiet_until - 0.001:
                self.called_while_told_to_wait += 1
            self.calls.append(call)
            self.before_each(len(self.calls))
            fault = self.faults.pop(0) if self.faults else None
            if isinstance(fault, Reply):
                if "Retry-After" in fault.headers and fault.headers["Retry-After"].isdigit():
                    self.quiet_until = self.clock.now() + float(fault.headers["Retry-After"])
                return fault, None
            return self.answer(call), fault

    @contextmanager
    def serving(self, port: int = 0) -> Iterator[str]:
        """Its URL, while it runs; without a port on a free one."""
        vendor = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
                headers = {name.lower(): value for name, value in self.headers.items()}
                reply, fault = vendor.take(Call(self.command, parts.path, query, headers, self.rfile.read(length)))
                is_plain = isinstance(reply.content, bytes)
                body = reply.content if is_plain else json.dumps(reply.content).encode()
                if fault in ("lost", "reset"):
                    self.close_connection = True
                    if fault == "reset":
                        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                named = {"Content-Type": "application/json", "Date": formatdate(vendor.clock.now(), usegmt=True)}
                named |= {"Content-Length": str(len(body)), **reply.headers}
                head = f"HTTP/1.1 {reply.status} Status\r\n" + "".join(f"{k}: {v}\r\n" for k, v in named.items())
                # in one piece: a second small one would wait for the first one's acknowledgement
                self.wfile.write(head.encode() + b"\r\n" + (body[: len(body) // 2] if fault == "cut" else body))
                self.close_connection = self.close_connection or fault == "cut"

            do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

            def log_message(self, *_: object) -> None:
                """Quiet."""

        server = _Server(("127.0.0.1", port), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is no error."""


class RollingLimit:
    """At most `most` requests in any `seconds`."""

    def __init__(self, clock: Timepiece, most: int, seconds: float) -> None:
        self._clock, self._most, self._seconds = clock, most, seconds
        self._taken: list[float] = []

    def is_met(self) -> bool:
        """Count a request; True where it is one too many."""
        now = self._clock.now()
        self._taken = [at for at in self._taken if at > now - self._seconds + 0.001]
        if len(self._taken) >= self._most:
            return True
        self._taken.append(now)
        return False
