"""Snowplow's tracker protocol: `tp2` payloads (POST) and the pixel `/i` (GET).

Names of the protocol's parameters: https://docs.snowplow.io/docs/events/going-deeper/event-parameters/. The payload is kept as it was
sent; `context.entities` has the entities read from base64.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec

from ingestion.envelope import RejectReason
from ingestion.event_log import Normalized, Received
from ingestion.normalise.base64_text import from_base64
from ingestion.normalise.consent import consent_of
from ingestion.normalise.identifiers import promoted
from ingestion.normalise.lines import EventLine, Identifier, Outcome, PartRefusedError, refused_whole, text_of, time_of
from ingestion.normalise.parts import decoded_body, decoded_json, whole_body
from ingestion.normalise.queries import parameters
from ingestion.normalise.snowplow_commerce import commerce_event
from ingestion.normalise.snowplow_entities import OWN, Entity, entities_of, first_of, name_of

BATCH_EVENTS = 2_500
_NULL_UUID = "00000000-0000-0000-0000-000000000000"
_NOT_CANONICAL = ("stm",)  # a tracker that tries again sends another time of sending
_CAMPAIGN = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "name",
    "utm_term": "term",
    "utm_content": "content",
}


class _Payload(msgspec.Struct, gc=False):
    data: list[msgspec.Raw]


class _Named(NamedTuple):
    """What happened: the type of call, the event's name and its properties."""

    type: str
    event: str | None
    properties: dict[str, Any]


_payload = msgspec.json.Decoder(_Payload)
_object = msgspec.json.Decoder(dict[str, Any])


def split(received: Received) -> Sequence[bytes]:
    """The events of a payload, or the one of a query."""
    if _is_pixel(received):
        return whole_body(received)
    try:
        return [bytes(event) for event in _events(received)]
    except PartRefusedError:
        return whole_body(received)


def normalise(received: Received, entry: str) -> Normalized:
    """Every event of the request."""
    outcome = Outcome(received, entry)
    if _is_pixel(received):
        return outcome.add_each([received], lambda part, sent: _add(outcome, part, dict(parameters(sent)))).result()
    try:
        events = _events(received)
    except PartRefusedError as error:
        return refused_whole(received, error.reason, error.detail)
    return outcome.add_each(events, lambda part, event: _add(outcome, part, decoded_json(_object, event))).result()


def _is_pixel(received: Received) -> bool:
    return received.facts.get("path") == "i"


def _events(received: Received) -> list[msgspec.Raw]:
    events = decoded_json(_payload, decoded_body(received)).data
    if len(events) > BATCH_EVENTS:
        raise PartRefusedError(RejectReason.BATCH_TOO_LARGE)
    return events


def _add(outcome: Outcome, part: int, sent: dict[str, Any]) -> None:
    get = partial(_text, sent)
    facts = outcome.received.facts
    entities = entities_of(_document(sent, "cx", "co"))
    named = _named(sent, get, entities)
    session = first_of(entities, "client_session")
    shopper = first_of(entities, "user") or {}
    cookies = [id_ for id_ in (get("duid"), _text(session or {}, "userId"), get("tnuid"), get("nuid")) if id_]
    context = _context(get, entities, session or {}, facts)
    identifiers = promoted(shopper, {}, named.properties, context)
    identifiers += [
        Identifier("network_userid", id_) for id_ in (get("tnuid"), get("nuid")) if id_ and id_ != cookies[0]
    ]
    original = _time(get("dtm"))
    line = EventLine(
        type=named.type,
        event=named.event,
        message_id=get("eid"),
        user_id=get("uid") or _text(shopper, "id"),
        anonymous_id=cookies[0] if cookies else None,
        identifiers=identifiers,
        properties=named.properties,
        context=context,
        consent=consent_of(context, facts),
        original_timestamp=original,
        sent_at=_time(get("stm")),
        occurred_at=_time(get("ttm")),
        payload=sent,
    )
    canonical = None
    if line.message_id is None and original is not None:
        same = {name: value for name, value in sent.items() if name not in _NOT_CANONICAL}
        canonical = msgspec.json.encode(same, order="sorted")
    outcome.add(part, line, canonical=canonical)


def _named(sent: Mapping[str, Any], get: Callable[[str], str | None], entities: Sequence[Entity]) -> _Named:
    kind = get("e")
    page = _without_null({"title": get("page"), "url": get("url"), "referrer": get("refr")})
    if kind == "pv":
        return _Named("page", get("page"), page)
    if kind == "pp":
        offsets = {name: get(name) for name in ("pp_mix", "pp_max", "pp_miy", "pp_may")}
        return _Named("track", "Page Pinged", page | _without_null(offsets))
    if kind == "se":
        names = {"category": "se_ca", "label": "se_la", "property": "se_pr", "value": "se_va"}
        return _named_track(get("se_ac"), {name: get(parameter) for name, parameter in names.items()})
    if kind == "tr":
        names = {"order_id": "tr_id", "affiliation": "tr_af", "total": "tr_tt", "tax": "tr_tx", "shipping": "tr_sh"}
        return _named_track(
            "Order Completed", {name: get(key) for name, key in (names | {"currency": "tr_cu"}).items()}
        )
    if kind == "ti":
        names = {"order_id": "ti_id", "product_id": "ti_sk", "name": "ti_nm", "category": "ti_ca", "price": "ti_pr"}
        more = {"quantity": "ti_qu", "currency": "ti_cu"}
        return _named_track("Transaction Item", {name: get(key) for name, key in (names | more).items()})
    if kind == "ue":
        return _self_described(sent, entities, get("eid"))
    raise PartRefusedError(RejectReason.UNKNOWN_TYPE, "The parameter e is none of pv, pp, ue, se, tr, ti.")


