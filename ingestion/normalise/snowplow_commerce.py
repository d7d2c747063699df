"""Snowplow's e-commerce actions and their entities as Segment's e-commerce events."""

from collections.abc import Mapping, Sequence
from typing import Any

from ingestion.normalise.lines import text_of
from ingestion.normalise.snowplow_entities import Entity, all_of, first_of

_EVENTS = {
    "product_view": "Product Viewed",
    "add_to_cart": "Product Added",
    "remove_from_cart": "Product Removed",
    "list_view": "Product List Viewed",
    "list_click": "Product Clicked",
    "promo_view": "Promotion Viewed",
    "promo_click": "Promotion Clicked",
    "checkout_step": "Checkout Step Completed",
    "transaction": "Order Completed",
    "refund": "Order Refunded",
    "site_search": "Products Searched",
}
_OF_ONE_PRODUCT = frozenset({"product_view", "add_to_cart", "remove_from_cart", "list_click"})
_PRODUCT = {"id": "product_id", "inventory_status": "availability"}
_ORDER = {
    "transaction_id": "order_id",
    "revenue": "total",
    "tax": "tax",
    "shipping": "shipping",
    "discount_amount": "discount",
    "discount_code": "coupon",
    "currency": "currency",
    "payment_method": "payment_method",
}
_REFUND = {"transaction_id": "order_id", "refund_amount": "total", "currency": "currency", "refund_reason": "reason"}
_CART = {"cart_id": "cart_id", "total_value": "value", "currency": "currency"}


def commerce_event(
    action: Mapping[str, Any], entities: Sequence[Entity], event_id: str | None
) -> tuple[str | None, dict[str, Any]]:
    """The event's name and properties; an action that Segment has no name for keeps its own."""
    kind = text_of(action.get("type"))
    products = [_renamed(product, _PRODUCT, keep=True) for product in all_of(entities, "product")]
    properties = {name: value for name, value in action.items() if name != "type"}
    for entity, names in (("cart", _CART), ("transaction", _ORDER)):
        properties |= _renamed(first_of(entities, entity) or {}, names)
    if kind == "refund":
        properties |= _renamed(first_of(entities, "refund") or {}, _REFUND)
        properties |= {"refund_id": event_id} if event_id else {}
    if kind == "checkout_step":
        properties |= first_of(entities, "checkout_step") or {}
    if kind in ("promo_view", "promo_click"):
        properties |= _renamed(first_of(entities, "promotion") or {}, {"id": "promotion_id"}, keep=True)
    if kind in _OF_ONE_PRODUCT and products:
        properties |= products[0]
    if products and (kind not in _OF_ONE_PRODUCT or len(products) > 1):
        properties["products"] = products
    name = _EVENTS.get(kind or "", kind)
    # the first step is where a checkout begins; shops number it from 1 (or 0)
    is_first_step = kind == "checkout_step" and text_of(properties.get("step")) in ("0", "1")
    return "Checkout Started" if is_first_step else name, properties


def _renamed(data: Mapping[str, Any], names: Mapping[str, str], *, keep: bool = False) -> dict[str, Any]:
    """What is there under its new name; with `keep` also what has none, under its own."""
    return {
        names.get(name, name): value for name, value in data.items() if value is not None and (keep or name in names)
    }
