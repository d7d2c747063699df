"""For whoever runs the collector: is it alive, does the log take events, and how much of what was there."""

import asyncio
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ingestion.collector.answers import JsonAnswer
from ingestion.collector.context import CollectorContext, not_taken
from ingestion.collector.openapi import NO_KEY, answered, operation, refusals
from ingestion.collector.routing import CollectorRoute
from ingestion.event_log import LogError

_OK = b'{"status": "ok"}'
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def service_routes(context: CollectorContext) -> list[CollectorRoute]:
    """`/health`, `/ready`, `/metrics`."""
    metrics: dict[str, Any] = {
        "200": {"description": "Prometheus text.", "content": {"text/plain": {"schema": {"type": "string"}}}}
    }
    health = operation(
        "health", "Is the collector alive?", responses=answered("Status", "It is."), security=NO_KEY, tag="service"
    )
    ready = operation(
        "ready",
        "Would an event be taken?",
        responses=answered("Status", "It would.") | refusals("503"),
        security=NO_KEY,
        tag="service",
    )
    counts = operation("metrics", "Counters for Prometheus.", responses=metrics, security=NO_KEY, tag="service")
    return [
        CollectorRoute("/health", _health, methods=("GET", "HEAD"), operation=health),
        CollectorRoute("/ready", partial(_ready, context), methods=("GET", "HEAD"), operation=ready),
        CollectorRoute("/metrics", partial(_metrics, context), methods=("GET",), operation=counts),
    ]


async def _health(request: Request) -> Response:
    return JsonAnswer(_OK)


async def _ready(context: CollectorContext, request: Request) -> Response:
    try:
        await context.log.check()
    except LogError as error:
        context.metrics.log_ready.set(0)
        raise not_taken(error) from error
    context.metrics.log_ready.set(1)
    return JsonAnswer(_OK)


async def _metrics(context: CollectorContext, request: Request) -> Response:
    try:
        await context.log.check()
        context.metrics.log_ready.set(1)
    except LogError:
        context.metrics.log_ready.set(0)
    text = await asyncio.to_thread(context.metrics.text)  # it may ask the log
    return Response(text, headers={"content-type": _METRICS_TYPE})
