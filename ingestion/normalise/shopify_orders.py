"""Shopify's orders: every version of an order is one event, dated by its own `updated_at`.

The Customer 360 takes an order's newest version by `occurred_at` (dbt_project/models/customer_360/order_versions.sql), so the order
in which deliveries arrive decides nothing. Whether a version is `Order Completed`, `Order Updated` or `Order Cancelled` is read from
the body too: Shopify sends the same body under several topics, and it is the same event.
"""

from datetime import timedelta
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

from ingestion.normalise.documents import (
    Document,
    amount,
    content_id,
    given,
    instant_of,
    number,
    objects,
    part_of,
    required_key,
    text,
    utc_text,
)
from ingestion.normalise.lines import EventLine, Line
from ingestion.normalise.people import person
from ingestion.normalise.shopify_customers import customer_traits
from ingestion.normalise.shopify_money import products_of, shipping, shop_amount
from ingestion.normalise.shopify_refunds import refund_line
from ingestion.normalise.source_settings import SourceSettings

JUST_PLACED = timedelta(seconds=60)
"""A version this young is the order as it was placed; Shopify touches an order a few times in its first seconds."""
_UTM = ("source", "medium", "name", "term", "content")


def order_lines(document: Document, settings: SourceSettings) -> list[Line]:
    """The order as it stands, its refunds so far, and, for an order that is older than this version, the day it was placed."""
    key = required_key(document, "id", "The order")
    placed_at = instant_of(document.get("created_at"), "created_at of the order")
    updated_at = instant_of(document.get("updated_at"), "updated_at of the order")
    is_new = updated_at - placed_at <= JUST_PLACED
    customer = part_of(document, "customer")
    who = person(
        settings,
        customer.get("id"),
        emails=(customer.get("email"), document.get("email"), document.get("contact_email")),
        phones=(customer.get("phone"), document.get("phone")),
    )
    name = "Order Updated"
    if document.get("cancelled_at"):
        name = "Order Cancelled"
    elif is_new:
        name = "Order Completed"
    lines: list[Line] = [
        EventLine(
            type="track",
            event=name,
            message_id=content_id("order", key, document),
            user_id=who.user_id,
            anonymous_id=text(document.get("cart_token")),
            identifiers=who.identifiers,
            properties=order_properties(document, key),
            traits=customer_traits(customer),
            context=_context(document, "shopify" if name == "Order Cancelled" else channel_of(document)),
            # a box that was ticked in this checkout; one that was not says nothing
            consent={"advertising": True} if is_new and document.get("buyer_accepts_marketing") is True else None,
            occurred_at=utc_text(updated_at),
        )
    ]
    if not is_new:
        lines.insert(0, placed_line(key, text(document.get("currency")), utc_text(placed_at)))
    is_taxed = document.get("taxes_included") is True
    for refund in objects(document.get("refunds")):
        lines.append(refund_line(refund, order_id=key, currency=text(document.get("currency")), is_taxed=is_taxed))
    return lines


def placed_line(key: str, currency: str | None, placed_at: str) -> EventLine:
    """When an order was placed, for one that Weft may hear of only now: an update dates no order, and a shop has old ones.

    It says nothing that changes, so it is the same event every time; it is nobody's, and the version beside it stands in its place.
    """
    return EventLine(
        type="track",
        event="Order Updated",
        message_id=content_id("placed", key, currency, placed_at),
        properties=given(order_id=key, currency=currency, revenue=0),
        payload=given(id=key, currency=currency, created_at=placed_at),
        occurred_at=placed_at,
    )


def order_properties(document: Document, key: str) -> dict[str, object]:
    """Money in the shop's currency. `revenue` is what the merchandise costs after discount, without tax, delivery and tips.

    The fields are those of the order before refunds (not `current_*`), because refunds are events of their own.
    """
    is_taxed = document.get("taxes_included") is True
    tax = shop_amount(document, "total_tax") or Decimal(0)
    delivery = shipping(document, taxes_included=is_taxed)
    subtotal = shop_amount(document, "subtotal_price")
    revenue = subtotal - (tax - delivery.tax) if subtotal is not None and is_taxed else subtotal
    codes = [text(code.get("code")) for code in objects(document.get("discount_codes"))]
    return given(
        order_id=key,
        order_number=text(document.get("name")),
        checkout_id=text(document.get("checkout_id")),
        currency=text(document.get("currency")),
        total=number(shop_amount(document, "total_price")),
        subtotal=number(revenue),
        revenue=number(revenue),
        tax=number(tax),
        shipping=number(delivery.net),
        discount=number(shop_amount(document, "total_discounts")),
        tip=number(amount(document.get("total_tip_received"), "total_tip_received")),
        coupon=", ".join(code for code in codes if code) or None,
        financial_status=text(document.get("financial_status")),
        fulfillment_status=text(document.get("fulfillment_status")),
        cancel_reason=text(document.get("cancel_reason")),
        is_test=True if document.get("test") is True else None,
        products=products_of(document),
    )


def channel_of(document: Document) -> str:
    """`pos` for Shopify's tills, `web` for the online shop, `shopify` for what staff and subscriptions place."""
    name = text(document.get("source_name")) or "web"
    if name in ("pos", "iphone", "android"):
        return "pos"
    return "web" if name == "web" or name.isdecimal() else "shopify"


def campaign_of(landing_site: object) -> dict[str, object]:
    """The UTM parameters of the page that the visit began on."""
    try:
        query = parse_qs(urlsplit(landing_site).query, max_num_fields=100) if isinstance(landing_site, str) else {}
    except ValueError:
        return {}
    named = {name: query.get(f"utm_{'campaign' if name == 'name' else name}", [""])[0] for name in _UTM}
    return {name: value for name, value in named.items() if value}


def _context(document: Document, channel: str) -> dict[str, object]:
    address = part_of(document, "billing_address") or part_of(part_of(document, "customer"), "default_address")
    return given(
        channel=channel,
        campaign=campaign_of(document.get("landing_site")),
        location=given(
            country=text(address.get("country_code")),
            region=text(address.get("province_code")),
            city=text(address.get("city")),
        ),
        locale=text(document.get("customer_locale")),
    )
