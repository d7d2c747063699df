"""Snowplow's tracker protocol: `POST /com.snowplowanalytics.snowplow/tp2` and the pixel `GET /i`. Its trackers show no key."""

from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from ingestion.collector import shapes
from ingestion.collector.answers import Refusal, pixel, success
from ingestion.collector.bodies import encoding_of, plain
from ingestion.collector.context import CollectorContext
from ingestion.collector.openapi import NO_KEY, PIXEL, answered, json_body, operation, refusals
from ingestion.collector.proxies import facts_of
from ingestion.collector.routing import CollectorRoute
from ingestion.collector.settings import KeyFacts
from ingestion.collector.taking import query_without_key

_TOO_LARGE = 400  # on a 413 its trackers send the same again, and nothing that comes behind it


def snowplow_routes(context: CollectorContext) -> list[CollectorRoute]:
    """The routes; without a source for them in the settings they answer 404."""
    post = json_body({"$ref": "#/components/schemas/SnowplowPayload"}, "Snowplow's payload_data, plain or gzip.")
    routes = [
        CollectorRoute(
            path,
            partial(_take_payload, context),
            operation=operation(
                "snowplow" + path.replace("/", "_").replace(".", "_"),
                "Events of a Snowplow tracker.",
                security=NO_KEY,
                body=post,
                responses=answered("Success", "The event log has it on disk.")
                | refusals("400", "404", "415", "429", "503"),
            ),
            is_cross_origin=True,
        )
        for path in context.settings.snowplow_paths
    ]
    picture = operation(
        "snowplow_i",
        "One event of a Snowplow tracker as the address of a picture.",
        security=NO_KEY,
        responses=PIXEL | refusals("404", "413", "429", "503"),
    )
    routes.append(
        CollectorRoute("/i", partial(_take_pixel, context), methods=("GET",), operation=picture, is_cross_origin=True)
    )
    return routes


async def _take_payload(context: CollectorContext, request: Request) -> Response:
    facts = _source(context)
    limit = context.settings.limits.snowplow_bytes
    received = await context.body(request, limit=limit, too_large_status=_TOO_LARGE)
    encoding = encoding_of(request)
    body = plain(received, encoding, limit=limit, too_large_status=_TOO_LARGE)
    events = shapes.snowplow(body, context.settings.limits)
    context.limits.admit(facts.source, context.limit_of(facts))
    of_request = facts_of(request, context.settings.trusted_proxies, path="tp2", encoding=encoding)
    await context.append("snowplow", facts, received, of_request, events=events)
    return success()


async def _take_pixel(context: CollectorContext, request: Request) -> Response:
    facts = _source(context)
    query = query_without_key(request, context.settings.limits.event_bytes)
    context.limits.admit(facts.source, context.limit_of(facts))
    of_request = facts_of(request, context.settings.trusted_proxies, path="i", query=query)
    await context.append("snowplow", facts, b"", of_request)
    return pixel()


def _source(context: CollectorContext) -> KeyFacts:
    source = context.settings.snowplow_source
    if source is None:
        raise Refusal(404, "not_found", "This collector takes no Snowplow events: no source is set for them.")
    return KeyFacts(source, limit_per_second=context.settings.snowplow_limit_per_second)
