"""What WooCommerce's bodies become."""

from typing import Any

import pytest

from ingestion.normalise.woocommerce import TOPICS, fits_topic
from tests.ingestion.webhooks.payloads import (
    WOO_CUSTOMER,
    WOO_ORDER,
    WOO_PRODUCT,
    WOOCOMMERCE,
    body_of,
    changed,
    events,
    lines,
    normalised,
)

LATER = "2026-02-21T10:00:00"


def test_an_order_without_tax_and_delivery_its_lines_to_the_cent() -> None:
    [order] = events("woocommerce", WOO_ORDER, source="woo")
    assert (order["event"], order["occurred_at"]) == ("Order Completed", "2026-02-20T09:00:20Z")
    properties = order["properties"]
    money = {name: properties[name] for name in ("total", "revenue", "tax", "shipping", "discount", "fees")}
    assert money == {"total": 52.36, "revenue": 40.0, "tax": 8.36, "shipping": 4.0, "discount": 5.0, "fees": 0}
    mug, pot = properties["products"]
    assert mug == {"product_id": "93", "name": "Mug", "price": 6.6667, "quantity": 3, "discount": 2.0}
    assert (pot["variant_id"], pot["price"], pot["discount"]) == ("95", 25.0, 3.0)
    assert order["context"]["campaign"] == {"source": "newsletter"}
    assert (order["user_id"], [each["type"] for each in order["identifiers"]]) == ("25", ["email", "phone"])


def test_a_guest_has_no_number() -> None:
    [order] = events("woocommerce", changed(WOO_ORDER, customer_id=0), source="woo")
    assert "user_id" not in order


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"status": "pending"}, ["Checkout Started"]),
        ({"status": "pending", "date_modified_gmt": LATER}, ["Checkout Step Completed"]),
        ({"status": "on-hold"}, ["Order Completed"]),
        ({"date_modified_gmt": LATER, "date_paid_gmt": LATER}, ["Order Updated", "Order Completed"]),
        ({"date_modified_gmt": LATER, "status": "completed"}, ["Order Updated", "Order Updated"]),
        ({"date_modified_gmt": LATER, "status": "cancelled"}, ["Order Updated", "Order Cancelled"]),
        ({"date_modified_gmt": LATER, "status": "failed"}, ["Order Updated", "Order Cancelled"]),
    ],
    ids=["pending", "pending_longer", "on_hold", "paid_later", "completed", "cancelled", "failed"],
)
def test_the_status_says_how_the_order_stands(changes: dict[str, Any], names: list[str]) -> None:
    found = events("woocommerce", changed(WOO_ORDER, **changes), source="woo")
    assert [event["event"] for event in found] == names
    assert ("order_id" in found[-1]["properties"]) is not names[0].startswith("Checkout")


def test_a_refund_is_the_orders_share_of_goods() -> None:
    refunds = [{"id": 901, "reason": "", "total": "-52.36"}, {"id": 902, "reason": "late", "total": "-13.09"}]
    _, _, whole, part = events(
        "woocommerce", changed(WOO_ORDER, date_modified_gmt=LATER, refunds=refunds), source="woo"
    )
    assert [each["event"] for each in (whole, part)] == ["Order Refunded"] * 2
    assert (whole["properties"]["refund_id"], whole["properties"]["revenue"]) == ("901", 40.0)
    assert (part["properties"]["total"], part["properties"]["revenue"]) == (13.09, 10.0)
    assert "occurred_at" not in whole  # WooCommerce names no day: it is the day that Weft heard of it first


def test_a_refund_that_is_listed_again_is_the_same() -> None:
    refunds = [{"id": 901, "reason": "", "total": "-13.09"}]
    first = events("woocommerce", changed(WOO_ORDER, refunds=refunds), source="woo")[-1]
    again = events("woocommerce", changed(WOO_ORDER, refunds=refunds, date_modified_gmt=LATER), source="woo")[-1]
    assert again == first


def test_an_order_in_the_bin_is_cancelled_by_its_topic_alone() -> None:
    [gone] = events("woocommerce", {"id": 727}, source="woo", topic="order.deleted")
    assert (gone["event"], gone["properties"]["order_id"]) == ("Order Cancelled", "727")
    [product] = lines(normalised("woocommerce", b'{"id":93}', source="woo", topic="product.deleted").products)
    assert (product["id"], product["stock"]) == ("93", "0")
    assert normalised("woocommerce", b'{"id":93}', source="woo").refused[0].reason == "no_known_field"


def test_a_customer_and_a_product() -> None:
    [customer] = events("woocommerce", WOO_CUSTOMER, source="woo")
    assert (customer["type"], customer["user_id"], customer["occurred_at"]) == (
        "identify",
        "25",
        "2026-02-20T09:00:00Z",
    )
    [product] = lines(normalised("woocommerce", body_of(WOO_PRODUCT), source="woo").products)
    told = {name: product[name] for name in ("id", "name", "category_path", "price", "stock", "updated_at")}
    assert told == {
        "id": "93", "name": "Mug", "category_path": "Kitchen", "price": "6.66", "stock": "12",
        "updated_at": "2026-02-20T09:00:00Z",
    }  # fmt: skip


def test_every_topic_takes_its_own_body_and_no_other_familys() -> None:
    for topic, family in TOPICS.items():
        fitting = {name for name, body in WOOCOMMERCE.items() if fits_topic(topic, body)}
        assert fitting == {name for name in WOOCOMMERCE if TOPICS[name] == family}
