"""Shopify's refunds, from their own webhook and from the order that lists them: the refund's id makes one refund of both."""

from datetime import timedelta
from decimal import Decimal

from ingestion.normalise.documents import (
    Document,
    amount,
    content_id,
    excerpt,
    given,
    instant_of,
    number,
    objects,
    part_of,
    required_key,
    text,
    total_of,
    utc_text,
)
from ingestion.normalise.lines import EventLine, Line
from ingestion.normalise.shopify_money import product_of, shop_amount, shop_currency
from ingestion.normalise.source_settings import SourceSettings


def refund_lines(document: Document, _settings: SourceSettings) -> list[Line]:
    """The one event of refunds/create."""
    order_id = required_key(document, "order_id", "The refund")
    return [refund_line(document, order_id=order_id, currency=None, is_taxed=None)]


def refund_line(refund: Document, *, order_id: str, currency: str | None, is_taxed: bool | None) -> EventLine:
    """`Order Refunded`. It names nobody: what comes back is taken from who bought it.

    `is_taxed` says whether the shop's prices hold tax already; a refund alone does not say so, and None reads it from the sums.
    """
    key = required_key(refund, "id", "The refund")
    lines = objects(refund.get("refund_line_items"))
    adjustments = objects(refund.get("order_adjustments"))
    paid = [each for each in objects(refund.get("transactions")) if each.get("kind") == "refund" and _succeeded(each)]
    paid_back = total_of(_paid_amount(each) for each in paid)
    goods = total_of(shop_amount(line, "subtotal") for line in lines)
    goods_tax = total_of(shop_amount(line, "total_tax") for line in lines)
    # adjustments are below zero where more is paid back than the lines come to
    delivery = -total_of(shop_amount(each, "amount") for each in adjustments if each.get("kind") == "shipping_refund")
    others = -total_of(shop_amount(each, "amount") for each in adjustments if each.get("kind") != "shipping_refund")
    adjusted_tax = -total_of(shop_amount(each, "tax_amount") for each in adjustments)
    if is_taxed is None:
        is_taxed = paid_back == goods + delivery + others + adjusted_tax and goods_tax != 0
    revenue = goods - goods_tax + others if is_taxed else goods + others
    if not lines and not adjustments:
        revenue = paid_back
    refunded_at = instant_of(refund.get("created_at"), "created_at of the refund")
    if currency is not None:
        # the order knows its currency and whether prices hold tax: of two tellings of one refund, its own is the newer
        refunded_at += timedelta(milliseconds=1)
    currency = currency or next((code for each in [*lines, *adjustments] if (code := _currency(each))), None)
    currency = currency or next((code for each in paid if (code := text(each.get("currency")))), None)
    return EventLine(
        type="track",
        event="Order Refunded",
        message_id=content_id("refund", key, refund, currency, is_taxed),
        properties=given(
            order_id=order_id,
            refund_id=key,
            currency=currency,
            total=number(paid_back),
            revenue=number(max(revenue, Decimal(0))),
            tax=number(max(goods_tax + adjusted_tax, Decimal(0))),
            shipping=number(max(delivery, Decimal(0))),
            products=[_product(line) for line in lines],
        ),
        context={"channel": "shopify"},
        payload=excerpt(refund),
        occurred_at=utc_text(refunded_at),
    )


def _product(line: Document) -> dict[str, object]:
    quantity = number(amount(line.get("quantity"), "quantity"))
    return product_of(part_of(line, "line_item")) | given(quantity=quantity)


def _currency(document: Document) -> str | None:
    return shop_currency(document, "subtotal", "amount")


def _succeeded(transaction: Document) -> bool:
    return transaction.get("status") in (None, "success")


def _paid_amount(transaction: Document) -> Decimal | None:
    return shop_amount(transaction, "amount")
