"""The smallest way to send events, for scripts and tills: `POST /identify` and `POST /track`."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from ingestion.collector.answers import success
from ingestion.collector.context import CollectorContext
from ingestion.collector.openapi import WRITE_KEY, answered, json_body, operation, refusals
from ingestion.collector.routing import CollectorRoute
from ingestion.collector.taking import take_json

_CALLS = {"identify": "MiniIdentify", "track": "MiniTrack"}


def mini_routes(context: CollectorContext) -> list[CollectorRoute]:
    """Both routes."""
    return [_route(context, call, schema) for call, schema in _CALLS.items()]


def _route(context: CollectorContext, call: str, schema: str) -> CollectorRoute:
    loose = {"anyOf": [{"$ref": f"#/components/schemas/{schema}"}, {"$ref": "#/components/schemas/AnyObject"}]}
    described = operation(
        f"mini_{call}",
        f"One event, {call}.",
        security=WRITE_KEY,
        body=json_body(loose, "One event in a few members, plain or gzip."),
        responses=answered("Success", "The event log has it on disk.")
        | refusals("400", "401", "403", "413", "415", "429", "503"),
    )
    return CollectorRoute(f"/{call}", partial(_take, context, call), operation=described, is_cross_origin=True)


async def _take(context: CollectorContext, call: str, request: Request) -> Response:
    await take_json(context, request, kind="mini", path=call, is_batch=False)
    return success()
