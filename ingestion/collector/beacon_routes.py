"""`navigator.sendBeacon`: a page that goes away can send a body and nothing else, so the write key is in the query."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from ingestion.collector.answers import success
from ingestion.collector.context import CollectorContext
from ingestion.collector.openapi import KEY_PARAMETER, WRITE_KEY_IN_QUERY, answered, json_body, operation, refusals
from ingestion.collector.routing import CollectorRoute
from ingestion.collector.taking import key_in_query, take_json


def beacon_routes(context: CollectorContext) -> list[CollectorRoute]:
    """`POST /beacon/v1/batch?writeKey=`, with the body of `/v1/batch`."""
    described = operation(
        "beacon_batch",
        "A batch from sendBeacon.",
        security=WRITE_KEY_IN_QUERY,
        parameters=[KEY_PARAMETER],
        body=json_body({"$ref": "#/components/schemas/Batch"}, "As for /v1/batch."),
        responses=answered("Success", "The event log has it on disk.")
        | refusals("400", "401", "403", "413", "415", "429", "503"),
    )
    return [
        CollectorRoute("/beacon/v1/batch", partial(_take, context), operation=described, is_cross_origin=True),
    ]


async def _take(context: CollectorContext, request: Request) -> Response:
    await take_json(context, request, kind="segment", path="batch", is_batch=True, other_key=key_in_query(request))
    return success()
