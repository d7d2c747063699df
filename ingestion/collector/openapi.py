"""The collector's OpenAPI document, put together from what each route says of itself."""

from collections.abc import Mapping, Sequence
from typing import Any

from ingestion.collector.openapi_schemas import SCHEMAS
from ingestion.collector.routing import CollectorRoute, Operation

WRITE_KEY: list[dict[str, list[str]]] = [{"writeKey": []}]
"""Security of a route that takes a key by Basic authentication (or in the body)."""
WRITE_KEY_IN_QUERY: list[dict[str, list[str]]] = [{"writeKeyInQuery": []}]
NO_KEY: list[dict[str, list[str]]] = []

KEY_PARAMETER: dict[str, Any] = {
    "name": "writeKey",
    "in": "query",
    "description": "The write key; it is never written to a log.",
    "schema": {"type": "string"},
}
PIXEL: dict[str, Any] = {
    "200": {
        "description": "The event log has it on disk; a transparent picture of one pixel.",
        "content": {"image/gif": {"schema": {"type": "string", "contentEncoding": "binary"}}},
    }
}

_REFUSED = {"application/json": {"schema": {"$ref": "#/components/schemas/Refused"}}}
_REFUSALS = {
    "400": "What was sent is not JSON of the expected shape, not the gzip it is said to be, or (Segment's routes) too large.",
    "401": "The write key is missing, unknown or revoked.",
    "403": "The write key may not do this.",
    "404": "There is nothing here.",
    "413": "The body is too large.",
    "415": "The content encoding is not gzip.",
    "429": "The source sends more events a second than it may.",
    "503": "The event log does not take events at this moment, or this collector is busy; nothing is lost if it is sent again.",
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}}


def refusals(*statuses: str) -> dict[str, Any]:
    """The responses of an operation that refuses with these statuses."""
    return {
        status: {
            "description": _REFUSALS[status],
            "content": _REFUSED,
            **({"headers": _RETRY_AFTER} if status in ("429", "503") else {}),
        }
        for status in statuses
    }


def json_body(schema: Mapping[str, Any], description: str) -> dict[str, Any]:
    """A request body in JSON, by whichever of its two names of a content type."""
    content = {"schema": dict(schema)}
    return {
        "required": True,
        "description": description,
        "content": {"application/json": content, "text/plain": content},
    }


def answered(schema: str, description: str) -> dict[str, Any]:
    """The response 200 in JSON with a schema of the components."""
    return {
        "200": {
            "description": description,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}},
        }
    }


def operation(
    operation_id: str,
    summary: str,
    *,
    responses: Mapping[str, Any],
    security: Sequence[Mapping[str, Sequence[str]]],
    description: str = "",
    body: Mapping[str, Any] | None = None,
    parameters: Sequence[Mapping[str, Any]] = (),
    tag: str = "events",
) -> Operation:
    """One OpenAPI operation; `operation_id` is unique among the routes."""
    written: dict[str, Any] = {
        "operationId": operation_id,
        "summary": summary,
        "tags": [tag],
        "responses": dict(responses),
        "security": [dict(way) for way in security],
    }
    if description:
        written["description"] = description
    if parameters:
        written["parameters"] = [dict(parameter) for parameter in parameters]
    if body is not None:
        written["requestBody"] = dict(body)
    return written


DESCRIPTION = operation(
    "openapi",
    "This document.",
    responses={"200": {"description": "OpenAPI 3.1.", "content": {"application/json": {"schema": {"type": "object"}}}}},
    security=NO_KEY,
    tag="service",
)


def document(routes: Sequence[CollectorRoute], *, version: str) -> dict[str, Any]:
    """OpenAPI 3.1 of all routes."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        for method in sorted(route.methods or ()):
            described = _without_bodies(route.operation) if method == "HEAD" else dict(route.operation)
            paths.setdefault(route.path_format, {})[method.lower()] = described
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Weft collector",
            "version": version,
            "description": "Takes events over HTTP. A 2xx says that the event log has them on disk.",
        },
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {
                "writeKey": {"type": "http", "scheme": "basic", "description": "The write key as user, no password."},
                "writeKeyInQuery": {"type": "apiKey", "in": "query", "name": "writeKey"},
            },
        },
    }


def _without_bodies(of_get: Mapping[str, Any]) -> dict[str, Any]:
    """HEAD as OpenAPI describes it: what GET says, without what comes in its bodies."""
    responses = {
        status: {name: part for name, part in answer.items() if name != "content"}
        for status, answer in of_get["responses"].items()
    }
    return {**of_get, "operationId": f"{of_get['operationId']}_head", "responses": responses}
