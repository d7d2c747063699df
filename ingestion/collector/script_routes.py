"""The browser tracker as a file: `GET /weft.js`. Pages fetch it from the collector that they send to."""

import hashlib
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ingestion.collector.context import CollectorContext
from ingestion.collector.openapi import NO_KEY, operation
from ingestion.collector.routing import CollectorRoute, sent_headers
from ingestion.tracker import tracker_source

_CACHE = "public, max-age=3600, stale-while-revalidate=86400"
"""A new release is on every page within an hour; a browser with an older copy shows the page without waiting."""


def script_routes(context: CollectorContext) -> list[CollectorRoute]:
    """The one route."""
    responses: dict[str, Any] = {
        "200": {
            "description": "The script.",
            "headers": {"ETag": {"description": "Of these very bytes.", "schema": {"type": "string"}}},
            "content": {"text/javascript": {"schema": {"type": "string"}}},
        },
        "304": {"description": "The copy named in If-None-Match is the newest."},
    }
    described = operation("weft_js", "The browser tracker.", security=NO_KEY, responses=responses, tag="service")
    source = tracker_source()
    # cross origin, so that pages that name an integrity hash or isolate themselves can have it too
    serve = partial(_serve, source, f'"{hashlib.sha256(source).hexdigest()[:32]}"')
    return [CollectorRoute("/weft.js", serve, methods=("GET", "HEAD"), operation=described, is_cross_origin=True)]


async def _serve(source: bytes, etag: str, request: Request) -> Response:
    headers = {
        "cache-control": _CACHE,
        "etag": etag,
        "cross-origin-resource-policy": "cross-origin",
        "x-content-type-options": "nosniff",
    }
    known = sent_headers(request).get(b"if-none-match", b"").decode("latin-1")
    if known == "*" or etag in (each.strip().removeprefix("W/") for each in known.split(",")):
        return Response(status_code=304, headers=headers)
    return Response(source, media_type="text/javascript", headers=headers)
