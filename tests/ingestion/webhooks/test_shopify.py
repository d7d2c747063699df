"""What Shopify's bodies become."""

import json
from datetime import datetime
from typing import Any

import pytest

from ingestion.normalise.shopify import TOPICS, family_of, fits_topic
from tests.ingestion.webhooks.payloads import (
    CART,
    CHECKOUT,
    CUSTOMER,
    DATA_REQUEST,
    ORDER,
    PRODUCT,
    REDACT,
    REFUND,
    SHOP_REDACT,
    SHOPIFY,
    body_of,
    changed,
    events,
    lines,
    money,
    normalised,
)

LATER = "2026-02-21T10:00:00+01:00"


def only(found: list[dict[str, Any]]) -> dict[str, Any]:
    [event] = found
    return event


def test_an_order_is_its_merchandise_without_tax_and_delivery_in_the_shops_money() -> None:
    order = only(events("shopify", ORDER))
    assert (order["type"], order["event"], order["occurred_at"]) == ("track", "Order Completed", "2026-02-20T09:00:01Z")
    properties = order["properties"]
    money_of = {name: properties[name] for name in ("total", "revenue", "subtotal", "tax", "shipping", "discount")}
    # 47.60 with tax is 40.00 and 7.60; delivery 4.76 is 4.00 and 0.76; 40 + 4 + 8.36 = 52.36
    assert money_of == {
        "total": 52.36,
        "revenue": 40.0,
        "subtotal": 40.0,
        "tax": 8.36,
        "shipping": 4.0,
        "discount": 5.95,
    }
    assert (properties["order_id"], properties["currency"], properties["coupon"]) == ("450789469", "EUR", "SPRING")
    assert properties["products"][0] == {
        "product_id": "632910392", "variant_id": "808950810", "sku": "MUG-1", "name": "Mug", "variant": "blue",
        "brand": "Kiln", "price": 11.9, "quantity": 2, "discount": 2.65,
    }  # fmt: skip
    assert order["context"] == {
        "channel": "web",
        "campaign": {"source": "newsletter", "medium": "email", "name": "spring"},
        "location": {"country": "DE", "city": "Köln"},
    }
    assert order["payload"] == ORDER


def test_prices_without_tax_are_the_revenue_as_they_stand() -> None:
    plain = changed(ORDER, taxes_included=False, subtotal_price_set=money("40.00"), total_tax_set=money("8.36"))
    plain["shipping_lines"][0]["discounted_price_set"] = money("4.00")
    properties = only(events("shopify", plain))["properties"]
    assert (properties["revenue"], properties["shipping"], properties["tax"]) == (40.0, 4.0, 8.36)


def test_no_digit_is_lost_on_the_way() -> None:
    order = changed(ORDER, total_price_set=money("12345678901.01"), total_tax_set=money("0.1"), taxes_included=False)
    order["subtotal_price_set"] = money("0.30")
    line = normalised("shopify", body_of(order)).events
    assert b'"total":12345678901.01,' in line
    assert b'"revenue":0.30,' in line and b'"tax":0.1,' in line


def test_who_bought_is_named_by_number_cart_and_each_address_once() -> None:
    order = only(events("shopify", ORDER))
    assert (order["user_id"], order["anonymous_id"]) == ("207119551", "c0ffee")
    assert order["identifiers"] == [
        {"type": "email", "value": "ann@example.com"},
        {"type": "email", "value": "Ann@Example.com"},
        {"type": "phone", "value": "+4915112345678"},
    ]
    guest = only(events("shopify", changed(ORDER, customer=None, cart_token=None, email="", contact_email=None)))
    assert {"user_id", "anonymous_id", "identifiers"}.isdisjoint(guest)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "Order Completed"),
        ({"updated_at": LATER}, "Order Updated"),
        ({"cancelled_at": LATER, "updated_at": LATER}, "Order Cancelled"),
        ({"cancelled_at": LATER, "updated_at": "2026-03-01T10:00:00Z", "note": "later"}, "Order Cancelled"),
    ],
    ids=["placed", "updated", "cancelled", "updated_after_it_was_cancelled"],
)
def test_the_body_says_how_the_order_stands(changes: dict[str, Any], name: str) -> None:
    *before, order = events("shopify", changed(ORDER, **changes))
    assert order["event"] == name
    assert [event["event"] for event in before] == (["Order Updated"] if changes else [])


