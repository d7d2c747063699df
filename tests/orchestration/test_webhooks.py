"""Webhooks against real servers on this machine, and against addresses that must never be called."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from orchestration import webhooks
from orchestration.errors import WebhookError
from orchestration.outbound import is_public
from orchestration.webhooks import post_json
from tests.fakes.dripping import dripping_server


@contextmanager
def receiver(*answers: int) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that answers with these codes in turn (the last again and again), and 415 to what is not JSON."""
    taken: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            code = answers[min(len(taken), len(answers) - 1)]
            if self.headers["Content-Type"] != "application/json":
                code = 415
            taken.append({"path": self.path, "body": json.loads(body), "code": code, "headers": dict(self.headers)})
            self.send_response(code)
            self.send_header("Location", "http://127.0.0.1:1/")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hook?team=a", taken
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_receiver_gets_json_once() -> None:
    with receiver(204) as (url, taken):
        post_json(url, {"job": "refresh"}, headers={"Idempotency-Key": "r1"}, allow_private=True)
    [post] = taken
    assert (post["path"], post["body"], post["code"]) == ("/hook?team=a", {"job": "refresh"}, 204)
    assert post["headers"]["Idempotency-Key"] == "r1"


@pytest.mark.parametrize("code", [301, 302, 307, 400, 500])
def test_neither_an_error_nor_a_redirect_is_taken_for_delivery(code: int) -> None:
    with receiver(code) as (url, taken), pytest.raises(WebhookError, match=str(code)):
        post_json(url, {}, allow_private=True)
    assert len(taken) == 1


HOSTS = [
    *("127.0.0.1", "0", "127.1", "2130706433", "0x7f.1", "017700000001", "localhost.", "10.0.0.1", "192.168.1.1"),
    *(
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.1",
        "[::1]",
        "[::]",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
    ),
    *("[2002:7f00:1::]", "[fec0::1]", "[fe80::1]", "[fc00::1]", "[ff02::1]"),
]


@pytest.mark.parametrize("host", HOSTS)
def test_private_addresses_are_refused(host: str) -> None:
    with pytest.raises(WebhookError, match=r"private address|no address"):
        post_json(f"http://{host}/secret-path", {}, allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        *(
            "file:///etc/passwd",
            "gopher://8.8.8.8/",
            "https://me@8.8.8.8/",
            "https://me:pw@8.8.8.8/",
            "http://8.8.8.8:22/",
        ),
        *("https:///path", "not a url", "http://8.8.8.8/a b", "http://8.8.8.8:port/", "http://8.8.8.8/\r\nX: y"),
    ],
)
def test_what_is_no_webhook_is_refused_without_naming_it(url: str) -> None:
    with pytest.raises(WebhookError) as refused:
        post_json(url, {}, allow_private=False)
    assert "8.8.8.8" not in str(refused.value)


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed(_host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("93.184.215.14", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", mixed)
    with pytest.raises(WebhookError, match="private address"):
        post_json("http://two-faced.example/", {}, allow_private=False)


def test_public_addresses_are_public() -> None:
    assert all(is_public(address) for address in ("8.8.8.8", "93.184.215.14", "2606:4700::1111"))


def test_a_receiver_that_answers_a_byte_at_a_time_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks, "PATIENCE_SECONDS", 0.6)
    with dripping_server() as url, pytest.raises(WebhookError):
        post_json(url, {}, allow_private=True)


def test_nobody_there_is_one_sentence_without_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(WebhookError) as failure:
        post_json(f"http://127.0.0.1:{port}/secret-path", {}, allow_private=True)
    assert "secret-path" not in str(failure.value)
    assert str(port) not in str(failure.value)
