"""The lines that a request becomes: events, products and privacy requests in the columns of `events.normalized`.

A shape makes an `EventLine` for each part of its request and gives it to the request's `Outcome`, or refuses the part by raising
`PartRefusedError`. The outcome adds what every line has (part, entry, source, time of receipt, a message id) and checks depth.
"""

import hashlib
import re
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from ingestion.envelope import RejectReason
from ingestion.event_log import Normalized, Received, Refused

MESSAGE_ID_LENGTH = 100  # Segment's limit, in characters
MAX_DEPTH = 64  # of a line, itself included; landing has the same limit, and DuckDB reads no line deeper than 128
LINE_BYTES = 1 << 20  # landing's limit of a row
REQUEST_BYTES = 8 << 20  # of all lines of a request: a batch's shared context is repeated in each of its events
MINTED = {"id_origin": "minted"}

_LATEST = 253_402_300_800_000  # the year 10000, in milliseconds
_SECONDS_BELOW = 100_000_000_000  # in milliseconds that is 1973, in seconds the year 5138
_ENCODER = msgspec.json.Encoder()
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"')
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")


class PartRefusedError(Exception):
    """This part of a request is no event; `detail` is one sentence that holds nothing of the input."""

    def __init__(self, reason: RejectReason, detail: str = "") -> None:
        super().__init__(detail or reason.sentence)
        self.reason = reason
        self.detail = detail or reason.sentence


class Identifier(msgspec.Struct, frozen=True):
    """An identifier as given; types are those of identity/rules.yml (email, phone, loyalty_id, device_id) or the sender's own."""

    type: str
    value: str


class EventLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One event, one line. A shape sets what it knows; part, entry, source and received_at are set by `Outcome.event`.

    Times are ISO 8601 texts as given. `occurred_at` stays empty unless the sender's own correction is better than landing's
    (received - (sent - original)). `payload` holds the source's payload where it was not already an event.
    """

    type: str
    event: str | None = None
    message_id: str | None = None
    user_id: str | None = None
    anonymous_id: str | None = None
    identifiers: list[Identifier] = []
    properties: dict[str, Any] = {}
    traits: dict[str, Any] = {}
    context: dict[str, Any] = {}
    consent: dict[str, bool] | None = None
    payload: Any = None
    original_timestamp: str | None = None
    sent_at: str | None = None
    occurred_at: str | None = None
    received_at: str = ""
    source: str = ""
    entry: str = ""
    part: int = -1


class ProductLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One product of the catalogue, one line; numbers are texts, so that no digit is lost."""

    id: str
    name: str | None = None
    category_path: str | None = None
    price: str | None = None
    currency: str | None = None
    stock: str | None = None
    repeatable: bool | None = None
    updated_at: str | None = None
    source: str = ""
    entry: str = ""
    part: int = -1


