"""Snowplow's tracker protocol: every kind of event, ids, times, base64 and e-commerce."""

import base64
import json
from typing import Any

import pytest

from ingestion.normalise import normalise, part_bytes
from tests.ingestion.normalise.sent import identifiers, line_of, lines_of, reason_of, received

PAYLOAD = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4"
COMMERCE = "iglu:com.snowplowanalytics.snowplow.ecommerce/{}/jsonschema/1-0-0"
BASE = {
    "eid": "4b9eb7a4-0a4e-4b3b-8b0f-0d1a6c2d0a11", "p": "web", "aid": "shop", "tv": "js-3.0", "tna": "sp", "dtm": "1770000000000",
    "stm": "1770000001000", "duid": "cookie-1", "uid": "u1", "sid": "s-1", "vid": "2", "lang": "de",
}  # fmt: skip


def post(*events: Any) -> Any:
    return received("snowplow", {"schema": PAYLOAD, "data": list(events)}, path="tp2", ip="192.0.2.7", user_agent="B/1")


def event(**parameters: str) -> dict[str, Any]:
    return line_of(post(BASE | parameters))


def encoded(document: Any, *, urlsafe: bool = True) -> str:
    content = json.dumps(document, ensure_ascii=False).encode()
    return (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(content).decode()


def described(schema: str, data: Any) -> dict[str, Any]:
    return {
        "schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0",
        "data": {"schema": schema, "data": data},
    }


def with_entities(*entities: tuple[str, Any]) -> str:
    listed = [{"schema": COMMERCE.format(name) if ":" not in name else name, "data": data} for name, data in entities]
    return encoded({"schema": "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-0", "data": listed})


def test_a_page_view() -> None:
    line = event(
        e="pv", page="Home", url="https://shop.example/?utm_source=news&utm_campaign=autumn", refr="https://s.example/"
    )
    assert (line["type"], line["event"], line["message_id"]) == ("page", "Home", BASE["eid"])
    assert (line["user_id"], line["anonymous_id"]) == ("u1", "cookie-1")
    assert (line["original_timestamp"], line["sent_at"]) == ("2026-02-02T02:40:00.000Z", "2026-02-02T02:40:01.000Z")
    context = line["context"]
    assert (context["campaign"], context["ip"]) == ({"source": "news", "name": "autumn"}, "192.0.2.7")
    assert (context["session"], context["userAgent"]) == ({"id": "s-1", "index": "2"}, "B/1")
    assert line["payload"]["refr"] == "https://s.example/"


def test_the_pixel_says_the_same_as_the_payload() -> None:
    query = "&".join(f"{name}={value}" for name, value in (BASE | {"e": "pv", "page": "Home"}).items())
    pixel = line_of(received("snowplow", path="i", query=query, ip="192.0.2.7", user_agent="B/1"))
    assert pixel == event(e="pv", page="Home")
    assert part_bytes(received("snowplow", path="i", query=query), 0) == query.encode()


@pytest.mark.parametrize(
    ("sent", "name", "properties"),
    [
        ({"e": "pp", "pp_may": "90"}, "Page Pinged", {"pp_may": "90"}),
        ({"e": "se", "se_ca": "shop", "se_ac": "add", "se_va": "2"}, "add", {"category": "shop", "value": "2"}),
        (
            {"e": "tr", "tr_id": "o1", "tr_tt": "12.5", "tr_cu": "EUR"},
            "Order Completed",
            {"order_id": "o1", "total": "12.5", "currency": "EUR"},
        ),
        (
            {"e": "ti", "ti_id": "o1", "ti_sk": "p1", "ti_qu": "2"},
            "Transaction Item",
            {"order_id": "o1", "product_id": "p1", "quantity": "2"},
        ),
    ],
    ids=["ping", "structured", "transaction", "item"],
)
def test_plain_events(sent: dict[str, str], name: str, properties: dict[str, str]) -> None:
    line = event(**sent)
    assert (line["type"], line["event"], line["properties"]) == ("track", name, properties)


@pytest.mark.parametrize("urlsafe", [True, False])
@pytest.mark.parametrize("is_padded", [True, False])
def test_a_self_describing_event_in_base64(urlsafe: bool, is_padded: bool) -> None:
    text = encoded(
        described("iglu:com.acme/stock_asked/jsonschema/1-0-0", {"text": "ÿ>?~ü", "email": "ann@example.com"}),
        urlsafe=urlsafe,
    )
    line = event(e="ue", ue_px=text if is_padded else text.rstrip("="))
    assert (line["event"], line["properties"]["text"]) == ("stock_asked", "ÿ>?~ü")
    assert identifiers(line) == [("email", "ann@example.com")]


def test_commerce_actions_have_segments_names() -> None:
    action = "iglu:com.snowplowanalytics.snowplow.ecommerce/snowplow_ecommerce_action/jsonschema/1-0-2"

    def done(kind: str, *entities: tuple[str, Any]) -> dict[str, Any]:
        return event(e="ue", ue_pr=json.dumps(described(action, {"type": kind})), cx=with_entities(*entities))

    product = {"id": "p1", "name": "Cup", "price": 5, "currency": "EUR", "category": "Home", "brand": None}
    viewed = done("product_view", ("product", product))
    assert viewed["event"] == "Product Viewed"
    assert viewed["properties"] == {
        "product_id": "p1",
        "name": "Cup",
        "price": 5,
        "currency": "EUR",
        "category": "Home",
    }
    added = done("add_to_cart", ("product", product), ("cart", {"total_value": 10, "currency": "EUR"}))
    assert (added["event"], added["properties"]["product_id"]) == ("Product Added", "p1")
    assert done("remove_from_cart", ("product", product))["event"] == "Product Removed"
    assert done("checkout_step", ("checkout_step", {"step": 1}))["event"] == "Checkout Started"
    assert done("checkout_step", ("checkout_step", {"step": 2}))["event"] == "Checkout Step Completed"
    order = {"transaction_id": "o1", "revenue": 12, "currency": "EUR", "tax": 2, "payment_method": "card"}
    bought = done(
        "transaction", ("transaction", order), ("product", product), ("user", {"id": "u7", "email": "ann@example.com"})
    )
    assert bought["event"] == "Order Completed"
    assert {name: bought["properties"][name] for name in ("order_id", "total", "tax")} == {
        "order_id": "o1",
        "total": 12,
        "tax": 2,
    }
    assert bought["properties"]["products"][0]["product_id"] == "p1"
    assert identifiers(bought) == [("email", "ann@example.com")]
    refunded = done("refund", ("refund", {"transaction_id": "o1", "refund_amount": 3, "currency": "EUR"}))
    assert (refunded["event"], refunded["properties"]["total"]) == ("Order Refunded", 3)


def test_ids_that_are_none_and_ids_of_phones() -> None:
    nobody = line_of(post({"e": "pv", "duid": "00000000-0000-0000-0000-000000000000", "dtm": "1770000000000"}))
    assert "anonymous_id" not in nobody and len(nobody["message_id"]) == 64
    assert event(e="pv", duid="", tnuid="n-1")["anonymous_id"] == "n-1"
    assert identifiers(event(e="pv", tnuid="n-1")) == [("network_userid", "n-1")]
    session = (
        "iglu:com.snowplowanalytics.snowplow/client_session/jsonschema/1-0-2",
        {"userId": "phone-1", "sessionId": "s9"},
    )
    theirs = ("iglu:com.acme/user/jsonschema/1-0-0", {"id": "not-ours", "email": "not@example.com"})
    phone = event(e="pv", duid="", uid="", cx=with_entities(session, theirs))
    assert (phone["anonymous_id"], phone.get("user_id"), identifiers(phone)) == ("phone-1", None, [])


def test_the_true_time_counts() -> None:
    assert event(e="pv", ttm="1760000000000")["occurred_at"] == "2025-10-09T08:53:20.000Z"


def test_bad_events_are_refused_alone() -> None:
    bad = [
        (BASE | {"e": "xx"}, "unknown_type"),
        (BASE | {"e": "se"}, "missing_event_name"),
        (BASE | {"e": "ue"}, "missing_event_name"),
        (BASE | {"e": "ue", "ue_px": "%"}, "bad_value"),
        (BASE | {"e": "ue", "ue_px": "e30x"}, "broken_json"),
        (BASE | {"e": "pv", "cx": "bm8="}, "broken_json"),
        (BASE | {"e": "pv", "dtm": "yesterday"}, "bad_timestamp"),
        ("text", "not_an_object"),
    ]
    request = post(BASE | {"e": "pv"}, *(sent for sent, _ in bad))
    normalized = normalise(request, "5-0")
    assert [refused.reason for refused in normalized.refused] == [reason for _, reason in bad]
    assert len(lines_of(normalized)) == 1 and json.loads(part_bytes(request, 1)) == bad[0][0]
    assert reason_of(received("snowplow", {"schema": PAYLOAD}, path="tp2")) == "not_an_object"
