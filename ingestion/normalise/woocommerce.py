"""WooCommerce's webhooks: which kind of thing a body is, and what becomes of it.

As with Shopify the body is signed and the headers are not: the body says what it is and the topic has to agree. Only `{"id": n}`,
what is left of a deleted thing, does not say of what: there the topic decides, and a number of WordPress is an order's or a
product's, never both.
"""

from collections.abc import Callable

from ingestion.envelope import RejectReason
from ingestion.event_log import Normalized, Received
from ingestion.normalise.documents import (
    Document,
    amount,
    content_id,
    given,
    instant_of,
    normalised_delivery,
    objects,
    part_of,
    required_key,
    text,
    utc_text,
)
from ingestion.normalise.lines import EventLine, Line, PartRefusedError, ProductLine
from ingestion.normalise.people import person
from ingestion.normalise.source_settings import SOURCE_FILES, SourceSettings
from ingestion.normalise.woocommerce_orders import deleted_order_lines, order_lines

TOPICS = {
    **{f"order.{verb}": "order" for verb in ("created", "updated", "restored")},
    **{f"customer.{verb}": "customer" for verb in ("created", "updated")},
    **{f"product.{verb}": "product" for verb in ("created", "updated", "restored")},
    "order.deleted": "deleted",
    "product.deleted": "deleted",
}
"""The family of bodies that each topic brings."""


def family_of(document: Document) -> str | None:
    """What a body is, by the fields that it has; None where Weft does not know such a body."""
    names = document.keys()
    if names == {"id"}:
        return "deleted"
    if {"id", "status", "line_items", "total"} <= names:
        return "order"
    if {"id", "name", "permalink", "stock_status"} <= names:
        return "product"
    return "customer" if {"id", "username", "email", "billing"} <= names else None


def fits_topic(topic: str, document: Document) -> bool:
    """True where the body is what the topic brings."""
    return family_of(document) == TOPICS.get(topic, "")


def normalise(received: Received, entry: str) -> Normalized:
    """The lines of one delivery."""

    def lines_of(document: Document) -> list[Line]:
        reader = _reader(document, received.facts.get("topic", ""))
        return reader(document, SOURCE_FILES.of(received.source))

    return normalised_delivery(received, entry, lines_of)


def _reader(document: Document, topic: str) -> Callable[[Document, SourceSettings], list[Line]]:
    match family_of(document):
        case "order":
            return order_lines
        case "customer":
            return _customer_lines
        case "product":
            return _product_lines
        case "deleted" if topic == "order.deleted":
            return deleted_order_lines
        case "deleted" if topic == "product.deleted":
            return _deleted_product_lines
    raise PartRefusedError(
        RejectReason.NO_KNOWN_FIELD, "The body is none of the things that Weft reads from WooCommerce."
    )


def _customer_lines(document: Document, settings: SourceSettings) -> list[Line]:
    """An identify. WooCommerce itself knows no consent."""
    key = required_key(document, "id", "The customer")
    billing = part_of(document, "billing")
    who = person(settings, key, emails=(document.get("email"), billing.get("email")), phones=(billing.get("phone"),))
    modified = document.get("date_modified_gmt") or document.get("date_created_gmt")
    return [
        EventLine(
            type="identify",
            message_id=content_id("customer", key, document),
            user_id=who.user_id,
            identifiers=who.identifiers,
            traits=given(
                email=text(document.get("email")),
                phone=text(billing.get("phone")),
                first_name=text(document.get("first_name")) or text(billing.get("first_name")),
                last_name=text(document.get("last_name")) or text(billing.get("last_name")),
                username=text(document.get("username")),
                created_at=_gmt(document.get("date_created_gmt"), "date_created_gmt"),
                country=text(billing.get("country")),
                city=text(billing.get("city")),
                company=text(billing.get("company")),
                role=text(document.get("role")),
            ),
            context={"channel": "woocommerce"},
            occurred_at=_gmt(modified, "date_modified_gmt"),
        )
    ]


def _product_lines(document: Document, settings: SourceSettings) -> list[Line]:
    """One product. Its category is the first that is listed, with no parents: the webhook does not name them."""
    price = amount(document.get("price"), "price")
    category = next((text(each.get("name")) for each in objects(document.get("categories"))), None)
    return [
        ProductLine(
            id=required_key(document, "id", "The product"),
            name=text(document.get("name")),
            category_path=category,
            price=None if price is None else format(price, "f"),
            currency=settings.currency,
            stock=_stock(document),
            updated_at=_gmt(document.get("date_modified_gmt"), "date_modified_gmt of the product"),
        )
    ]


def _deleted_product_lines(document: Document, _settings: SourceSettings) -> list[Line]:
    return [ProductLine(id=required_key(document, "id", "The product"), stock="0")]


def _stock(document: Document) -> str | None:
    if text(document.get("status")) in ("draft", "private", "trash") or document.get("stock_status") == "outofstock":
        return "0"
    units = amount(document.get("stock_quantity"), "stock_quantity")
    return None if units is None or document.get("manage_stock") is False else str(max(int(units), 0))


def _gmt(value: object, what: str) -> str | None:
    return utc_text(instant_of(value, what)) if value else None
