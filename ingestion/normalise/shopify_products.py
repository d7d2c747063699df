"""Shopify's products, as lines of the catalogue."""

from ingestion.normalise.documents import (
    Document,
    amount,
    instant_of,
    objects,
    part_of,
    required_key,
    text,
    utc_text,
)
from ingestion.normalise.lines import Line, ProductLine
from ingestion.normalise.source_settings import SourceSettings


def product_lines(document: Document, settings: SourceSettings) -> list[Line]:
    """One product: the lowest price of its variants, their stock added up (unknown where one is not counted, nothing where the
    product is not for sale)."""
    variants = objects(document.get("variants"))
    prices = [price for variant in variants if (price := amount(variant.get("price"), "price")) is not None]
    return [
        ProductLine(
            id=required_key(document, "id", "The product"),
            name=text(document.get("title")),
            category_path=text(part_of(document, "category").get("full_name")) or text(document.get("product_type")),
            price=format(min(prices), "f") if prices else None,
            currency=settings.currency,
            stock=_stock(document, variants),
            updated_at=utc_text(instant_of(document.get("updated_at"), "updated_at of the product")),
        )
    ]


def deleted_product_lines(document: Document, _settings: SourceSettings) -> list[Line]:
    """A deleted product: none in stock. The body is its id alone, so it is dated by its landing."""
    return [ProductLine(id=required_key(document, "id", "The product"), stock="0")]


def _stock(document: Document, variants: list[Document]) -> str | None:
    if text(document.get("status")) in ("archived", "draft"):
        return "0"
    counted = [variant for variant in variants if variant.get("inventory_management")]
    units = [amount(variant.get("inventory_quantity"), "inventory_quantity") for variant in counted]
    known = [each for each in units if each is not None]
    if not variants or len(known) < len(variants):
        return None
    return str(max(int(sum(known)), 0))
