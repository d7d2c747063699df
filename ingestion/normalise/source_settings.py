"""What an operator says of one source: WEFT_HOME/sources/<source>.yml. A source without a file has the defaults.

A file is read again when it changes. Requests that a broken file kept out are in raw.rejected_events and come back with
`weft replay` once it is mended.
"""

import re
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ingestion.envelope import RejectReason
from ingestion.normalise.lines import PartRefusedError

FieldPath = Annotated[str, Field(pattern=r"^[^.\s]+(\.[^.\s]+)*$", max_length=200)]
_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ItemFields(_Strict):
    """Where a line of a receipt says what, as paths inside the line."""

    product_id: FieldPath | None = "product_id"
    sku: FieldPath | None = "sku"
    name: FieldPath | None = "name"
    category: FieldPath | None = "category"
    price: FieldPath | None = "price"
    quantity: FieldPath | None = "quantity"
    discount: FieldPath | None = "discount"


class ReceiptFields(_Strict):
    """Where a receipt says what, as paths inside the receipt (`customer.phone`, `payments.0.card`)."""

    receipt_id: FieldPath | tuple[FieldPath, ...] = "receipt_id"
    """Several paths, where stores number their own receipts: their values are joined by a dash."""
    original_receipt_id: FieldPath | tuple[FieldPath, ...] | None = "original_receipt_id"
    sold_at: FieldPath = "sold_at"
    corrected_at: FieldPath | None = "corrected_at"
    kind: FieldPath | None = "type"
    store_id: FieldPath | None = "store_id"
    till_id: FieldPath | None = "till_id"
    country: FieldPath | None = "country"
    city: FieldPath | None = "city"
    currency: FieldPath | None = "currency"
    total: FieldPath | None = "total"
    tax: FieldPath | None = "tax"
    discount: FieldPath | None = "discount"
    payment_method: FieldPath | None = "payment_method"
    card_last4: FieldPath | None = "card_last4"
    user_id: FieldPath | None = "customer.user_id"
    loyalty_id: FieldPath | None = "customer.loyalty_id"
    phone: FieldPath | None = "customer.phone"
    email: FieldPath | None = "customer.email"


class PosMapping(_Strict):
    """How a till's JSON becomes receipts; the defaults are the form that docs/webhooks.md shows."""

    receipts: FieldPath | None = "receipts"
    """Where the list of receipts is; a body without it is one receipt, or a list of them."""
    items: FieldPath | None = "items"
    fields: ReceiptFields = ReceiptFields()
    item_fields: ItemFields = ItemFields()
    returns: tuple[str, ...] = ("return", "refund")
    """Values of `kind` that say goods came back, in any case of letters."""
    voids: tuple[str, ...] = ("void", "cancelled", "canceled")
    """Values of `kind` that take a receipt back altogether."""
    currency: str | None = None
    """For receipts that name none."""


class SourceSettings(_Strict):
    """One source's file."""

    customer_id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,49}$")] = "user_id"
    """What a shop's number of a customer is: `user_id`, or another type of identifier, where two shops count from 1."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = None
    """Currency of the prices in product webhooks, which name none."""
    message_texts: bool = False
    """Keep the text of messages in the properties as well, where analysts read it."""
    pos: PosMapping = PosMapping()


_DEFAULTS = SourceSettings()


class SourceFiles:
    """The files of one folder, read when they are first needed and again when they change."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._read: dict[str, tuple[tuple[int, int], SourceSettings]] = {}

    def of(self, source: str) -> SourceSettings:
        """The settings of a source. Raises PartRefusedError (bad_source_settings) where its file cannot be used."""
        if self.folder is None or not _FILE_NAME.fullmatch(source):
            return _DEFAULTS
        path = self.folder / f"{source}.yml"
        try:
            found = path.stat()
        except FileNotFoundError:
            return _DEFAULTS
        except OSError:
            raise _unusable(path, "it cannot be read") from None
        version = (found.st_mtime_ns, found.st_size)
        known = self._read.get(source)
        if known is None or known[0] != version:
            known = self._read[source] = (version, read_source_settings(path))
        return known[1]


def read_source_settings(path: Path) -> SourceSettings:
    """Read one file. Raises PartRefusedError with one sentence that names the file and the field."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        return SourceSettings.model_validate({} if content is None else content)
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors(include_url=False)[0]["loc"])
        raise _unusable(path, f"'{place}' is not a setting or has no usable value") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise _unusable(path, "it is not valid YAML") from None
    except OSError:
        raise _unusable(path, "it cannot be read") from None


def _unusable(path: Path, why: str) -> PartRefusedError:
    return PartRefusedError(RejectReason.BAD_SOURCE_SETTINGS, f"sources/{path.name} cannot be used: {why}.")


SOURCE_FILES = SourceFiles()
"""What the normaliser of this process goes by; it sets `folder` before it begins."""
