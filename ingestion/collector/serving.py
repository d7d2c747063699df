"""Runs the collector: uvicorn with deadlines on every connection, and an end within ten seconds when it is told to stop."""

import asyncio
import resource
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from ingestion.collector.connections import CollectorConnection, connection_class
from ingestion.collector.settings import Connections

_LOOK_SECONDS = 0.1
_BACKLOG = 2_048


class CollectorServer(uvicorn.Server):
    """A uvicorn server that cuts connections whose senders are late. `on_started` is called once the port is open."""

    def __init__(
        self,
        app: FastAPI,
        rules: Connections,
        *,
        host: str,
        port: int,
        on_started: Callable[[int], None],
        on_cut: Callable[[int], None],
    ) -> None:
        self._rules = rules
        self._on_started = on_started
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=connection_class(rules, on_cut),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,  # it would show addresses and queries; the collector writes its own
            proxy_headers=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=int(rules.keep_alive_seconds),
            timeout_graceful_shutdown=int(rules.drain_seconds),
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the port."""
        await super().startup(sockets)
        if self.started:
            self._on_started(self.servers[0].sockets[0].getsockname()[1])

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: look for late senders."""
        self._cut_late()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what was received whole, give half-sent requests a moment, then go."""
        looking = asyncio.create_task(self._cut_half_sent())
        try:
            await super().shutdown(sockets)
        finally:
            looking.cancel()

    async def _cut_half_sent(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self._cut_late(self._rules.half_sent_seconds)

    def _cut_late(self, patience: float | None = None) -> None:
        now = asyncio.get_running_loop().time()
        for connection in list(self.server_state.connections):
            if isinstance(connection, CollectorConnection):
                connection.cut_if_late(now, patience)


def _no_notice(number: int) -> None:
    """Nobody wants to know."""


def serve(
    app: FastAPI,
    rules: Connections,
    *,
    host: str,
    port: int,
    on_started: Callable[[int], None] = _no_notice,
    on_cut: Callable[[int], None] = _no_notice,
) -> None:
    """Serve until SIGTERM or SIGINT, then drain: at most `drain_seconds`, and what the log takes to close. Port 0 takes a free one.
    `on_cut` is told the status (0: none was sent) of every connection that was cut.

    Ends the process with the signal's own status, as uvicorn does; exits with 3 where the port is taken.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    CollectorServer(app, rules, host=host, port=port, on_started=on_started, on_cut=on_cut).run()
