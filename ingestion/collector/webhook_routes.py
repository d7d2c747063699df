"""Webhooks of shops and of Twilio: `POST /webhooks/{vendor}/{source}`, signed over the bytes as received.

The order: size, signature, shape, log, answer. What the headers say (topic, delivery id) is not signed, so a topic that does not fit the
body is refused, and nothing that becomes of a body hangs on the delivery (see ingestion.normalise.shopify).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from ingestion.collector.answers import Refusal, success
from ingestion.collector.bodies import encoding_of
from ingestion.collector.context import CollectorContext
from ingestion.collector.openapi import NO_KEY, answered, operation, refusals
from ingestion.collector.proxies import facts_of, public_url
from ingestion.collector.routing import CollectorRoute
from ingestion.collector.settings import KeyFacts
from ingestion.normalise import shopify, twilio, woocommerce
from ingestion.normalise.documents import Document, read_object
from ingestion.normalise.lines import PartRefusedError
from ingestion.signatures import (
    Headers,
    header_values,
    is_from_shopify,
    is_from_twilio,
    is_from_woocommerce,
    is_woocommerce_ping,
)

_LONGEST_FACT = 200
_TWIML = b'<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
_SOURCE: dict[str, Any] = {
    "name": "source",
    "in": "path",
    "required": True,
    "description": "The source that the secret is set for.",
    "schema": {"type": "string", "minLength": 1, "pattern": "^[^/]+$"},
}


def webhook_routes(context: CollectorContext) -> list[CollectorRoute]:
    """The three vendors' routes."""
    json_content = {"application/json": {"schema": {"$ref": "#/components/schemas/AnyObject"}}}
    form: dict[str, Any] = {"schema": {"type": "object"}}
    twiml: dict[str, Any] = {
        "200": {
            "description": "The event log has the message; no reply is sent to it.",
            "content": {"text/xml": {"schema": {"type": "string"}}},
        },
        "204": {"description": "The event log has the status."},
    }
    taken = answered("Success", "The event log has it on disk.")
    return [
        _route("shopify", partial(_take_shopify, context), taken, json_content),
        _route(
            "woocommerce",
            partial(_take_woocommerce, context),
            taken,
            json_content | {"application/x-www-form-urlencoded": form},
        ),
        _route(
            "twilio", partial(_take_twilio, context), twiml, json_content | {"application/x-www-form-urlencoded": form}
        ),
    ]


def _route(
    vendor: str, endpoint: Callable[[Request], Any], taken: Mapping[str, Any], content: Mapping[str, Any]
) -> CollectorRoute:
    described = operation(
        f"webhook_{vendor}",
        f"A delivery from {vendor.capitalize()}, with its signature in a header.",
        description="A missing or wrong signature, or a source without a secret, is answered 401.",
        security=NO_KEY,
        parameters=[_SOURCE],
        body={"required": True, "description": "As the vendor sends it.", "content": dict(content)},
        responses=dict(taken) | refusals("400", "401", "413", "415", "503"),
        tag="webhooks",
    )
    return CollectorRoute(f"/webhooks/{vendor}/{{source}}", endpoint, operation=described)


async def _take_shopify(context: CollectorContext, request: Request) -> Response:
    body, headers, secrets = await _received(context, request)
    _require_signature(context, is_from_shopify(body, headers, secrets))
    topic = _one(headers, b"x-shopify-topic", b"shopify-topic")
    document = _document(body)
    if not topic and shopify.is_privacy_topic(shopify.family_of(document) or ""):
        raise _unfit("The delivery names no topic.")
    _require_topic(topic, document, known=shopify.TOPICS, fits=shopify.fits_topic)
    await _append(
        context,
        request,
        "shopify",
        body,
        topic=topic,
        delivery=_one(headers, b"x-shopify-webhook-id", b"shopify-webhook-id"),
        shop=_one(headers, b"x-shopify-shop-domain", b"shopify-shop-domain"),
    )
    return success()


async def _take_woocommerce(context: CollectorContext, request: Request) -> Response:
    body, headers, secrets = await _received(context, request)
    if secrets and is_woocommerce_ping(body, headers):
        return success()  # says only that a webhook was created; it is not signed, and nothing is kept of it
    _require_signature(context, is_from_woocommerce(body, headers, secrets))
    topic = _one(headers, b"x-wc-webhook-topic")
    document = _document(body)
    if not topic and woocommerce.family_of(document) == "deleted":
        raise _unfit("The delivery names no topic.")
    _require_topic(topic, document, known=woocommerce.TOPICS, fits=woocommerce.fits_topic)
    await _append(
        context,
        request,
        "woocommerce",
        body,
        topic=topic,
        delivery=_one(headers, b"x-wc-webhook-delivery-id"),
        shop=_one(headers, b"x-wc-webhook-source"),
    )
    return success()


async def _take_twilio(context: CollectorContext, request: Request) -> Response:
    body, headers, secrets = await _received(context, request)
    url = public_url(request, context.settings.trusted_proxies)
    _require_signature(context, is_from_twilio(url, body, headers, secrets))
    try:
        is_status = twilio.read_message(body).is_status
    except PartRefusedError as error:
        raise _unfit(error.detail) from error
    await _append(context, request, "twilio", body)
    return Response(status_code=204) if is_status else Response(_TWIML, media_type="text/xml")


async def _received(context: CollectorContext, request: Request) -> tuple[bytes, Headers, tuple[str, ...]]:
    body = await context.body(request, limit=context.settings.limits.webhook_bytes)
    if encoding_of(request):
        raise Refusal(415, "unsupported_encoding", "Webhooks are signed as they are sent; send them without gzip.")
    secrets = context.settings.webhook_secrets.get(request.path_params["source"], ())
    return body, request.scope["headers"], tuple(secret for secret in secrets if secret.strip())


def _require_signature(context: CollectorContext, is_signed: bool) -> None:
    """401, the same whether the signature is missing or wrong, or the source has no secret: who asks learns no source's name."""
    if not is_signed:
        raise Refusal(
            401,
            "invalid_signature",
            "The signature is missing or does not fit, or no secret is set for this source (WEFT_WEBHOOK_SECRETS).",
        )
    context.settings.on_step("authenticated")


def _document(body: bytes) -> Document:
    try:
        return read_object(body)
    except PartRefusedError as error:
        raise _unfit(error.detail) from error


def _require_topic(
    topic: str, document: Document, *, known: Mapping[str, str], fits: Callable[[str, Document], bool]
) -> None:
    if topic and topic not in known:
        raise Refusal(
            400,
            "unknown_topic",
            "Weft does not read this topic; docs/webhooks.md lists those that it reads. Remove the subscription.",
        )
    if topic and not fits(topic, document):
        raise _unfit("The body is not what its topic brings; nothing was done.")


def _unfit(sentence: str) -> Refusal:
    return Refusal(400, "unexpected_shape", sentence)


def _one(headers: Headers, *names: bytes) -> str:
    """A header's value, blank where it is missing. Raises Refusal (400) where two of them differ."""
    values = {value.strip() for value in header_values(headers, names)}
    if len(values) > 1:
        raise _unfit("A header stands twice with different values.")
    return values.pop().decode("latin-1")[:_LONGEST_FACT] if values else ""


async def _append(context: CollectorContext, request: Request, kind: str, body: bytes, **facts: str) -> None:
    of_request = facts_of(request, context.settings.trusted_proxies, **facts)
    await context.append(kind, KeyFacts(request.path_params["source"]), body, of_request)
