"""Events as the address of a picture, for e-mails and pages without scripts: `GET /pixel/v1/track` and `/pixel/v1/page`."""

import binascii
from base64 import urlsafe_b64decode
from functools import partial
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import Response

from ingestion.collector import shapes
from ingestion.collector.answers import Refusal, pixel
from ingestion.collector.context import CollectorContext
from ingestion.collector.openapi import KEY_PARAMETER, PIXEL, WRITE_KEY_IN_QUERY, operation, refusals
from ingestion.collector.proxies import facts_of
from ingestion.collector.routing import CollectorRoute
from ingestion.collector.taking import key_in_query, query_without_key

_CALLS = ("track", "page")
_DATA = {
    "name": "data",
    "in": "query",
    "description": "The event as base64 of its JSON; where it is not given, the other parameters are the event's members.",
    "schema": {"type": "string"},
}


def pixel_routes(context: CollectorContext) -> list[CollectorRoute]:
    """RudderStack's paths, and Segment's (`/v1/pixel/...`)."""
    return [_route(context, call, path) for call in _CALLS for path in (f"/pixel/v1/{call}", f"/v1/pixel/{call}")]


def _route(context: CollectorContext, call: str, path: str) -> CollectorRoute:
    described = operation(
        "pixel" + path.replace("/", "_"),
        f"A {call} event from a picture.",
        security=WRITE_KEY_IN_QUERY,
        parameters=[KEY_PARAMETER, _DATA],
        responses=PIXEL | refusals("401", "403", "413", "429", "503"),
    )
    return CollectorRoute(
        path, partial(_take, context, call), methods=("GET",), operation=described, is_cross_origin=True
    )


async def _take(context: CollectorContext, call: str, request: Request) -> Response:
    query = query_without_key(request, context.settings.limits.event_bytes)
    key = key_in_query(request) or context.key_in_header(request) or _key_in_data(query)
    facts = await context.authenticate(key)
    of_request = facts_of(request, context.settings.trusted_proxies, path=call, query=query)
    await context.append("pixel", facts, b"", of_request)
    return pixel()


def _key_in_data(query: str) -> str | None:
    """Segment's pixel has the write key inside of `data`."""
    data = parse_qs(query).get("data")
    if not data:
        return None
    text = data[0].replace(" ", "+").replace("+", "-").replace("/", "_").rstrip("=")
    try:
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        return shapes.write_key(shapes.single(decoded))
    except (binascii.Error, ValueError, Refusal):
        return None  # no key, then: 401
