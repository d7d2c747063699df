"""WooCommerce's orders: every version of an order is one event, dated by `date_modified_gmt`; the newest stands (see shopify_orders).

`total` holds tax and delivery, `discount_total` and the lines do not hold tax, whatever the shop's prices are shown with. A refund
is told by its total alone: its share of goods is taken to be that of the order, which is exact where all of the order comes back.
"""

from datetime import datetime
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
    optional_instant,
    part_of,
    required_key,
    text,
    total_of,
    utc_text,
)
from ingestion.normalise.lines import EventLine, Line
from ingestion.normalise.people import person
from ingestion.normalise.shopify_orders import JUST_PLACED, placed_line
from ingestion.normalise.source_settings import SourceSettings

_NOT_YET = frozenset({"auto-draft", "checkout-draft", "draft", "pending"})
_GONE = frozenset({"cancelled", "failed", "trash"})
_CENT = Decimal("0.01")
_UTM = {"source": "utm_source", "medium": "utm_medium", "name": "utm_campaign"}


def order_lines(document: Document, settings: SourceSettings) -> list[Line]:
    """The order as it stands, its refunds so far, and the day it was placed where this version is younger.

    An order that waits for its payment is a checkout as yet: WooCommerce's own reports leave it out too.
    """
    key = required_key(document, "id", "The order")
    placed_at = instant_of(document.get("date_created_gmt"), "date_created_gmt of the order")
    modified_at = instant_of(document.get("date_modified_gmt"), "date_modified_gmt of the order")
    status = text(document.get("status")) or ""
    currency = text(document.get("currency"))
    billing = part_of(document, "billing")
    who = person(settings, document.get("customer_id"), emails=(billing.get("email"),), phones=(billing.get("phone"),))
    money = _Money(document)
    name = _event_of(status, placed_at, modified_at, optional_instant(document.get("date_paid_gmt")))
    event = EventLine(
        type="track",
        event=name,
        message_id=content_id("order", key, document),
        user_id=who.user_id,
        identifiers=who.identifiers,
        properties=_properties(document, key, money),
        traits=given(
            email=text(billing.get("email")),
            phone=text(billing.get("phone")),
            first_name=text(billing.get("first_name")),
            last_name=text(billing.get("last_name")),
            country=text(billing.get("country")),
            city=text(billing.get("city")),
        ),
        context=given(
            channel="woocommerce" if name == "Order Cancelled" else "web",
            campaign=_campaign(document),
            location=given(
                country=text(billing.get("country")), region=text(billing.get("state")), city=text(billing.get("city"))
            ),
        ),
        occurred_at=utc_text(modified_at),
    )
    if status in _NOT_YET:
        # an order_id would not make it an order, but a reader should not have to know that
        event.properties["checkout_id"] = event.properties.pop("order_id")
        return [event]
    lines: list[Line] = [event]
    if modified_at - placed_at > JUST_PLACED:
        lines.insert(0, placed_line(key, currency, utc_text(placed_at)))
    return lines + [_refund(refund, key, currency, money) for refund in objects(document.get("refunds"))]


def deleted_order_lines(document: Document, _settings: SourceSettings) -> list[Line]:
    """An order that was put into the bin: cancelled, when Weft hears of it (the body is its id alone)."""
    key = required_key(document, "id", "The order")
    return [
        EventLine(
            type="track",
            event="Order Cancelled",
            message_id=content_id("order", key, document),
            properties={"order_id": key, "cancel_reason": "deleted"},
            context={"channel": "woocommerce"},
        )
    ]


class _Money:
    """The sums of an order."""

    def __init__(self, document: Document) -> None:
        self.total = amount(document.get("total"), "total")
        self.tax = amount(document.get("total_tax"), "total_tax") or Decimal(0)
        self.shipping = amount(document.get("shipping_total"), "shipping_total") or Decimal(0)
        self.revenue = None if self.total is None else self.total - self.tax - self.shipping

    def goods_in(self, paid_back: Decimal) -> Decimal:
        """How much of a refund is for goods, without tax and delivery."""
        if not self.total or self.revenue is None or self.revenue <= 0:
            return paid_back
        return min(paid_back * self.revenue / self.total, self.revenue).quantize(_CENT)


def _event_of(status: str, placed_at: datetime, modified_at: datetime, paid_at: datetime | None) -> str:
    if status in _NOT_YET:
        return "Checkout Started" if modified_at - placed_at <= JUST_PLACED else "Checkout Step Completed"
    if status in _GONE:
        return "Order Cancelled"
    is_new = modified_at - placed_at <= JUST_PLACED
    is_just_paid = paid_at is not None and modified_at - paid_at <= JUST_PLACED
    return "Order Completed" if is_new or is_just_paid else "Order Updated"


def _properties(document: Document, key: str, money: _Money) -> dict[str, object]:
    codes = [text(coupon.get("code")) for coupon in objects(document.get("coupon_lines"))]
    return given(
        order_id=key,
        order_number=text(document.get("number")),
        currency=text(document.get("currency")),
        total=number(money.total),
        subtotal=number(money.revenue),
        revenue=number(money.revenue),
        tax=number(money.tax),
        shipping=number(money.shipping),
        discount=number(amount(document.get("discount_total"), "discount_total")),
        fees=number(total_of(amount(fee.get("total"), "total") for fee in objects(document.get("fee_lines")))),
        coupon=", ".join(code for code in codes if code) or None,
        status=text(document.get("status")),
        payment_method=text(document.get("payment_method")),
        products=[_product(line) for line in objects(document.get("line_items"))],
    )


def _product(line: Document) -> dict[str, object]:
    """A line without tax. `subtotal` is before discount, `total` after; the price of one is worked out where it is not a whole cent."""
    quantity = amount(line.get("quantity"), "quantity")
    before = amount(line.get("subtotal"), "subtotal")
    after = amount(line.get("total"), "total")
    price = before / quantity if before is not None and quantity else amount(line.get("price"), "price")
    discount = max(before - after, Decimal(0)) if before is not None and after is not None else None
    return given(
        product_id=text(line.get("product_id")),
        variant_id=text(line.get("variation_id")) if line.get("variation_id") else None,
        sku=text(line.get("sku")),
        name=text(line.get("name")),
        price=number(price),
        quantity=number(quantity),
        discount=number(discount),
    )


def _refund(refund: Document, order_id: str, currency: str | None, money: _Money) -> EventLine:
    """`Order Refunded`, dated by when Weft first heard of it: WooCommerce names no day."""
    key = required_key(refund, "id", "The refund")
    paid_back = abs(amount(refund.get("total"), "total of the refund") or Decimal(0))
    revenue = money.goods_in(paid_back)
    return EventLine(
        type="track",
        event="Order Refunded",
        message_id=content_id("refund", key, refund, currency, revenue),
        properties=given(
            order_id=order_id, refund_id=key, currency=currency, total=number(paid_back), revenue=number(revenue)
        ),
        context={"channel": "woocommerce"},
        payload=excerpt(refund),
    )


def _campaign(document: Document) -> dict[str, object]:
    """WooCommerce's own order attribution, where it is on."""
    meta = {text(each.get("key")): text(each.get("value")) for each in objects(document.get("meta_data"))}
    return given(**{name: meta.get(f"_wc_order_attribution_{utm}") for name, utm in _UTM.items()})
