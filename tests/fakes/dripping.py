"""A server that answers a byte at a time and never comes to an end."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_BYTE_SECONDS = 0.05


@contextmanager
def dripping_server() -> Iterator[str]:
    """Its address, for one connection."""
    done = threading.Event()

    def drip(listener: socket.socket) -> None:
        peer, _ = listener.accept()
        with peer:
            while not done.wait(_BYTE_SECONDS):
                try:
                    peer.sendall(b"H")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=drip, args=[listener])
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            thread.join()