def test_an_old_order_that_is_touched_now_keeps_its_day() -> None:
    placed, update = events("shopify", changed(ORDER, updated_at=LATER))
    assert (placed["occurred_at"], update["occurred_at"]) == ("2026-02-20T09:00:00Z", "2026-02-21T09:00:00Z")
    assert placed["properties"] == {"order_id": "450789469", "currency": "EUR", "revenue": 0}
    assert {"user_id", "anonymous_id", "identifiers"}.isdisjoint(placed)
    later_still, _ = events("shopify", changed(ORDER, updated_at="2026-02-24T10:00:00Z", note="x"))
    assert without_entry(later_still) == without_entry(placed)


def without_entry(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "entry"}


def test_the_same_content_is_the_same_event_whatever_the_headers_say() -> None:
    """T4: a replay with a new delivery id, another topic and other spelling of the same JSON."""
    first = only(events("shopify", ORDER, topic="orders/create", delivery="d-1"))
    again = normalised(
        "shopify", json.dumps(ORDER, indent=1).encode(), entry="9-0", topic="orders/paid", delivery="d-2"
    )
    assert without_entry(only(lines(again.events))) == without_entry(first)
    another = only(events("shopify", changed(ORDER, note="gift")))
    assert another["message_id"] != first["message_id"]


def test_a_refund_is_the_same_from_its_webhook_and_from_its_order() -> None:
    alone = only(events("shopify", REFUND))
    *_, listed = events("shopify", changed(ORDER, updated_at=LATER, refunds=[REFUND]))
    expected = {"order_id": "450789469", "refund_id": "509562969", "currency": "EUR", "total": 10.57, "revenue": 8.88}
    for refund in (alone, listed):
        assert refund["event"] == "Order Refunded"
        assert {name: refund["properties"][name] for name in expected} == expected
        assert refund["properties"]["products"][0]["quantity"] == 1
        assert "identifiers" not in refund and "user_id" not in refund
    told_at = [datetime.fromisoformat(refund["occurred_at"]) for refund in (alone, listed)]
    assert told_at[0] < told_at[1]  # the order knows more of it, so its telling is the newer


def test_a_refund_of_delivery_and_goodwill_is_told_apart() -> None:
    adjustments = [
        {"kind": "shipping_refund", "amount": "-4.00", "tax_amount": "-0.76", "amount_set": money("-4.00")},
        {"kind": "refund_discrepancy", "amount": "-5.00", "tax_amount": "0.00", "amount_set": money("-5.00")},
    ]
    paid = [{"kind": "refund", "status": "success", "amount": "9.76", "currency": "EUR"}]
    refund = changed(REFUND, refund_line_items=[], order_adjustments=adjustments, transactions=paid)
    properties = only(events("shopify", refund))["properties"]
    assert (properties["revenue"], properties["shipping"], properties["total"]) == (5.0, 4.0, 9.76)


def test_a_refund_without_lines_is_what_was_paid_back_and_a_failed_payment_is_none() -> None:
    paid = [
        {"kind": "refund", "status": "success", "amount": "3.00", "currency": "CHF"},
        {"kind": "refund", "status": "failure", "amount": "3.00", "currency": "CHF"},
    ]
    refund = only(events("shopify", changed(REFUND, refund_line_items=[], transactions=paid)))
    assert (refund["properties"]["revenue"], refund["properties"]["currency"]) == (3.0, "CHF")


