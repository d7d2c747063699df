"""JSON documents of shops and tills: read without losing a digit, and taken apart field by field.

Amounts are decimals from the text to the line: no float stands in between. An id of an event is made of what the document says
(`content_id`), never of a header: the same content is the same event, whatever delivery brings it.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from ingestion.envelope import RejectReason
from ingestion.event_log import Normalized, Received
from ingestion.lone_surrogates import without_lone_surrogates
from ingestion.normalise.lines import EventLine, Identifier, Line, Outcome, PartRefusedError, text_of
from ingestion.normalise.parts import decoded_body, readable_body

Document = dict[str, Any]

AMOUNT_LIMIT = Decimal("1e12")  # landing's
_CENTS_OF_CENTS = Decimal("0.0001")  # what DECIMAL(18,4) holds
_DECODER = msgspec.json.Decoder(float_hook=Decimal)
_CANONICAL = msgspec.json.Encoder(order="deterministic")
_ENCODER = msgspec.json.Encoder(decimal_format="number")
_NUMBER = re.compile(r"-?[0-9]{1,40}(\.[0-9]{1,40})?")
_LINE_BREAKS = bytes.maketrans(b"\r\n", b"  ")


def normalised_delivery(received: Received, entry: str, lines_of: Callable[[Document], Iterable[Line]]) -> Normalized:
    """All lines of a delivery or none, where one of them is refused: half of it would be an order without its refund."""
    outcome = Outcome(received, entry)
    try:
        for line in lines_of(document_of(received)):
            if isinstance(line, EventLine) and line.payload is None:
                line.payload = verbatim(readable_body(received))
            outcome.add(0, line)
    except PartRefusedError as error:
        outcome = Outcome(received, entry)
        outcome.refuse(0, error)
    return outcome.result()


def document_of(received: Received) -> Document:
    """The object that a request holds. Raises PartRefusedError."""
    return read_object(decoded_body(received))


def read_object(body: bytes) -> Document:
    """The object in a JSON text. Raises PartRefusedError: broken_json, or not_an_object."""
    document = read_json(body)
    if not isinstance(document, dict):
        raise PartRefusedError(RejectReason.NOT_AN_OBJECT)
    return document


def read_json(body: bytes) -> Any:
    """A JSON text with its decimals as decimals. Raises PartRefusedError (broken_json)."""
    try:
        return _DECODER.decode(without_lone_surrogates(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        raise PartRefusedError(RejectReason.BROKEN_JSON, "The body is not valid JSON.") from None


def verbatim(body: bytes) -> msgspec.Raw:
    """A JSON text as it stands, on one line: line breaks in JSON are never inside of a text."""
    return msgspec.Raw(without_lone_surrogates(body).translate(_LINE_BREAKS))


def excerpt(part: Document) -> msgspec.Raw:
    """A part of a document as JSON, its decimals as numbers again."""
    return msgspec.Raw(_ENCODER.encode(part))


def content_id(kind: str, key: object, *content: object) -> str:
    """An id of what is told: the kind of thing, its key at the source, and a hash of the content."""
    try:
        digest = hashlib.sha256(_CANONICAL.encode(content)).hexdigest()[:32]
    except RecursionError:
        raise PartRefusedError(RejectReason.TOO_DEEP) from None
    name = f"{kind}:{key}"
    if len(name) > 60:
        name = f"{kind}:{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:32]}"
    return f"{name}:{digest}"


def objects(value: object) -> list[Document]:
    """The objects of a list; nothing where it is none."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def part_of(document: Mapping[str, Any], name: str) -> Document:
    """An object inside of an object, empty where there is none."""
    value = document.get(name)
    return value if isinstance(value, dict) else {}


def at(document: object, path: str | None) -> Any:
    """What stands at a path of names and positions (`payments.0.card`); None where nothing does."""
    if path is None:
        return None
    for step in path.split("."):
        if isinstance(document, dict):
            document = document.get(step)
        elif isinstance(document, list) and step.isdecimal() and len(step) < 6 and int(step) < len(document):
            document = document[int(step)]
        else:
            return None
    return document


def text(value: object) -> str | None:
    """A scalar as text, None where it is blank, a list or an object: what a person typed may be anything."""
    if isinstance(value, Decimal):
        return format(value, "f") if abs(value.adjusted()) < 40 else None
    return None if isinstance(value, list | dict) else text_of(value)


def required_key(document: Mapping[str, Any], name: str, what: str) -> str:
    """A document's key as text. Raises PartRefusedError (missing_key)."""
    key = text(document.get(name))
    if key is None:
        raise PartRefusedError(RejectReason.MISSING_KEY, f"{what} has no {name}.")
    return key


def amount(value: object, what: str) -> Decimal | None:
    """An amount of money or a number of things, None where there is none. Raises PartRefusedError (bad_number), never with the value."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        number = Decimal(value.strip()) if isinstance(value, str) else _as_decimal(value)
    except InvalidOperation:
        number = None
    if number is None or not number.is_finite() or abs(number) >= AMOUNT_LIMIT:
        raise PartRefusedError(RejectReason.BAD_NUMBER, f"{what} is not a number of a usable size.")
    return number


def _as_decimal(value: object) -> Decimal | None:
    if isinstance(value, Decimal):
        return value
    return Decimal(value) if isinstance(value, int) and not isinstance(value, bool) else None


def total_of(amounts: Iterable[Decimal | None]) -> Decimal:
    """The sum of the amounts there are."""
    return sum((each for each in amounts if each is not None), Decimal(0))


def number(value: Decimal | None) -> msgspec.Raw | None:
    """A decimal as a JSON number, digit for digit; what is finer than a hundredth of a cent is rounded to it."""
    if value is None:
        return None
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -4:
        value = value.quantize(_CENTS_OF_CENTS)
    shown = format(value, "f")
    return msgspec.Raw((shown.removeprefix("-") if not value else shown).encode())


def instant_of(value: object, what: str) -> datetime:
    """A time with its offset, UTC where it names none. Raises PartRefusedError (bad_timestamp)."""
    try:
        moment = datetime.fromisoformat(value.strip()) if isinstance(value, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise PartRefusedError(RejectReason.BAD_TIMESTAMP, f"{what} is missing or cannot be read as a time.")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def optional_instant(value: object) -> datetime | None:
    """A time, or None where there is none that can be read: for times that nothing hangs on."""
    try:
        return instant_of(value, "")
    except PartRefusedError:
        return None


def utc_text(moment: datetime) -> str:
    """A time as ISO 8601 text in UTC. Raises PartRefusedError (bad_timestamp) at the ends of the calendar."""
    try:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise PartRefusedError(RejectReason.BAD_TIMESTAMP) from None


def identifiers(*pairs: tuple[str, object]) -> list[Identifier]:
    """Identifiers from pairs of type and value, blank and repeated ones left out."""
    given = {(kind, value): None for kind, raw in pairs if (value := text(raw)) is not None}
    return [Identifier(type=kind, value=value) for kind, value in given]


def given(**fields: object) -> dict[str, Any]:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value is not None and value not in ({}, [])}
