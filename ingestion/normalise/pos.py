"""Receipts of tills: JSON over HTTP whose fields a mapping names (WEFT_HOME/sources/<source>.yml, see source_settings)."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec

from ingestion.envelope import RejectReason
from ingestion.event_log import Normalized, Received
from ingestion.lone_surrogates import without_lone_surrogates
from ingestion.normalise.documents import (
    amount,
    at,
    content_id,
    given,
    identifiers,
    instant_of,
    number,
    optional_instant,
    read_json,
    read_object,
    text,
    total_of,
    utc_text,
    verbatim,
)
from ingestion.normalise.lines import EventLine, Outcome, PartRefusedError
from ingestion.normalise.parts import decoded_body, whole_body
from ingestion.normalise.shopify_orders import placed_line
from ingestion.normalise.source_settings import SOURCE_FILES, ItemFields, PosMapping

_CORRECTED = timedelta(seconds=60)
_MOST_RECEIPTS = 2_500


class Line(NamedTuple):
    """A line of a receipt; what comes back has a quantity below zero."""

    product: dict[str, Any]
    price: Decimal
    quantity: Decimal
    discount: Decimal

    @property
    def gross(self) -> Decimal:
        """What the line comes to, without a sign."""
        return abs(self.quantity) * self.price - self.discount


def split(received: Received) -> Sequence[bytes]:
    """The receipts of a request as they were sent; the whole body where they cannot be told apart."""
    try:
        return receipts_in(decoded_body(received), SOURCE_FILES.of(received.source).pos.receipts)
    except PartRefusedError:
        return whole_body(received)


def receipts_in(body: bytes, path: str | None) -> list[bytes]:
    """The members of a list at the top, or of the one at `path`; else the body is one receipt."""
    body = without_lone_surrogates(body)
    found = _found_list(body, path)
    if found is None:
        return [body]
    if len(found) > _MOST_RECEIPTS:
        raise PartRefusedError(RejectReason.BATCH_TOO_LARGE, "A request has at most 2,500 receipts.")
    return [bytes(memoryview(receipt)) for receipt in found]


def _found_list(body: bytes, path: str | None) -> list[msgspec.Raw] | None:
    value = msgspec.Raw(body)
    try:
        if body.lstrip()[:1] != b"[":
            for step in (path or "").split("."):
                value = msgspec.json.decode(value, type=dict[str, msgspec.Raw])[step]
        return msgspec.json.decode(value, type=list[msgspec.Raw])
    except (KeyError, msgspec.ValidationError):
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PartRefusedError(RejectReason.BROKEN_JSON, "The body is not valid JSON.") from None


def check(body: bytes) -> None:
    """A cheap look before the log takes it. Raises PartRefusedError where the body is neither a JSON object nor a list."""
    if not isinstance(read_json(body), dict | list):
        raise PartRefusedError(RejectReason.NOT_AN_OBJECT)


def normalise(received: Received, entry: str) -> Normalized:
    """The events of each receipt; one that cannot be read is put aside, the others live."""
    outcome = Outcome(received, entry)
    try:
        mapping = SOURCE_FILES.of(received.source).pos
        receipts = receipts_in(decoded_body(received), mapping.receipts)
    except PartRefusedError as error:
        outcome.refuse(0, error)
        return outcome.result()

    def add(part: int, receipt: bytes) -> None:
        for line in _receipt_lines(receipt, mapping):
            outcome.add(part, line)

    return outcome.add_each(receipts, add).result()


def _receipt_lines(raw: bytes, mapping: PosMapping) -> list[EventLine]:
    receipt = read_object(raw)
    fields = mapping.fields
    key = _key(receipt, fields.receipt_id)
    if key is None:
        raise PartRefusedError(RejectReason.MISSING_KEY, "The receipt has no id where the mapping looks for it.")
    sold_at = instant_of(at(receipt, fields.sold_at), "The time of the receipt")
    corrected_at = optional_instant(at(receipt, fields.corrected_at)) or sold_at
    is_corrected = corrected_at - sold_at > _CORRECTED
    occurred_at = utc_text(corrected_at if is_corrected else sold_at)
    original = _key(receipt, fields.original_receipt_id)
    currency = text(at(receipt, fields.currency)) or mapping.currency
    kind = (text(at(receipt, fields.kind)) or "").lower()
    who = {
        "user_id": text(at(receipt, fields.user_id)),
        "identifiers": identifiers(
            ("loyalty_id", at(receipt, fields.loyalty_id)),
            ("phone", at(receipt, fields.phone)),
            ("email", at(receipt, fields.email)),
        ),
        "context": given(
            channel="pos",
            location=given(country=text(at(receipt, fields.country)), city=text(at(receipt, fields.city))),
        ),
        "payload": verbatim(raw),
        "occurred_at": occurred_at,
    }
    about = given(
        currency=currency,
        store_id=text(at(receipt, fields.store_id)),
        till_id=text(at(receipt, fields.till_id)),
        payment_method=text(at(receipt, fields.payment_method)),
        card_last4=_last4(at(receipt, fields.card_last4)),
    )
    if kind in {value.lower() for value in mapping.voids}:
        cancelled = about | {"order_id": original or key}
        return [_line("Order Cancelled", content_id("receipt", key, receipt), cancelled, who)]
    sold, returned = _sides(receipt, mapping, is_return=kind in {value.lower() for value in mapping.returns})
    made: list[EventLine] = []
    if sold is not None:
        if is_corrected:
            made.append(placed_line(key, currency, utc_text(sold_at)))
        event = "Order Updated" if is_corrected else "Order Completed"
        made.append(_line(event, content_id("receipt", key, receipt), about | {"order_id": key} | sold, who))
    if returned is not None:
        refund = about | {"order_id": original or key, "refund_id": key} | returned
        made.append(_line("Order Refunded", content_id("return", key, receipt), refund, who))
    return made


def _line(event: str, message_id: str, properties: dict[str, Any], who: dict[str, Any]) -> EventLine:
    return EventLine(type="track", event=event, message_id=message_id, properties=properties, **who)


def _sides(
    receipt: dict[str, Any], mapping: PosMapping, *, is_return: bool
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """What was sold and what came back, as properties; an exchange has both. Tills write what comes back with a minus, or not."""
    fields = mapping.fields
    items = at(receipt, mapping.items)
    lines = [_item(item, mapping.item_fields) for item in items] if isinstance(items, list) else []
    total = amount(at(receipt, fields.total), "The total")
    tax = amount(at(receipt, fields.tax), "The tax")
    discount = amount(at(receipt, fields.discount), "The discount")
    if total is None and lines:
        total = total_of(line.gross if line.quantity > 0 else -line.gross for line in lines) - (discount or 0)
    came_back = [line for line in lines if line.quantity < 0]
    kept = [line for line in lines if line.quantity >= 0]
    if is_return or (came_back and not kept) or (not lines and total is not None and total < 0):
        return None, _whole(lines, total, tax, None)
    if not came_back:
        return _whole(lines, total, tax, discount), None
    share = (total - tax) / total if total and tax is not None else Decimal(1)
    return _portion(kept, share), _portion(came_back, share)


def _whole(lines: list[Line], total: Decimal | None, tax: Decimal | None, discount: Decimal | None) -> dict[str, Any]:
    total, tax = (None if value is None else abs(value) for value in (total, tax))
    revenue = total - tax if total is not None and tax is not None else None
    return given(
        total=number(total),
        tax=number(tax),
        revenue=number(revenue),
        discount=number(None if discount is None else abs(discount)),
        products=[line.product for line in lines],
    )


def _portion(lines: list[Line], share: Decimal) -> dict[str, Any]:
    """One side of an exchange, by its lines: the receipt's total is what the two sides differ by."""
    gross = total_of(line.gross for line in lines)
    return given(total=number(gross), revenue=number(gross * share), products=[line.product for line in lines])


def _item(item: object, fields: ItemFields) -> Line:
    quantity = amount(at(item, fields.quantity), "A quantity")
    quantity = Decimal(1) if quantity is None else quantity
    price = abs(amount(at(item, fields.price), "A price") or Decimal(0))
    discount = abs(amount(at(item, fields.discount), "A discount") or Decimal(0))
    product = given(
        product_id=text(at(item, fields.product_id)),
        sku=text(at(item, fields.sku)),
        name=text(at(item, fields.name)),
        category=text(at(item, fields.category)),
        price=number(price),
        quantity=number(abs(quantity)),
        discount=number(discount),
    )
    return Line(product, price, quantity, discount)


def _key(receipt: dict[str, Any], paths: str | tuple[str, ...] | None) -> str | None:
    """A receipt's id; where stores number their own, of several fields."""
    if paths is None or isinstance(paths, str):
        return text(at(receipt, paths))
    parts = [text(at(receipt, path)) for path in paths]
    return "-".join(part or "" for part in parts) if all(parts) else None


def _last4(value: object) -> str | None:
    """Four digits to show on a profile, never more of the card: no identifier."""
    digits = "".join(each for each in text(value) or "" if each.isdecimal())
    return digits[-4:] or None
