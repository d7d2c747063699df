"""Ports of the services: a taken one is told in a sentence before anything is started on it."""

import errno
import socket

from orchestration.errors import ServiceError


def refuse_taken_port(host: str, port: int, how_to_choose: str) -> None:
    """Raises ServiceError where nothing can listen there; `how_to_choose` is the setting or option that names another port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # as servers do: what a closed one left is no obstacle
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ServiceError(_sentence(host, port, how_to_choose, error)) from None


def _sentence(host: str, port: int, how_to_choose: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken by another program; set {how_to_choose} to a free one."
    if error.errno == errno.EACCES:
        return f"Port {port} may not be opened by this user; set {how_to_choose} to one above 1023."
    return f"There is no listening on {host}, which is no address of this machine."
