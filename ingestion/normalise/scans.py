"""QR scans and store visits: small events with fields of their own."""

from typing import Any, TypeVar

import msgspec

from ingestion.envelope import RejectReason
from ingestion.event_log import Normalized, Received
from ingestion.lone_surrogates import without_lone_surrogates
from ingestion.normalise.documents import given, identifiers, optional_instant
from ingestion.normalise.lines import EventLine, Outcome, PartRefusedError, text_of
from ingestion.normalise.parts import decoded_body

_Text = str | int | None


class _Place(msgspec.Struct):
    country: str | None = None
    region: str | None = None
    city: str | None = None
    latitude: float | None = None
    longitude: float | None = None


class _Act(msgspec.Struct, kw_only=True):
    """What both have."""

    occurred_at: str | None = None
    sent_at: str | None = None
    message_id: str | None = None
    user_id: _Text = None
    anonymous_id: _Text = None
    email: str | None = None
    phone: _Text = None
    loyalty_id: _Text = None
    device_id: _Text = None
    location: _Place | None = None
    consent: dict[str, bool] | None = None
    properties: dict[str, Any] = {}


class Scan(_Act, kw_only=True):
    """A QR code that was scanned: which one (`qr_id`), where, and by whom as far as that is known."""

    qr_id: str | int
    store_id: _Text = None
    product_id: _Text = None
    campaign: str | None = None
    url: str | None = None


class Visit(_Act, kw_only=True):
    """A visit of a store (a door counter, a Wi-Fi login, an app): which store, by whom, for how long."""

    store_id: str | int
    seconds: int | float | None = None
    means: str | None = None


_Kind = TypeVar("_Kind", Scan, Visit)
_KINDS: dict[str, type[Scan] | type[Visit]] = {"scan": Scan, "visit": Visit}


def read_act(kind: str, body: bytes) -> Scan | Visit:
    """Read a body. Raises PartRefusedError, whose sentence names the field that is wrong and nothing of what it holds."""
    try:
        act = msgspec.json.decode(without_lone_surrogates(body), type=_KINDS[kind])
    except msgspec.ValidationError as error:
        raise PartRefusedError(RejectReason.BAD_VALUE, _sentence(str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise PartRefusedError(RejectReason.BROKEN_JSON, "The body is not valid JSON.") from None
    named = "store_id" if isinstance(act, Visit) else "qr_id"
    if text_of(getattr(act, named)) is None:
        raise PartRefusedError(RejectReason.MISSING_KEY, f"{named} is blank.")
    if isinstance(act, Visit) and not any((act.user_id, act.anonymous_id, *_contacts(act).values())):
        raise PartRefusedError(
            RejectReason.NO_ID, "A visit needs one of user_id, anonymous_id, email, phone, loyalty_id, device_id."
        )
    for name in ("occurred_at", "sent_at"):
        if getattr(act, name) is not None and optional_instant(getattr(act, name)) is None:
            raise PartRefusedError(RejectReason.BAD_TIMESTAMP, f"{name} is no ISO 8601 time.")
    return act


def normalise(received: Received, entry: str) -> Normalized:
    """The one event."""
    outcome = Outcome(received, entry)
    try:
        body = decoded_body(received)
        act = read_act(received.kind, body)
        canonical = msgspec.json.encode([received.kind, act], order="deterministic") if act.occurred_at else None
        outcome.add(0, _line(act), canonical=canonical)
    except PartRefusedError as error:
        outcome.refuse(0, error)
    return outcome.result()


def _line(act: Scan | Visit) -> EventLine:
    contacts = _contacts(act)
    place = given(**msgspec.structs.asdict(act.location)) if act.location else {}
    if isinstance(act, Scan):
        # a code printed for one person can name them (identity/rules.yml, qr_id); a poster's cannot, so by default none does
        contacts["qr_id"] = act.qr_id
        event, channel = "QR Code Scanned", "qr"
        campaign = {"source": "qr", "medium": "offline", "name": act.campaign} if act.campaign else {}
        own = given(
            qr_id=text_of(act.qr_id), store_id=text_of(act.store_id), product_id=text_of(act.product_id), url=act.url
        )
    else:
        event, channel, campaign = "Store Visited", "store", {}
        own = given(store_id=text_of(act.store_id), seconds=act.seconds, means=act.means)
    return EventLine(
        type="track",
        event=event,
        message_id=text_of(act.message_id),
        user_id=text_of(act.user_id),
        anonymous_id=text_of(act.anonymous_id),
        identifiers=identifiers(*contacts.items()),
        properties=act.properties | own,
        context=given(channel=channel, location=place, campaign=campaign),
        consent=act.consent,
        original_timestamp=act.occurred_at,
        sent_at=act.sent_at,
    )


def _contacts(act: _Act) -> dict[str, object]:
    return {name: getattr(act, name) for name in ("email", "phone", "loyalty_id", "device_id")}


def _sentence(error: str) -> str:
    """msgspec names the type and the path (`$.store_id`), never the value."""
    return f"The body is not of its form: {error[:1].lower()}{error[1:]}."
