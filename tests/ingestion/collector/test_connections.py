"""Over real sockets: senders who stop halfway, requests that parsers disagree about, and the end of the process."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.ingestion.collector.senders import KEY

ROOT = Path(__file__).resolve().parents[3]
GET = b"GET /health HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /v1/track HTTP/1.1\r\nHost: x\r\n"
RULES = {"receive_seconds": 1.0, "half_sent_seconds": 1.0, "drain_seconds": 3.0, "most_connections": 200}
PATIENCE = 10.0


@dataclass
class Served:
    """A collector in a process of its own."""

    port: int
    process: subprocess.Popen[str]
    log: Path

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.port))
        connection.settimeout(PATIENCE)
        return connection

    def memory_bytes(self) -> int:
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def serving(
    folder: Path,
    *,
    rules: dict[str, float] = RULES,
    append_seconds: float = 0.0,
    log_url: str = "",
    uploads: Path | None = None,
) -> Iterator[Served]:
    log = folder / "collector.log"
    with log.open("w", encoding="utf-8") as stderr:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.ingestion.collector.served"),
                *(json.dumps(rules), str(append_seconds), log_url, str(uploads or "")),
            ],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        try:
            assert process.stdout is not None
            yield Served(int(process.stdout.readline()), process, log)
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("collector")) as made:
        yield made


def until_closed(connection: socket.socket) -> bytes:
    """What the collector sends until it closes; fails after PATIENCE."""
    answer = b""
    try:
        while part := connection.recv(65_536):
            answer += part
    except ConnectionResetError:
        pass
    finally:
        connection.close()
    return answer


HALF = {
    "nothing": b"",
    "an empty line": b"\r\n",
    "half a request line": b"GET /hea",
    "half a head": GET,
    "half a body": POST + b"Content-Length: 100\r\n\r\n{",
    "half a chunk": POST + b"Transfer-Encoding: chunked\r\n\r\n50\r\nabc",
    "a request and a half": GET + b"\r\n" + GET,
}


@pytest.mark.parametrize("sent", HALF.values(), ids=HALF)
def test_who_stops_halfway_is_cut_off(served: Served, sent: bytes) -> None:
    connection = served.connect()
    begun = time.monotonic()
    connection.sendall(sent)
    answer = until_closed(connection)
    assert b"408 Request Timeout" in answer
    assert 0.9 < time.monotonic() - begun < 5


def test_who_trickles_is_cut_off_too(served: Served) -> None:
    connection = served.connect()
    begun = time.monotonic()
    connection.sendall(POST + b"Content-Length: 1000\r\n\r\n")
    connection.settimeout(0.1)
    answer = b""
    while time.monotonic() - begun < PATIENCE and b"408" not in answer:
        connection.sendall(b"x")
        try:
            answer = connection.recv(1_000)
        except TimeoutError:
            continue
    assert b"408" in answer
    connection.close()


def test_who_sends_without_reading_is_cut_off_and_does_not_fill_memory(served: Served) -> None:
    before = served.memory_bytes()
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    connection.connect(("127.0.0.1", served.port))
    connection.settimeout(PATIENCE)
    with pytest.raises(ConnectionError):
        while True:
            connection.sendall((b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n") * 100)
    connection.close()
    assert served.memory_bytes() - before < 20_000_000
    assert "Traceback" not in served.log.read_text(encoding="utf-8")


def test_a_hundred_stalled_senders_keep_nobody_waiting(served: Served) -> None:
    stalled = [served.connect() for _ in range(100)]
    for connection, sent in zip(stalled, list(HALF.values()) * 15, strict=False):
        connection.sendall(sent)
    slowest = 0.0
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}") as client:
        for _ in range(50):
            begun = time.monotonic()
            assert client.post("/v1/track", json={"event": "x"}, auth=(KEY, "")).status_code == 200
            slowest = max(slowest, time.monotonic() - begun)
    assert slowest < 1
    for connection in stalled:
        until_closed(connection)


def test_too_many_connections_are_refused_and_the_others_served(tmp_path: Path) -> None:
    with serving(tmp_path, rules=RULES | {"most_connections": 5, "receive_seconds": 5.0}) as few:
        held = [few.connect() for _ in range(5)]
        for connection in held:
            connection.sendall(GET)
        assert b"503" in until_closed(few.connect())
        for connection in held:
            connection.sendall(b"Connection: close\r\n\r\n")
            assert b"200 OK" in until_closed(connection)


AMBIGUOUS = {
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks twice": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
    "no host": b"GET /health HTTP/1.1\r\n\r\n",
    "bare line feeds": b"GET /health HTTP/1.1\nHost: x\n\n",
    "a bad chunk": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a negative length": POST + b"Content-Length: -5\r\n\r\n",
    "an endless length": POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "no ASCII in the path": b"GET /h\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "no ASCII in a name": GET + b"X-\xff: a\r\n\r\n",
    "a NUL": GET + b"X: a\x00b\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/0.9": b"GET /\r\n\r\n",
}


@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_what_parsers_disagree_about_is_refused(served: Served, sent: bytes) -> None:
    connection = served.connect()
    connection.sendall(sent)
    answer = until_closed(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1") == 1


LARGE_HEADS = {
    "one open header": GET + b"X: " + b"a" * 70_000,
    "one header": GET + b"X: " + b"a" * 64_000 + b"\r\n\r\n",
    "a long path": b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "many headers": GET + b"A: b\r\n" * 200 + b"\r\n",
}


@pytest.mark.parametrize("sent", LARGE_HEADS.values(), ids=LARGE_HEADS)
def test_large_heads_are_refused(served: Served, sent: bytes) -> None:
    connection = served.connect()
    connection.sendall(sent)
    assert b" 431 " in until_closed(connection)


def test_headers_that_are_not_ascii_are_no_mistake_of_ours(served: Served) -> None:
    connection = served.connect()
    connection.sendall(
        POST + b"Authorization: Basic \xff\xfe\r\nUser-Agent: \xe9\r\nOrigin: \xff\r\nConnection: close\r\n"
        b"Content-Length: 2\r\n\r\n{}"
    )
    assert b" 401 " in until_closed(connection)


def test_an_answer_to_a_body_that_is_too_large_can_be_read(served: Served) -> None:
    """A connection that is closed under a sender who is still sending shows it a reset instead of the refusal."""
    with httpx.Client(base_url=f"http://127.0.0.1:{served.port}") as client:
        for size in ((500 << 10) + 1, 4_000_000):
            answer = client.post("/v1/batch", content=b"x" * size, auth=(KEY, ""))
            assert (answer.status_code, answer.json()["code"]) == (400, "too_large")


def test_a_body_of_fifty_megabytes_is_cut_off_and_does_not_fill_memory(served: Served) -> None:
    before = served.memory_bytes()
    for head in (b"Content-Length: 50000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n2FAF080\r\n"):
        connection = served.connect()
        connection.sendall(POST + head)
        with pytest.raises((ConnectionError, AssertionError)):
            for _ in range(50):
                connection.sendall(b"x" * 1_000_000)
            assert b" 400 " not in until_closed(connection)
        connection.close()
    assert served.memory_bytes() - before < 20_000_000


def test_requests_in_a_row_on_one_connection_are_answered_in_their_order(served: Served) -> None:
    connection = served.connect()
    connection.sendall((GET + b"\r\n") * 3 + POST + b"Content-Length: 1\r\n\r\n{" + GET + b"Host: y\r\n\r\n")
    answer = until_closed(connection)
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"200", b"200", b"400"]


def test_the_end_waits_for_what_was_received_and_not_for_half_requests(tmp_path: Path) -> None:
    with serving(tmp_path, append_seconds=0.8) as ending:
        half = [ending.connect() for _ in range(20)]
        for connection, sent in zip(half, list(HALF.values()) * 4, strict=False):
            connection.sendall(sent)
        whole = ending.connect()
        body = b'{"event": "x", "writeKey": "%b"}' % KEY.encode()
        whole.sendall(POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        with httpx.Client(base_url=f"http://127.0.0.1:{ending.port}") as client:
            assert client.get("/health").status_code == 200  # so the request before it has been read
        begun = time.monotonic()
        ending.process.send_signal(signal.SIGTERM)
        assert b"200 OK" in until_closed(whole)
        ending.process.wait(PATIENCE)
        assert time.monotonic() - begun < 5
        assert "Traceback" not in ending.log.read_text(encoding="utf-8")


def test_the_end_comes_even_where_the_log_never_answers(tmp_path: Path) -> None:
    with serving(tmp_path, append_seconds=600) as ending:
        waiting = ending.connect()
        body = b'{"event": "x", "writeKey": "%b"}' % KEY.encode()
        waiting.sendall(POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        with httpx.Client(base_url=f"http://127.0.0.1:{ending.port}") as client:
            assert client.get("/health").status_code == 200
        ending.process.send_signal(signal.SIGTERM)
        ending.process.wait(PATIENCE)
        assert b"200 OK" not in until_closed(waiting)
