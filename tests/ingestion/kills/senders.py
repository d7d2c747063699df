"""Senders that keep to the SDKs' contract: what was not acknowledged is sent again, with the same message ids."""

import http.client
import threading
import time
from base64 import b64encode
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.ingestion.collector.senders import KEY
from tests.ingestion.kills.ledger import OK, Attempt, Ledger

PATIENCE = 60.0
_PAUSE = 0.03
MANY = 1_000_000
_LEAVES = 6  # one batch in so many is not sent again: its sender has gone


def post(connection: http.client.HTTPConnection, attempt: Attempt, key: str = KEY) -> http.client.HTTPResponse | None:
    """Send an attempt and note its answer; None where none came."""
    authorization = "Basic " + b64encode(f"{key}:".encode()).decode()
    try:
        connection.request("POST", "/v1/batch", attempt.body, {"authorization": authorization})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException):
        connection.close()
        return None
    attempt.status = answer.status
    return answer


class Senders:
    """Threads that send batches through the collector on `port`; leaving the block ends them."""

    def __init__(self, ledger: Ledger, port: int, *, threads: int = 8, batches: int = 15, key: str = KEY) -> None:
        self.ledger = ledger
        self._port, self._batches, self._key = port, batches, key
        self._stop, self._begin_no_more = threading.Event(), threading.Event()
        self._late = False
        self._threads = [threading.Thread(target=self._send_all, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def finish(self) -> None:
        """Begin nothing new; wait until each has sent what it has begun."""
        self._begin_no_more.set()
        self.wait()

    def wait(self) -> None:
        """Wait until each has sent all of its own."""
        for thread in self._threads:
            thread.join()
        assert not self._late, "the collector does not take what is sent"

    def wait_for(self, acknowledged: int) -> None:
        """Wait until so many requests were acknowledged in all."""
        until(lambda: self.ledger.count(OK) >= acknowledged, "acknowledgements do not come")

    def _send_all(self, sender: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=15)
        for number in range(self._batches):
            if self._begin_no_more.is_set():
                break
            ids = self.ledger.compose(1 + number % 4)
            deadline = time.monotonic() + PATIENCE
            while not self._stop.is_set():
                answer = post(connection, self.ledger.begin(ids), self._key)
                if (answer is not None and answer.status == OK) or (sender + number) % _LEAVES == 0:
                    break
                if time.monotonic() > deadline:
                    self._late = True
                    return
                self._stop.wait(_PAUSE)
        connection.close()


def until(condition: Callable[[], bool], complaint: str, *, seconds: float = PATIENCE) -> float:
    """Wait for a condition; how many seconds it took. Fails with the complaint."""
    begun = time.monotonic()
    while not condition():
        assert time.monotonic() - begun < seconds, complaint
        time.sleep(0.01)
    return time.monotonic() - begun
