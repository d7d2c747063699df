"""Connections to addresses that a person configured, and to nothing that only this machine or its network can reach.

A name is looked up once, every address that it has is checked, and the connection goes to the very address that was checked.
"""

import ipaddress
import socket
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from orchestration.errors import PrivateAddressError

ANSWER_SECONDS = 120.0
"""An answer that is not whole by then is cut, however steadily it drips."""
SILENCE_SECONDS = 30.0
NOT_PUBLIC = [
    ipaddress.ip_network(network)
    for network in (
        "100.64.0.0/10",  # carrier-grade NAT
        "192.0.0.0/24",
        "192.88.99.0/24",
        "64:ff9b::/96",  # NAT64, 6to4 and Teredo hold an IPv4 address that may be private
        "64:ff9b:1::/48",
        "2001::/32",
        "2002::/16",
        "fec0::/10",  # site-local
    )
]
"""What Python's `is_global` takes for public on some version, though it is not, or may not be."""


def checked_address(host: str, port: int, *, allow_private: bool) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Where a name leads. Raises PrivateAddressError where any of its addresses is not public, OSError where it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise OSError("the name is not valid") from error
    if not allow_private and not all(is_public(str(sockaddr[0])) for *_, sockaddr in found):
        raise PrivateAddressError("The address leads into a private network; that has to be allowed in its settings.")
    family, _, _, _, sockaddr = found[0]
    return family, sockaddr


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's own."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    is_reserved = ip.is_private or ip.is_multicast or ip.is_reserved or ip.is_link_local or ip.is_unspecified
    return ip.is_global and not is_reserved and not any(ip in network for network in NOT_PUBLIC)


def outbound_client(base_url: str, *, allow_private: bool, transport: "CheckedTransport | None" = None) -> httpx.Client:
    """A client for one API: addresses checked, no redirects, no proxy of the environment, answers cut after ANSWER_SECONDS."""
    return httpx.Client(
        base_url=base_url,
        transport=transport or CheckedTransport(allow_private=allow_private),
        follow_redirects=False,
        trust_env=False,
        timeout=httpx.Timeout(SILENCE_SECONDS),
        headers={"User-Agent": "weft"},
    )


class CheckedTransport(httpx.HTTPTransport):
    """httpx's transport on connections that are checked and have a deadline. For one thread: the deadline is the current request's."""

    def __init__(self, *, allow_private: bool) -> None:
        super().__init__(trust_env=False)
        self._backend = _CheckedBackend(allow_private=allow_private)
        # httpx has no parameter for this; its errors are mapped and its bodies streamed as ever
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False),
            max_connections=2,
            keepalive_expiry=30.0,
            network_backend=self._backend,
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """One request; all that its answer takes counts."""
        self._backend.deadline = time.monotonic() + ANSWER_SECONDS
        return super().handle_request(request)


class _CheckedBackend(httpcore.SyncBackend):
    """Connects to checked addresses only; TLS still asks for the name, since that is what the pool knows."""

    def __init__(self, *, allow_private: bool) -> None:
        super().__init__()
        self._allow_private = allow_private
        self.deadline = 0.0

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to an address of `host` that was checked."""
        try:
            _, sockaddr = checked_address(host, port, allow_private=self._allow_private)
        except OSError as error:
            raise httpcore.ConnectError("the host has no address") from error
        stream = super().connect_tcp(str(sockaddr[0]), port, timeout, local_address, socket_options)
        return _Timed(stream, self)


class _Timed(httpcore.NetworkStream):
    """A connection whose every wait ends with the deadline of the request that uses it."""

    def __init__(self, stream: httpcore.NetworkStream, backend: _CheckedBackend) -> None:
        self._stream, self._backend = stream, backend

    def _left(self, timeout: float | None, late: type[Exception]) -> float:
        left = self._backend.deadline - time.monotonic()
        if left <= 0:
            raise late("the answer took too long")
        return left if timeout is None else min(timeout, left)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Some bytes."""
        return self._stream.read(max_bytes, self._left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All of these bytes."""
        self._stream.write(buffer, self._left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """End it."""
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """The same with TLS."""
        left = self._left(timeout, httpcore.ConnectTimeout)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left), self._backend)

    def get_extra_info(self, info: str) -> Any:
        """What httpcore asks about the socket."""
        return self._stream.get_extra_info(info)
