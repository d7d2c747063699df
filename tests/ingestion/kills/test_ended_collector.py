"""The collector is told to end while much is going on: it ends within ten seconds, and what it acknowledged is in the log."""

import resource
import signal
import socket
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.ingestion.collector.senders import UPLOAD_KEY
from tests.ingestion.kills.conftest import Place
from tests.ingestion.kills.ledger import CLEAN, OK
from tests.ingestion.kills.processes import Running
from tests.ingestion.kills.senders import MANY

END_SECONDS = 10.0
HALF = {
    "nothing": b"",
    "half a head": b"POST /v1/track HTTP/1.1\r\nHost: x\r\n",
    "half a body": b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
    "half an upload": b"POST /v1/uploads?name=half.csv HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %b\r\nContent-Length: 9000000\r\n\r\n%b"
    % (b64encode(UPLOAD_KEY.encode()), b"a,b\r\n" * 400_000),
}


@contextmanager
def half_sent(port: int, times: int) -> Iterator[None]:
    """Connections on which everything of HALF was sent, open for the block."""
    connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(times * len(HALF))]
    for connection, sent in zip(connections, [*HALF.values()] * times, strict=True):
        connection.sendall(sent)
    yield
    for connection in connections:
        connection.close()


def end(collector: Running) -> float:
    """SIGTERM; how many seconds it took to end."""
    begun = time.monotonic()
    collector.process.send_signal(signal.SIGTERM)
    collector.process.wait(3 * END_SECONDS)
    return time.monotonic() - begun


def end_under_load(place: Place, *, times: int) -> None:
    with place.senders(batches=MANY) as senders:
        for _ in range(times):
            with place.collector() as ending:
                senders.wait_for(place.ledger.count(OK) + 20)
                with half_sent(place.port, 5):
                    senders.wait_for(place.ledger.count(OK) + 20)
                    assert end(ending) < END_SECONDS
                assert "Traceback" not in ending.said.read_text()
        with place.collector():
            senders.finish()
    place.normalise()
    assert place.books() == CLEAN
    assert not [file for file in (place.folder / "spool").iterdir() if not file.name.startswith(".")]


def test_told_to_end_under_load_it_has_lost_nothing_and_shows_no_half_upload(place: Place) -> None:
    end_under_load(place, times=1)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_told_to_end_50_times_it_has_lost_nothing(place: Place) -> None:
    end_under_load(place, times=50)


def test_two_thousand_idle_connections_keep_nobody_waiting_and_are_cut_off(place: Place) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    idle: list[socket.socket] = []
    try:
        with place.collector() as collector, place.senders(threads=2, batches=1) as senders:
            senders.wait()
            before = collector.memory_bytes()
            idle += [socket.create_connection(("127.0.0.1", place.port), timeout=20) for _ in range(1_990)]
            begun = time.monotonic()
            with place.senders(threads=4, batches=25) as busy:
                busy.wait()
            assert time.monotonic() - begun < 8, "they are all still there"
            assert collector.memory_bytes() - before < 100_000_000
            answers = {connection.recv(1_000)[:12] for connection in idle}
            assert answers == {b"HTTP/1.1 408"}
        assert place.ledger.count(None) == place.ledger.count(503) == 0
    finally:
        for connection in idle:
            connection.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
