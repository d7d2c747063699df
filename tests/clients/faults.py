"""A collector as clients find it on a bad day: what stands before it answers for it, or takes the answer away."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Refuse:
    """Answer with a status, and say when to come again (seconds) where that is given; the collector sees nothing."""

    status: int
    retry_after: int | None = None


@dataclass(frozen=True)
class LoseAnswer:
    """The collector takes the request; its answer does not arrive."""


Fault = Refuse | LoseAnswer | None
"""What goes wrong with one request; None: nothing."""


@dataclass
class BadDay:
    """What goes wrong, request by request; nothing afterwards. `seen` counts what happened."""

    port: int = 0
    left: list[Fault] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next_fault(self) -> Fault:
        """What goes wrong with this request."""
        with self.lock:
            return self.left.pop(0) if self.left else None


@contextmanager
def bad_day(collector_port: int, *faults: Fault) -> Iterator[BadDay]:
    """A way to the collector on which these faults come first, one a request."""
    day = BadDay(left=list(faults))

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            fault = day.next_fault() if self.command != "OPTIONS" else None
            if isinstance(fault, Refuse):
                day.seen[str(fault.status)] += 1
                headers = {} if fault.retry_after is None else {"retry-after": str(fault.retry_after)}
                self.answer(fault.status, headers, b'{"code": "busy", "message": "Not now."}')
                return
            connection = HTTPConnection("127.0.0.1", collector_port)
            try:
                connection.request(self.command, self.path, body, dict(self.headers.items()))
                taken = connection.getresponse()
                content = taken.read()
            finally:
                connection.close()
            if isinstance(fault, LoseAnswer):
                day.seen[f"lost {taken.status}"] += 1
                self.close_connection = True
                return
            if self.command != "OPTIONS":
                day.seen[str(taken.status)] += 1
            self.answer(taken.status, dict(taken.getheaders()), content)

        do_GET = do_POST = do_OPTIONS = handle_any

        def answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                if name.lower() not in ("content-length", "date", "connection"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """A test's output needs no access log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    day.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield day
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
