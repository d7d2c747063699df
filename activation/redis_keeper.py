"""Starts an embedded Redis again that was killed: whoever uses it waits for it on its port."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from activation.embedded_redis import EmbeddedRedis
from activation.errors import EmbeddedRedisError

LOOK_SECONDS = 0.5
_JOIN_SECONDS = 2.0

_LOG = logging.getLogger("weft.redis")


@contextmanager
def kept_running(server: EmbeddedRedis) -> Iterator[threading.Thread]:
    """Look after a started server for the block.

    The thread that does is given: alive behind the block it is still starting the server, which may have much to read, and is left to it.
    """
    done = threading.Event()
    keeper = threading.Thread(target=_keep, args=(server, done), name="redis keeper", daemon=True)
    keeper.start()
    try:
        yield keeper
    finally:
        done.set()
        keeper.join(_JOIN_SECONDS)


def _keep(server: EmbeddedRedis, done: threading.Event) -> None:
    is_ailing = False
    while not done.wait(LOOK_SECONDS):
        try:
            if server.start_again():
                _LOG.warning("The Redis in %s had ended; it runs again.", server.folder)
            is_ailing = False
        except EmbeddedRedisError as error:
            if not is_ailing:
                _LOG.error("The Redis in %s has ended. %s", server.folder, error)
            is_ailing = True