class PrivacyLine(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One request to erase or to export a person, one line; `subject` holds the ids of the person and of the shop."""

    topic: str
    subject: dict[str, Any]
    message_id: str | None = None
    received_at: str = ""
    source: str = ""
    entry: str = ""
    part: int = -1


Line = EventLine | ProductLine | PrivacyLine
_COUNTED_AS = {EventLine: "events", ProductLine: "products", PrivacyLine: "privacy"}
_Line = TypeVar("_Line", EventLine, ProductLine, PrivacyLine)
_Part = TypeVar("_Part")


class Outcome:
    """What became of one request: gathers its lines and refusals in the order of its parts."""

    def __init__(self, received: Received, entry: str) -> None:
        self.received = received
        self.entry = entry
        self.received_at = instant(received.received_at)
        self._lines: dict[type, list[bytes]] = {EventLine: [], ProductLine: [], PrivacyLine: []}
        self._refused: list[Refused] = []
        self._size = 0

    def add(self, part: int, line: Line, *, canonical: bytes | None = None) -> None:
        """Add a line of this part. Where it has no message id, one is derived from `canonical` (the event in a form that the sender's
        retry has as well), or else minted from the entry's id. Raises PartRefusedError."""
        line.part, line.entry, line.source = part, self.entry, self.received.source
        if not isinstance(line, ProductLine):
            line.received_at = self.received_at
            if line.message_id is None:
                line.message_id = self._derived_id(part, canonical)
                if canonical is None and isinstance(line, EventLine):
                    line.context = line.context | {"weft": MINTED}
            elif len(line.message_id) > MESSAGE_ID_LENGTH:
                raise PartRefusedError(RejectReason.MESSAGE_ID_TOO_LONG)
        content = encoded(line)
        if len(content) > LINE_BYTES:
            raise PartRefusedError(RejectReason.OVERSIZE)
        if self._size + len(content) > REQUEST_BYTES:
            raise PartRefusedError(RejectReason.OVERSIZE, "The request's events are larger than 8 MiB together.")
        self._size += len(content)
        self._lines[type(line)].append(content)

    def refuse(self, part: int, error: PartRefusedError) -> None:
        """Put a part aside."""
        self._refused.append(Refused(part, error.reason.value, error.detail))

    def add_each(self, parts: Iterable[_Part], add: Callable[[int, _Part], None]) -> "Outcome":
        """Call `add` with each part and its index; a part that it refuses by raising PartRefusedError is put aside, the others live."""
        for index, part in enumerate(parts):
            try:
                add(index, part)
            except PartRefusedError as error:
                self.refuse(index, error)
        return self

    def result(self) -> Normalized:
        """The entry of `events.normalized`."""
        counted = {name: len(self._lines[kind]) for kind, name in _COUNTED_AS.items() if self._lines[kind]}
        for refused in self._refused:
            counted[refused.reason] = counted.get(refused.reason, 0) + 1
        return Normalized(
            events=b"".join(self._lines[EventLine]),
            products=b"".join(self._lines[ProductLine]),
            privacy=b"".join(self._lines[PrivacyLine]),
            refused=tuple(self._refused),
            counts={f"{self.received.source}|{what}": count for what, count in counted.items()},
        )

    def _derived_id(self, part: int, canonical: bytes | None) -> str:
        seed = f"{self.entry}\x1f{part}".encode() if canonical is None else canonical
        return hashlib.sha256(self.received.source.encode() + b"\x1f" + seed).hexdigest()


def refused_whole(received: Received, reason: RejectReason, detail: str = "") -> Normalized:
    """A request of which no part can be told from another: it is one part, refused."""
    outcome = Outcome(received, "")
    outcome.refuse(0, PartRefusedError(reason, detail))
    return outcome.result()


def encoded(line: Line) -> bytes:
    """The line's bytes with a newline. Raises PartRefusedError where it is nested too deep to be read."""
    try:
        content = _ENCODER.encode(line)
    except RecursionError:
        raise PartRefusedError(RejectReason.TOO_DEEP) from None
    if is_too_deep(content):
        raise PartRefusedError(RejectReason.TOO_DEEP)
    return content + b"\n"


def is_too_deep(content: bytes) -> bool:
    """True where lists and objects of a JSON text are nested more than MAX_DEPTH deep."""
    if content.count(b"{") + content.count(b"[") <= MAX_DEPTH:
        return False
    left_over = _STRINGS.sub(b"", content).translate(None, _NO_BRACKETS)
    for _ in range(MAX_DEPTH):
        if not left_over:
            return False
        left_over = left_over.replace(b"[]", b"").replace(b"{}", b"")
    return bool(left_over)


def instant(milliseconds: int) -> str:
    """Milliseconds since 1970 as an ISO 8601 text (UTC)."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def text_of(value: object) -> str | None:
    """An id or a name as text: numbers and booleans as JSON writes them, blank and null as None, without NUL and blanks around.

    Raises PartRefusedError (bad_value) for a list or an object.
    """
    if isinstance(value, str):
        text = value.replace("\0", "").strip()
        return text or None
    if value is None:
        return None
    if isinstance(value, bool | int | float):
        return _ENCODER.encode(value).decode()
    raise PartRefusedError(RejectReason.BAD_VALUE, "An id or a name is a list or an object; send it as text.")


def time_of(value: object) -> str | None:
    """A time as text: texts as given, numbers as milliseconds (or seconds) since 1970. Raises PartRefusedError (bad_timestamp)."""
    if value is None:
        return None
    if isinstance(value, str):
        return value.replace("\0", "").strip() or None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _LATEST:
        return instant(int(value if value > _SECONDS_BELOW else value * 1000))
    raise PartRefusedError(RejectReason.BAD_TIMESTAMP)


def object_of(name: str, value: object) -> dict[str, Any]:
    """A JSON object, empty for null and for the empty list that PHP makes of an empty map. Raises PartRefusedError (not_an_object)."""
    if isinstance(value, dict):
        return value
    if value is None or value == []:
        return {}
    raise PartRefusedError(RejectReason.NOT_AN_OBJECT, f"{name} is not a JSON object.")
