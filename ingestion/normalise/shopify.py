"""Shopify's webhooks: which kind of thing a body is, and what becomes of it.

Shopify signs the body and not its headers. So a body says itself what it is (`family_of`); a topic only has to agree with it
(`fits_topic`, at the edge), and what becomes of a body hangs on the body alone.
"""

from collections.abc import Callable

from ingestion.envelope import RejectReason
from ingestion.event_log import Normalized, Received
from ingestion.normalise.documents import (
    Document,
    content_id,
    normalised_delivery,
    objects,
    part_of,
)
from ingestion.normalise.lines import Line, PartRefusedError, PrivacyLine
from ingestion.normalise.shopify_browsing import cart_lines, checkout_lines
from ingestion.normalise.shopify_customers import customer_lines
from ingestion.normalise.shopify_orders import order_lines
from ingestion.normalise.shopify_products import deleted_product_lines, product_lines
from ingestion.normalise.shopify_refunds import refund_lines
from ingestion.normalise.source_settings import SOURCE_FILES, SourceSettings

TOPICS = {
    **{
        f"orders/{verb}": "order"
        for verb in ("create", "updated", "paid", "cancelled", "fulfilled", "partially_fulfilled")
    },
    "refunds/create": "refund",
    "customers/create": "customer",
    "customers/update": "customer",
    "customers/enable": "customer",
    "customers/disable": "customer",
    "carts/create": "cart",
    "carts/update": "cart",
    "checkouts/create": "checkout",
    "checkouts/update": "checkout",
    "products/create": "product",
    "products/update": "product",
    "products/delete": "deleted_product",
    "customers/redact": "customers/redact",
    "customers/data_request": "customers/data_request",
    "shop/redact": "shop/redact",
}
"""The family of bodies that each topic brings."""

_PRIVACY = {
    "customers/redact": frozenset({"shop_id", "shop_domain", "customer", "orders_to_redact"}),
    "customers/data_request": frozenset({"shop_id", "shop_domain", "customer", "orders_requested", "data_request"}),
    "shop/redact": frozenset({"shop_id", "shop_domain"}),
}
_PERSON = frozenset({"id", "email", "phone"})

_LINES: dict[str, Callable[[Document, SourceSettings], list[Line]]] = {
    "order": order_lines,
    "refund": refund_lines,
    "customer": customer_lines,
    "cart": cart_lines,
    "checkout": checkout_lines,
    "product": product_lines,
    "deleted_product": deleted_product_lines,
}


def family_of(document: Document) -> str | None:
    """What a body is, by the fields that it has; None where Weft does not know such a body."""
    names = document.keys()
    if "shop_id" in names:
        return _privacy_topic(document)
    if "line_items" in names:
        return _family_with_lines(document)
    if names == {"id"}:
        return "deleted_product"
    telling = {
        "refund": {"refund_line_items", "order_id"},
        "product": {"variants", "title"},
        "customer": {"id", "first_name", "last_name"},
    }
    return next((family for family, needed in telling.items() if needed <= names), None)


def _family_with_lines(document: Document) -> str | None:
    names = document.keys()
    if {"financial_status", "order_number"} <= names:
        return "order"
    if "abandoned_checkout_url" in names or "completed_at" in names:
        return "checkout"
    return "cart" if "token" in names and "currency" not in names else None


def fits_topic(topic: str, document: Document) -> bool:
    """True where the body is what the topic brings. A body that asks to erase or to export has exactly its fields."""
    return family_of(document) == TOPICS.get(topic, "")


def is_privacy_topic(topic: str) -> bool:
    """True for the three topics that ask to erase or to export: they are held for a person to act on."""
    return topic in _PRIVACY


def normalise(received: Received, entry: str) -> Normalized:
    """The lines of one delivery; its headers are not looked at."""
    return normalised_delivery(received, entry, lambda document: _lines(document, SOURCE_FILES.of(received.source)))


def _lines(document: Document, settings: SourceSettings) -> list[Line]:
    family = family_of(document)
    if family is None:
        raise PartRefusedError(
            RejectReason.NO_KNOWN_FIELD, "The body is none of the things that Weft reads from Shopify."
        )
    if family in _PRIVACY:
        subject = {name: value for name, value in document.items() if name in _PRIVACY[family]}
        return [PrivacyLine(topic=family, subject=subject, message_id=content_id("privacy", family, document))]
    return _LINES[family](document, settings)


def _privacy_topic(document: Document) -> str | None:
    """The topic whose fields these are, each of its own form; a field more or less is none of them."""
    topic = next((topic for topic, names in _PRIVACY.items() if document.keys() == names), None)
    if topic is None or not _is_number(document["shop_id"]) or not isinstance(document["shop_domain"], str):
        return None
    if "customer" in document:
        person = part_of(document, "customer")
        if not _is_number(person.get("id")) or not person.keys() <= _PERSON:
            return None
    for orders in ("orders_to_redact", "orders_requested"):
        if orders in document and not _is_list_of_numbers(document[orders]):
            return None
    if "data_request" in document and not _is_number(part_of(document, "data_request").get("id")):
        return None
    return topic


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_list_of_numbers(value: object) -> bool:
    return isinstance(value, list) and not objects(value) and all(_is_number(item) for item in value)