def test_a_customer_is_an_identify_and_each_word_about_marketing_one_of_its_own_day() -> None:
    identify, email, sms = events("shopify", CUSTOMER)
    assert (identify["type"], identify["user_id"], identify["occurred_at"]) == (
        "identify",
        "207119551",
        "2026-02-21T08:00:00Z",
    )
    assert identify["traits"]["first_name"] == "Ann" and "consent" not in identify
    assert (email["consent"], email["occurred_at"]) == ({"advertising": True}, "2025-06-01T10:00:00Z")
    assert (sms["consent"], sms["occurred_at"]) == ({"advertising": False}, "2025-07-01T10:00:00Z")
    assert email["identifiers"] == [{"type": "email", "value": "ann@example.com"}]
    assert sms["identifiers"] == [{"type": "phone", "value": "+4915112345678"}]


def test_a_word_that_is_only_repeated_is_not_said_again() -> None:
    """Dated by the update that repeats it, an old yes would outlive a no that was said elsewhere since."""
    _, *words = events("shopify", CUSTOMER)
    _, *again = events("shopify", changed(CUSTOMER, updated_at="2026-02-24T08:00:00Z", tags=""))
    assert again == words


@pytest.mark.parametrize("state", ["not_subscribed", "pending", "invalid", None])
def test_what_was_neither_given_nor_refused_is_no_consent(state: str | None) -> None:
    silent = changed(CUSTOMER, email_marketing_consent={"state": state}, sms_marketing_consent=None)
    assert len(events("shopify", silent)) == 1


def test_older_versions_of_the_api_say_accepts_marketing() -> None:
    old = {name: value for name, value in CUSTOMER.items() if not name.endswith("_consent")}
    old |= {"accepts_marketing": False, "accepts_marketing_updated_at": "2024-01-01T00:00:00Z"}
    _, word = events("shopify", old)
    assert (word["consent"], word["occurred_at"]) == ({"advertising": False}, "2024-01-01T00:00:00Z")


def test_a_box_ticked_at_checkout_counts_once_and_an_empty_one_says_nothing() -> None:
    assert only(events("shopify", ORDER))["consent"] == {"advertising": True}
    assert "consent" not in only(events("shopify", changed(ORDER, buyer_accepts_marketing=False)))
    assert all("consent" not in event for event in events("shopify", changed(ORDER, updated_at=LATER)))


def test_a_new_cart_adds_its_products_and_a_changed_one_is_viewed() -> None:
    added = only(events("shopify", CART))
    assert (added["event"], added["anonymous_id"]) == ("Product Added", "c0ffee")
    assert added["properties"] == {
        "cart_id": "c0ffee", "product_id": "632910392", "variant_id": "808950810", "name": "Mug", "price": 11.9, "quantity": 2
    }  # fmt: skip
    viewed = only(events("shopify", changed(CART, updated_at="2026-02-20T08:55:00Z", line_items=[])))
    assert (viewed["event"], viewed["properties"]) == ("Cart Viewed", {"cart_id": "c0ffee"})


def test_a_checkout_brings_the_cart_and_the_address_together() -> None:
    step = only(events("shopify", CHECKOUT))
    assert (step["event"], step["anonymous_id"]) == ("Checkout Step Completed", "c0ffee")
    assert step["identifiers"] == [{"type": "email", "value": "ann@example.com"}]
    started = only(events("shopify", changed(CHECKOUT, updated_at=CHECKOUT["created_at"])))
    assert started["event"] == "Checkout Started"


def test_a_product_is_a_line_of_the_catalogue() -> None:
    [product] = lines(normalised("shopify", body_of(PRODUCT)).products)
    assert without_entry(product) == {
        "part": 0, "source": "shop", "id": "632910392", "name": "Mug", "category_path": "Home & Garden > Kitchen > Mugs",
        "price": "9.90", "stock": "4", "updated_at": "2026-02-20T08:00:00Z",
    }  # fmt: skip
    [archived] = lines(normalised("shopify", body_of(changed(PRODUCT, status="archived"))).products)
    [gone] = lines(normalised("shopify", body_of({"id": 632910392})).products)
    assert archived["stock"] == gone["stock"] == "0"
    uncounted = changed(PRODUCT, variants=[{"price": "1.00", "inventory_management": None, "inventory_quantity": 0}])
    assert "stock" not in lines(normalised("shopify", body_of(uncounted)).products)[0]


