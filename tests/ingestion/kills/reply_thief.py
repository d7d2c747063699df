"""A TCP proxy before Redis that can take an answer away after the command was carried out: the fault that makes clients send twice."""

import socket
import threading
from types import TracebackType
from typing import Self

from tests.ingestion.kills.senders import PATIENCE


class ReplyThief:
    """Passes everything on; after `steal` the next answer is kept back, and the connection that it was for is closed."""

    def __init__(self, redis_port: int) -> None:
        self._redis_port = redis_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._wanted = threading.Event()
        self._done = threading.Event()
        self._connections: list[socket.socket] = []
        self.stolen = 0

    @property
    def url(self) -> str:
        """The Redis behind the proxy."""
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"

    def steal(self) -> None:
        """Keep back the next answer that is an entry's id, and wait until there was one."""
        self._done.clear()
        self._wanted.set()
        assert self._done.wait(PATIENCE), "no answer can be stolen"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for connection in self._connections:
            _end(connection)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            redis = socket.create_connection(("127.0.0.1", self._redis_port))
            self._connections += [client, redis]
            threading.Thread(target=self._pass_on, args=(client, redis, False), daemon=True).start()
            threading.Thread(target=self._pass_on, args=(redis, client, True), daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        try:
            while data := source.recv(65_536):
                # the answers to XADD are `$<length>\r\n<id>\r\n`; those of the looks at the settings are lists
                if is_answer and data.startswith(b"$") and b"-" in data[:40] and self._wanted.is_set():
                    self._wanted.clear()
                    self.stolen += 1
                    self._done.set()
                    break
                target.sendall(data)
        except OSError:
            pass
        finally:
            _end(source)
            _end(target)


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
