"""Send JSON to an address that a person configured, and to nothing that only this machine or its network can reach."""

import http.client
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from orchestration.errors import WebhookError

PATIENCE_SECONDS = 10.0
PORTS = {"http": 80, "https": 443}
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


def post_json(
    url: str, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None, allow_private: bool
) -> None:
    """POST `body` as JSON. Raises WebhookError, whose sentence never names the address, where it was not taken with a 2xx.

    The name is looked up once and the connection goes to the very address that was checked. Redirects are not followed,
    the answer's body is not read, and after PATIENCE_SECONDS the connection is cut.
    """
    parts = check_webhook(url, allow_private=allow_private)
    host, port = parts.hostname or "", parts.port or PORTS[parts.scheme]
    family, address = _checked_address(host, port, allow_private=allow_private)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    content = json.dumps(body).encode()
    try:
        with socket.socket(family, socket.SOCK_STREAM) as plain:
            plain.settimeout(PATIENCE_SECONDS)
            deadline = threading.Timer(PATIENCE_SECONDS, _cut, [plain])
            deadline.start()
            try:
                plain.connect(address)
                connection = http.client.HTTPConnection(host, port)
                connection.sock = _encrypted(plain, host) if parts.scheme == "https" else plain
                default_port = PORTS[parts.scheme]
                sent = {"Host": host if port == default_port else f"{host}:{port}", "Content-Type": "application/json"}
                connection.request("POST", path, content, headers={**sent, "Connection": "close", **(headers or {})})
                status = connection.getresponse().status
            finally:
                deadline.cancel()
    except (OSError, http.client.HTTPException) as error:
        raise WebhookError(f"The webhook's receiver did not answer ({type(error).__name__}).") from None
    if not 200 <= status < 300:
        raise WebhookError(f"The webhook's receiver answered {status}.")


def check_webhook(url: str, *, allow_private: bool) -> SplitResult:
    """The parts of a URL that may be called, as far as can be said without looking its name up. Raises WebhookError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise WebhookError("The webhook is no URL; write https://host/path.") from None
    if parts.scheme not in PORTS or not parts.hostname or any(ord(letter) <= 32 for letter in url):
        raise WebhookError("The webhook is no http or https URL; write https://host/path.")
    if parts.username is not None or parts.password is not None:
        raise WebhookError("The webhook's URL names a user; put what is secret into its path.")
    if not allow_private and port not in (None, *PORTS.values()):
        raise WebhookError(
            "The webhook's port is neither 80 nor 443; set WEFT_ALLOW_PRIVATE_WEBHOOKS=1 to allow others."
        )
    return parts


def _checked_address(host: str, port: int, *, allow_private: bool) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Where a name leads; refused where any of its addresses is not public."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise WebhookError("The webhook's host has no address.") from None
    if not allow_private and not all(is_public(str(sockaddr[0])) for *_, sockaddr in found):
        raise WebhookError(
            "The webhook leads to a private address; set WEFT_ALLOW_PRIVATE_WEBHOOKS=1 if that is what you want."
        )
    family, _, _, _, sockaddr = found[0]
    return family, sockaddr


def is_public(address: str) -> bool:
    """Whether an IP address is one of the internet's own."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    is_reserved = ip.is_private or ip.is_multicast or ip.is_reserved or ip.is_link_local or ip.is_unspecified
    return ip.is_global and not is_reserved and not any(ip in network for network in NOT_PUBLIC)


def _encrypted(plain: socket.socket, host: str) -> ssl.SSLSocket:
    """TLS with the name that was asked for, whatever address it leads to."""
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _cut(plain: socket.socket) -> None:
    """End a connection that another thread waits on: it raises there at once."""
    try:
        plain.shutdown(socket.SHUT_RDWR)
    except OSError:
        plain.close()
