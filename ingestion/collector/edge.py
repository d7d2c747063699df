"""The outermost part of the collector: names requests, answers preflights, calls routes, counts, and writes the access log."""

import itertools
import json
import logging
import secrets
import time
from collections.abc import Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ingestion.collector.cross_origin import allowed_origin, header, preflight
from ingestion.collector.metrics import Metrics
from ingestion.collector.routing import REFUSED_AS, REQUEST_ID, CollectorRoute, failed

_ACCESS = logging.getLogger("weft.collector.access")


class Edge:
    """ASGI middleware around the collector's FastAPI application.

    Routes whose paths have no parameters are called directly: a router would try the pattern of each route in turn, with several layers
    around it. Everything else (parameters, unknown paths and methods) goes through FastAPI.
    """

    def __init__(
        self, app: ASGIApp, *, routes: Sequence[CollectorRoute], metrics: Metrics, is_access_logged: bool
    ) -> None:
        self.app = app
        self._fixed = {(method, r.path): r for r in routes if not r.param_convertors for method in r.methods or ()}
        self._of_path = {r.path: r for r in routes if not r.param_convertors}
        self._metrics = metrics
        self._is_access_logged = is_access_logged
        self._run = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; what is no request (the application's start and end) is passed on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        request_id = f"{self._run}-{next(self._numbers):x}"
        scope[REQUEST_ID] = request_id
        route = self._fixed.get((scope["method"], scope["path"]))
        status = 500

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = route or scope.get("route")
                headers = message.setdefault("headers", [])
                headers.append((b"x-request-id", request_id.encode()))
                if isinstance(answered, CollectorRoute) and answered.is_cross_origin:
                    headers.extend(allowed_origin(header(scope["headers"], b"origin")))
            await send(message)

        if route is not None:
            response = await route.call(Request(scope, receive, send_named))
            await response(scope, receive, send_named)
        elif scope["method"] == "OPTIONS" and (asked := self._of_path.get(scope["path"])) and asked.is_cross_origin:
            status = 204
            await self._answer_preflight(scope, send, asked)
        else:
            try:
                await self.app(scope, receive, send_named)
            except Exception as error:  # noqa: BLE001 - uvicorn would log its text, which may hold what was sent
                await failed(scope, error)(scope, receive, send_named)
        self._note(scope, status, time.perf_counter() - begun)

    async def _answer_preflight(self, scope: Scope, send: Send, route: CollectorRoute) -> None:
        headers = preflight(scope["headers"], route.methods or ())
        headers.append((b"x-request-id", scope[REQUEST_ID].encode()))
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        answered = self._fixed.get((scope["method"], scope["path"])) or scope.get("route")
        path = answered.path if isinstance(answered, CollectorRoute) else "other"
        self._metrics.answered(path, status, seconds)
        refused_as = scope.get(REFUSED_AS)
        if refused_as is not None:
            self._metrics.refused(refused_as)
        if self._is_access_logged:
            line = {"request": scope[REQUEST_ID], "route": path, "status": status, "ms": round(seconds * 1000, 1)}
            _ACCESS.info(json.dumps(line if refused_as is None else line | {"refused": refused_as}))
