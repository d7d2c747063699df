"""A route of the collector: its path, its endpoint, how OpenAPI describes it, and what becomes of what goes wrong in it."""

import logging
import traceback
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import Scope

from ingestion.collector.answers import Refusal, refused

Endpoint = Callable[[Request], Awaitable[Response]]
Operation = Mapping[str, Any]

REFUSED_AS = "weft.refused_as"
"""Where a request's scope says with which code it was refused."""
REQUEST_ID = "weft.request_id"

_LOGGER = logging.getLogger("weft.collector")


class CollectorRoute(Route):
    """One path and its methods. `operation` is the OpenAPI operation, written by hand (see ingestion.collector.openapi).

    The endpoint gets a Starlette request and raises Refusal for what it does not take. `is_cross_origin` lets pages of any site call it.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        *,
        operation: Operation,
        methods: Sequence[str] = ("POST",),
        is_cross_origin: bool = False,
    ) -> None:
        self.call = _guarded(endpoint)
        super().__init__(path, self.call, methods=list(methods), name=str(operation["operationId"]))
        self.methods = set(methods)  # Starlette adds HEAD to GET: a HEAD of the pixel would be an event
        self.operation = operation
        self.is_cross_origin = is_cross_origin

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """As Starlette's, and the request remembers its route."""
        match, child = super().matches(scope)
        if match != Match.NONE:
            child["route"] = self
        return match, child


def _guarded(endpoint: Endpoint) -> Endpoint:
    async def call(request: Request) -> Response:
        scope = request.scope
        try:
            return await endpoint(request)
        except Refusal as refusal:
            scope[REFUSED_AS] = refusal.code
            return refused(refusal, scope.get(REQUEST_ID, ""))
        except ClientDisconnect:
            scope[REFUSED_AS] = "gone"
            return Response(status_code=400)  # nobody is there to read it
        except Exception as error:  # noqa: BLE001 - whatever it is, its text may hold what was sent, and must not reach a log or an answer
            return failed(scope, error)

    return call


def failed(scope: Scope, error: Exception) -> Response:
    """500 for a mistake of ours. The log gets the kind of the error and where it was, never its text: that may hold personal data."""
    request_id = scope.get(REQUEST_ID, "")
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = " > ".join(f"{frame.filename.rsplit('/', 2)[-1]}:{frame.lineno}" for frame in frames)
    _LOGGER.error("Request %s failed with %s at %s.", request_id, type(error).__name__, where)
    scope[REFUSED_AS] = "internal"
    return refused(Refusal(500, "internal", "Something went wrong here; send it again."), request_id)
