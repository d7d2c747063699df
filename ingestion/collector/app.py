"""The collector's application: which routes there are, and what is around them."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import version

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ingestion.collector.answers import JsonAnswer, Refusal, refused
from ingestion.collector.beacon_routes import beacon_routes
from ingestion.collector.context import CollectorContext
from ingestion.collector.edge import Edge
from ingestion.collector.mini_routes import mini_routes
from ingestion.collector.openapi import DESCRIPTION, document
from ingestion.collector.pixel_routes import pixel_routes
from ingestion.collector.routing import REFUSED_AS, REQUEST_ID, CollectorRoute
from ingestion.collector.script_routes import script_routes
from ingestion.collector.segment_routes import segment_routes
from ingestion.collector.service_routes import service_routes
from ingestion.collector.settings import CollectorSettings
from ingestion.collector.snowplow_routes import snowplow_routes
from ingestion.collector.store_routes import store_routes
from ingestion.collector.upload_routes import upload_routes
from ingestion.collector.webhook_routes import webhook_routes
from ingestion.event_log import LogWriter

ROUTES: tuple[Callable[[CollectorContext], list[CollectorRoute]], ...] = (
    segment_routes,
    pixel_routes,
    beacon_routes,
    snowplow_routes,
    mini_routes,
    upload_routes,
    store_routes,
    webhook_routes,
    script_routes,
    service_routes,
)
"""Every group of routes; a new one is a module beside this file and a line here."""

_SENTENCES = {
    404: ("not_found", "There is nothing here."),
    405: ("method_not_allowed", "This path does not know the method."),
}


class Collector(FastAPI):
    """FastAPI with the edge around all of it: also around its own layers, which a request for a fixed path need not pass."""

    edge: Edge

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Edge."""
        await self.edge(scope, receive, send)


def create_app(settings: CollectorSettings, log: LogWriter) -> FastAPI:
    """The collector. It closes the log when it shuts down."""
    context = CollectorContext(settings, log)

    async def describe(request: Request) -> Response:
        return JsonAnswer(description)

    routes = [route for group in ROUTES for route in group(context)]
    routes.append(CollectorRoute("/openapi.json", describe, methods=("GET",), operation=DESCRIPTION))
    described = document(routes, version=version("weft"))
    description = json.dumps(described).encode()

    @asynccontextmanager
    async def until_closed(app: FastAPI) -> AsyncIterator[None]:
        yield
        await log.close()

    app = Collector(
        title="Weft collector",
        routes=list(routes),
        lifespan=until_closed,
        openapi_url=None,  # a route of ours, whose bytes are made once
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,  # the address of a redirect would repeat the query, in which a write key may be
        exception_handlers={HTTPException: _http_error, RequestValidationError: _invalid},
    )
    app.openapi = lambda: described  # type: ignore[method-assign]
    app.edge = Edge(
        partial(FastAPI.__call__, app),
        routes=routes,
        metrics=context.metrics,
        is_access_logged=settings.is_access_logged,
    )
    app.state.context = context
    return app


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code, sentence = _SENTENCES.get(error.status_code, ("refused", "The request cannot be answered."))
    return _refused(request, Refusal(error.status_code, code, sentence, headers=dict(error.headers or {})))


async def _invalid(request: Request, error: Exception) -> Response:
    """FastAPI's own answer would repeat what was sent."""
    return _refused(
        request, Refusal(422, "invalid", "A parameter or member is missing or not of its type; see /openapi.json.")
    )


def _refused(request: Request, refusal: Refusal) -> Response:
    request.scope[REFUSED_AS] = refusal.code
    return refused(refusal, request.scope.get(REQUEST_ID, ""))
