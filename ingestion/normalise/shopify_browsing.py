"""Shopify's carts and checkouts. A cart names nobody; its token is the cookie id that its checkout and its order name again."""

from datetime import datetime, timedelta

from ingestion.normalise.documents import (
    Document,
    content_id,
    given,
    instant_of,
    number,
    part_of,
    required_key,
    text,
    utc_text,
)
from ingestion.normalise.lines import EventLine, Line
from ingestion.normalise.people import person
from ingestion.normalise.shopify_money import products_of, shipping, shop_amount
from ingestion.normalise.source_settings import SourceSettings

_JUST_BEGUN = timedelta(seconds=5)


def cart_lines(document: Document, settings: SourceSettings) -> list[Line]:
    """`Product Added` for each line of a new cart; later `Cart Viewed` with all lines, since a cart does not say what was added."""
    token = required_key(document, "token", "The cart")
    created_at, updated_at = _times(document, "cart")
    products = products_of(document)
    is_new = updated_at - created_at <= _JUST_BEGUN and bool(products)
    events = (
        [("Product Added", given(cart_id=token, currency=settings.currency, **product)) for product in products]
        if is_new
        else [("Cart Viewed", given(cart_id=token, currency=settings.currency, products=products))]
    )
    return [
        EventLine(
            type="track",
            event=event,
            message_id=content_id("cart", token, document, place),
            anonymous_id=token,
            properties=properties,
            context={"channel": "web"},
            occurred_at=utc_text(updated_at),
        )
        for place, (event, properties) in enumerate(events)
    ]


def checkout_lines(document: Document, settings: SourceSettings) -> list[Line]:
    """`Checkout Started`, then `Checkout Step Completed` for each change: an abandoned checkout keeps its e-mail address."""
    key = text(document.get("token")) or required_key(document, "id", "The checkout")
    created_at, updated_at = _times(document, "checkout")
    customer = part_of(document, "customer")
    who = person(
        settings,
        customer.get("id"),
        emails=(customer.get("email"), document.get("email")),
        phones=(customer.get("phone"), document.get("phone"), document.get("sms_marketing_phone")),
    )
    is_taxed = document.get("taxes_included") is True
    return [
        EventLine(
            type="track",
            event="Checkout Started" if updated_at - created_at <= _JUST_BEGUN else "Checkout Step Completed",
            message_id=content_id("checkout", key, document),
            user_id=who.user_id,
            anonymous_id=text(document.get("cart_token")),
            identifiers=who.identifiers,
            properties=given(
                checkout_id=key,
                currency=text(document.get("currency")),
                total=number(shop_amount(document, "total_price")),
                tax=number(shop_amount(document, "total_tax")),
                shipping=number(shipping(document, taxes_included=is_taxed).net),
                discount=number(shop_amount(document, "total_discounts")),
                products=products_of(document),
            ),
            context={"channel": "web"},
            occurred_at=utc_text(updated_at),
        )
    ]


def _times(document: Document, what: str) -> tuple[datetime, datetime]:
    updated_at = instant_of(document.get("updated_at"), f"updated_at of the {what}")
    created_at = document.get("created_at")
    return (instant_of(created_at, f"created_at of the {what}") if created_at else updated_at, updated_at)