@pytest.mark.parametrize("topic", ["customers/redact", "customers/data_request", "shop/redact"])
def test_privacy_topics_are_held_with_their_subject_and_make_no_event(topic: str) -> None:
    found = normalised("shopify", body_of(SHOPIFY[topic]), topic="orders/create")
    assert (found.events, found.products, found.refused) == (b"", b"", ())
    [request] = lines(found.privacy)
    assert (request["topic"], request["subject"]) == (topic, SHOPIFY[topic])
    again = normalised("shopify", body_of(SHOPIFY[topic]), entry="8-0", delivery="other")
    assert lines(again.privacy)[0]["message_id"] == request["message_id"]


def test_every_topic_takes_its_own_body_and_no_other_familys() -> None:
    """T5, as far as the shape goes: every body under every topic."""
    for topic, family in TOPICS.items():
        fitting = {name for name, body in SHOPIFY.items() if fits_topic(topic, body)}
        assert fitting == {name for name in SHOPIFY if TOPICS[name] == family}
    assert not fits_topic("app/uninstalled", ORDER)


@pytest.mark.parametrize(
    "body",
    [
        REDACT | {"more": 1},
        {name: value for name, value in REDACT.items() if name != "orders_to_redact"},
        REDACT | {"customer": REDACT["customer"] | {"first_name": "Ann"}},
        REDACT | {"customer": {"email": "ann@example.com"}},
        REDACT | {"orders_to_redact": [{"id": 1}]},
        REDACT | {"shop_id": "954889"},
        DATA_REQUEST | {"data_request": {}},
        SHOP_REDACT | {"shop_id": True},
        CUSTOMER | {"shop_id": 954889},
    ],
    ids=["more", "less", "person_more", "person_no_id", "orders", "shop_id", "request", "boolean", "customer"],
)
def test_a_request_to_erase_has_its_very_form(body: dict[str, Any]) -> None:
    assert family_of(body) is None
    assert [refused.reason for refused in normalised("shopify", body_of(body)).refused] == ["no_known_field"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"updated_at": None}, "bad_timestamp"),
        ({"updated_at": "yesterday"}, "bad_timestamp"),
        ({"id": None}, "missing_key"),
        ({"total_price_set": money("ten")}, "bad_number"),
        ({"total_price_set": money("1e400")}, "bad_number"),
        ({"total_price_set": money("NaN")}, "bad_number"),
        ({"refunds": [{"id": 1}]}, "bad_timestamp"),
    ],
    ids=["no_time", "bad_time", "no_id", "text", "huge", "nan", "refund"],
)
def test_a_body_that_cannot_be_read_is_put_aside_whole_without_its_values(change: dict[str, Any], reason: str) -> None:
    found = normalised("shopify", body_of(changed(ORDER, **change)))
    [refused] = found.refused
    assert (found.events, refused.index, refused.reason) == (b"", 0, reason)
    assert not {"ann", "ten", "nan", "yesterday"} & set(refused.detail.lower().split())


def test_a_shop_that_shares_numbers_with_another_can_name_its_own_kind(tmp_path: Any) -> None:
    from ingestion.normalise.source_settings import SOURCE_FILES

    SOURCE_FILES.folder = tmp_path
    (tmp_path / "shop.yml").write_text("customer_id: shopify_customer_id\ncurrency: EUR\n")
    order = only(events("shopify", ORDER))
    assert "user_id" not in order
    assert order["identifiers"][0] == {"type": "shopify_customer_id", "value": "207119551"}
    assert lines(normalised("shopify", body_of(PRODUCT)).products)[0]["currency"] == "EUR"
    (tmp_path / "shop.yml").write_text("customer_ids: shopify_customer_id\n")
    [refused] = normalised("shopify", body_of(ORDER)).refused
    assert refused.reason == "bad_source_settings"
    assert refused.detail == "sources/shop.yml cannot be used: 'customer_ids' is not a setting or has no usable value."