def _named_track(event: str | None, properties: Mapping[str, Any]) -> _Named:
    if event is None:
        raise PartRefusedError(RejectReason.MISSING_EVENT_NAME)
    return _Named("track", event, _without_null(properties))


def _self_described(sent: Mapping[str, Any], entities: Sequence[Entity], event_id: str | None) -> _Named:
    wrapped = _document(sent, "ue_px", "ue_pr")
    described = wrapped.get("data")
    if not isinstance(described, dict) or not isinstance(described.get("schema"), str):
        raise PartRefusedError(RejectReason.MISSING_EVENT_NAME, "A self-describing event needs its schema.")
    data = described.get("data")
    properties = data if isinstance(data, dict) else {} if data is None else {"data": data}
    name = name_of(described["schema"])
    is_own = described["schema"].startswith(OWN)
    if is_own and name == "screen_view":
        return _Named("screen", text_of(properties.get("name")), properties)
    if is_own and name == "snowplow_ecommerce_action":
        event, properties = commerce_event(properties, entities, event_id)
        return _named_track(event, properties)
    return _Named("track", name, properties)


def _document(sent: Mapping[str, Any], encoded: str, plain: str) -> dict[str, Any]:
    """A self-describing JSON, as base64 or as text; empty where neither is there."""
    text = sent.get(encoded)
    if isinstance(text, str) and text:
        return decoded_json(_object, from_base64(encoded, text))
    text = sent.get(plain)
    return decoded_json(_object, text.encode()) if isinstance(text, str) and text else {}


def _context(
    get: Callable[[str], str | None], entities: Sequence[Entity], session: Mapping[str, Any], facts: Mapping[str, str]
) -> dict[str, Any]:
    is_web = get("p") == "web"
    url = get("url")
    parts: dict[str, Any] = {
        "library": _without_null({"name": "snowplow", "version": get("tv"), "namespace": get("tna")}),
        "app": _without_null({"name": get("aid"), "platform": get("p")}),
        "page": _without_null({"title": get("page"), "url": url, "referrer": get("refr")}),
        "campaign": _campaign(url),
        "session": _without_null(
            {"id": get("sid") or _text(session, "sessionId"), "index": get("vid") or _text(session, "sessionIndex")}
        ),
        "screen": _without_null({"resolution": get("res"), "viewport": get("vp"), "depth": get("cd")}),
        "device": _device(entities),
        "ip": get("ip") or (facts.get("ip") if is_web else None),
        "userAgent": get("ua") or (facts.get("user_agent") if is_web else None),
        "timezone": get("tz"),
        "locale": get("lang"),
        "entities": [{"schema": entity.schema, "data": entity.data} for entity in entities],
    }
    return {name: value for name, value in parts.items() if value}


def _device(entities: Sequence[Entity]) -> dict[str, Any]:
    """The phone that a mobile tracker describes, in Segment's words."""
    phone = first_of(entities, "mobile_context") or {}
    advertising = _text(phone, "appleIdfa") or _text(phone, "androidIdfa")
    names = {"manufacturer": "deviceManufacturer", "model": "deviceModel", "id": "appleIdfv", "type": "osType"}
    device: dict[str, Any] = _without_null({name: _text(phone, key) for name, key in names.items()})
    return device | ({"advertisingId": advertising, "adTrackingEnabled": True} if advertising else {})


def _campaign(url: str | None) -> dict[str, str]:
    try:
        pairs = parse_qsl(urlsplit(url or "").query, max_num_fields=200)
    except ValueError:  # an address that is none, or with a flood of parameters, has no campaign
        return {}
    return {_CAMPAIGN[name]: value for name, value in pairs if name in _CAMPAIGN}


def _time(milliseconds: str | None) -> str | None:
    if milliseconds is None:
        return None
    if not (milliseconds.isascii() and milliseconds.isdecimal() and len(milliseconds) <= 15):
        raise PartRefusedError(RejectReason.BAD_TIMESTAMP, "A time is not a number of milliseconds since 1970.")
    return time_of(int(milliseconds))


def _text(values: Mapping[str, Any], name: str) -> str | None:
    """A parameter's text; blank and the null UUID of an anonymous person are none."""
    text = text_of(values.get(name))
    return None if text == _NULL_UUID else text


def _without_null(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
