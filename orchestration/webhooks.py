"""Send JSON to an address that a person configured, and to nothing that only this machine or its network can reach."""

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from orchestration.errors import PrivateAddressError, WebhookError
from orchestration.outbound import checked_address

PATIENCE_SECONDS = 10.0
PORTS = {"http": 80, "https": 443}


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
        return checked_address(host, port, allow_private=allow_private)
    except PrivateAddressError:
        raise WebhookError(
            "The webhook leads to a private address; set WEFT_ALLOW_PRIVATE_WEBHOOKS=1 if that is what you want."
        ) from None
    except OSError:
        raise WebhookError("The webhook's host has no address.") from None


def _encrypted(plain: socket.socket, host: str) -> ssl.SSLSocket:
    """TLS with the name that was asked for, whatever address it leads to."""
    return ssl.create_default_context().wrap_socket(plain, server_hostname=host)


def _cut(plain: socket.socket) -> None:
    """End a connection that another thread waits on: it raises there at once."""
    try:
        plain.shutdown(socket.SHUT_RDWR)
    except OSError:
        plain.close()
