"""Segment's HTTP API: the six calls and `batch`, and the one-letter routes of its browser SDK. The SDKs' contract of answers is kept."""

from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ingestion.collector.answers import success, success_with
from ingestion.collector.context import CollectorContext
from ingestion.collector.openapi import WRITE_KEY, answered, json_body, operation, refusals
from ingestion.collector.routing import CollectorRoute, Operation
from ingestion.collector.taking import take_json
from ingestion.collector.verbose import is_verbose, results

_CALLS = {"identify": "i", "track": "t", "page": "p", "screen": "s", "group": "g", "alias": "a"}
_BATCHES = ("/v1/batch", "/v1/b", "/v1/import")
_TOO_LARGE = 400  # as Segment answers, which its SDKs know
_VERBOSE: dict[str, Any] = {
    "name": "verbose",
    "in": "query",
    "description": "1: the answer says of each event whether it can be read.",
    "schema": {"type": "string"},
}


def segment_routes(context: CollectorContext) -> list[CollectorRoute]:
    """All routes that speak Segment's protocol."""
    paths = [(path, call) for call, letter in _CALLS.items() for path in (f"/v1/{call}", f"/v1/{letter}")]
    paths += [(path, "batch") for path in _BATCHES]
    return [
        CollectorRoute(path, partial(_take, context, call), operation=_operation(path, call), is_cross_origin=True)
        for path, call in paths
    ]


async def _take(context: CollectorContext, call: str, request: Request) -> Response:
    is_batch = call == "batch"
    taken = await take_json(context, request, kind="segment", path=call, is_batch=is_batch, too_large_status=_TOO_LARGE)
    if is_verbose(request):
        return success_with(await results(taken.received, taken.entry, taken.events))
    return success()


def _operation(path: str, call: str) -> Operation:
    schema = call.title()
    loose: dict[str, Any] = {"$ref": "#/components/schemas/Batch"}
    if call != "batch":
        loose = {"anyOf": [{"$ref": f"#/components/schemas/{schema}"}, {"$ref": "#/components/schemas/AnyObject"}]}
    return operation(
        "segment" + path.replace("/", "_"),
        f"Segment's {call}.",
        description="What lacks a member is taken all the same and shows up among the rejected events, as Segment's SDKs expect.",
        security=WRITE_KEY,
        parameters=[_VERBOSE],
        body=json_body(loose, f"{schema}, plain or gzip."),
        responses=answered("Success", "The event log has it on disk.")
        | refusals("400", "401", "403", "415", "429", "503"),
    )
