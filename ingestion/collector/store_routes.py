"""What stores send, with a write key: receipts of tills (`POST /v1/pos`), QR scans (`/v1/scan`) and visits (`/v1/visit`)."""

from collections.abc import Callable
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ingestion.collector.answers import Refusal, success
from ingestion.collector.bodies import encoding_of, plain
from ingestion.collector.context import CollectorContext
from ingestion.collector.openapi import WRITE_KEY, answered, json_body, operation, refusals
from ingestion.collector.proxies import facts_of
from ingestion.collector.routing import CollectorRoute
from ingestion.normalise import pos, scans
from ingestion.normalise.lines import PartRefusedError

Check = Callable[[bytes], object]


def store_routes(context: CollectorContext) -> list[CollectorRoute]:
    """The three routes. The key is in Basic authentication: the bodies are of other people's making and have no place for it."""
    limits = context.settings.limits
    receipts = {"anyOf": [{"type": "object"}, {"type": "array"}]}
    scan, visit = partial(scans.read_act, "scan"), partial(scans.read_act, "visit")
    mapped = "Receipts of a till, in the form that the source's file maps."
    return [
        _route(context, "pos", receipts, pos.check, limit=limits.batch_bytes, summary=mapped),
        _route(context, "scan", _schema("Scan"), scan, limit=limits.event_bytes, summary="A QR scan."),
        _route(context, "visit", _schema("Visit"), visit, limit=limits.event_bytes, summary="A store visit."),
    ]


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _route(
    context: CollectorContext, kind: str, schema: dict[str, Any], check: Check, *, limit: int, summary: str
) -> CollectorRoute:
    described = operation(
        f"store_{kind}",
        summary,
        security=WRITE_KEY,
        body=json_body(schema, "JSON, plain or gzip."),
        responses=answered("Success", "The event log has it on disk.")
        | refusals("400", "401", "403", "413", "415", "429", "503"),
        tag="stores",
    )
    # a page behind a QR code calls from its own address; a till is no browser
    return CollectorRoute(
        f"/v1/{kind}",
        partial(_take, context, kind, check, limit),
        operation=described,
        is_cross_origin=kind != "pos",
    )


async def _take(context: CollectorContext, kind: str, check: Check, limit: int, request: Request) -> Response:
    received = await context.body(request, limit=limit)
    encoding = encoding_of(request)
    facts = await context.authenticate(context.key_in_header(request))
    try:
        check(plain(received, encoding, limit=limit))
    except PartRefusedError as error:
        raise Refusal(400, error.reason.value, error.detail) from error
    of_request = facts_of(request, context.settings.trusted_proxies, encoding=encoding)
    await context.append(kind, facts, received, of_request)
    return success()
