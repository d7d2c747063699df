"""Amounts in Shopify's documents: always those of the shop's own currency, never those the customer was shown."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from ingestion.normalise.documents import Document, amount, given, number, objects, part_of, text, total_of


def shop_amount(document: Mapping[str, Any], name: str) -> Decimal | None:
    """An amount in the shop's currency: `<name>_set.shop_money` where there is one, else the plain field, which means the same."""
    money = part_of(part_of(document, f"{name}_set"), "shop_money").get("amount")
    return amount(document.get(name) if money is None else money, name)


def shop_currency(document: Mapping[str, Any], *names: str) -> str | None:
    """The currency of `<name>_set.shop_money`, the first that names one."""
    codes = (part_of(part_of(document, f"{name}_set"), "shop_money").get("currency_code") for name in names)
    return next((code for each in codes if (code := text(each))), None)


def taxes(document: Document) -> Decimal:
    """The taxes of a line added up."""
    return total_of(shop_amount(line, "price") for line in objects(document.get("tax_lines")))


class Shipping(NamedTuple):
    """What delivery costs after discount, without its tax, and that tax."""

    net: Decimal
    tax: Decimal


def shipping(document: Document, *, taxes_included: bool) -> Shipping:
    """Delivery of an order or a checkout, from its shipping lines."""
    if "shipping_lines" not in document:
        return Shipping(shop_amount(document, "total_shipping_price") or Decimal(0), Decimal(0))
    lines = [line for line in objects(document["shipping_lines"]) if line.get("is_removed") is not True]
    paid = total_of(_first(shop_amount(line, "discounted_price"), shop_amount(line, "price")) for line in lines)
    tax = total_of(taxes(line) for line in lines)
    return Shipping(paid - tax if taxes_included else paid, tax)


def product_of(line: Document) -> dict[str, object]:
    """A line of an order, checkout or cart as one of the envelope's products; its price is that of one, as the shop shows it."""
    allocated = objects(line.get("discount_allocations"))
    discount = total_of(shop_amount(each, "amount") for each in allocated) if allocated else None
    return given(
        product_id=text(line.get("product_id")),
        variant_id=text(line.get("variant_id")),
        sku=text(line.get("sku")),
        name=text(line.get("title")) or text(line.get("name")),
        variant=text(line.get("variant_title")),
        brand=text(line.get("vendor")),
        price=number(_first(shop_amount(line, "price"), amount(line.get("original_price"), "original_price"))),
        quantity=number(amount(line.get("quantity"), "quantity")),
        discount=number(_first(discount, shop_amount(line, "total_discount"))),
    )


def products_of(document: Document, name: str = "line_items") -> list[dict[str, object]]:
    """The products of a document's lines."""
    return [product_of(line) for line in objects(document.get(name))]


def _first(*amounts: Decimal | None) -> Decimal | None:
    return next((each for each in amounts if each is not None), None)
