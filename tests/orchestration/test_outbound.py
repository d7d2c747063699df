"""The client that pulls are made with: addresses are checked where the connection is made, and no answer takes for ever."""

import socket
from typing import Any

import httpx
import pytest

from orchestration import outbound
from orchestration.errors import PrivateAddressError
from orchestration.outbound import outbound_client
from tests.fakes.dripping import dripping_server
from tests.fakes.rest_api import RestApi
from tests.fakes.vendor import FakeClock


def test_a_name_with_one_private_address_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def mixed(_host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in ("93.184.215.14", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", mixed)
    with (
        outbound_client("https://two-faced.example", allow_private=False) as client,
        pytest.raises(PrivateAddressError),
    ):
        client.get("/")


def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that answers otherwise the second time gains nothing: it is asked once."""
    answers = iter(["127.0.0.1", "192.0.2.1", "192.0.2.1"])
    real = socket.getaddrinfo

    def rebinding(host: Any, port: Any, *arguments: Any, **named: Any) -> Any:
        return real(next(answers) if host == "shifty.example" else host, port, *arguments, **named)

    api = RestApi(FakeClock(), style="cursor")
    with api.serving() as url:
        monkeypatch.setattr(socket, "getaddrinfo", rebinding)
        with outbound_client(url.replace("127.0.0.1", "shifty.example"), allow_private=True) as client:
            assert client.get("/v2/members").status_code == 401
    [call] = api.calls
    assert call.headers["host"].startswith("shifty.example")


def test_an_answer_that_drips_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbound, "ANSWER_SECONDS", 0.6)
    with (
        dripping_server() as url,
        outbound_client(url, allow_private=True) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.get("/")
