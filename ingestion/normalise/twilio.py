"""Twilio's messages: what customers write by WhatsApp (or SMS), and what became of what was sent to them.

Twilio sends forms without a time: a message is dated by when it arrived here. The text of a message is kept in the payload only,
unless the source's settings say otherwise.
"""

from dataclasses import dataclass

from ingestion.envelope import RejectReason
from ingestion.event_log import Normalized, Received
from ingestion.normalise.documents import excerpt, given, identifiers, read_object, text
from ingestion.normalise.lines import EventLine, Outcome, PartRefusedError
from ingestion.normalise.parts import readable_body
from ingestion.normalise.source_settings import SOURCE_FILES, SourceSettings
from ingestion.signatures import form_fields

_WHATSAPP = "whatsapp:"
_EVENT_OF_STATUS = {
    "sent": "Message Sent",
    "delivered": "Message Delivered",
    "read": "Message Read",
    "undelivered": "Message Failed",
    "failed": "Message Failed",
    "canceled": "Message Failed",
}
"""`queued`, `sending`, `accepted` and `scheduled` are on the way to one of these and are no event."""
_ON_THE_WAY = frozenset({"accepted", "scheduled", "queued", "sending"})
_CONSENT_OF_OPT_OUT = {"STOP": False, "START": True}


@dataclass(frozen=True)
class Message:
    """The fields of one request; `is_status` where it tells of a message that was sent to the customer."""

    fields: dict[str, str]
    sid: str
    is_status: bool
    status: str


def read_message(body: bytes) -> Message:
    """Read a form, or a JSON object with the same names. Raises PartRefusedError where it is no message."""
    if body.lstrip()[:1] == b"{":
        fields = {name: value for name, raw in read_object(body).items() if (value := text(raw)) is not None}
    else:
        form = form_fields(body)
        if form is None:
            raise PartRefusedError(RejectReason.UNREADABLE, "The body is no form in UTF-8.")
        fields = {name: values[0].replace("\0", "") for name, values in form.items()}
    sid = next((fields[name] for name in ("MessageSid", "SmsMessageSid", "SmsSid") if fields.get(name)), None)
    if sid is None or not fields.get("From") or not fields.get("To"):
        raise PartRefusedError(RejectReason.MISSING_KEY, "A message needs MessageSid, From and To.")
    if len(sid) > 64:
        raise PartRefusedError(RejectReason.MESSAGE_ID_TOO_LONG)
    status = (fields.get("MessageStatus") or fields.get("SmsStatus") or "").lower()
    is_status = "MessageStatus" in fields or status not in ("", "received", "receiving")
    if is_status and status not in _EVENT_OF_STATUS and status not in _ON_THE_WAY:
        raise PartRefusedError(RejectReason.BAD_VALUE, "The message's status is none that Weft knows.")
    return Message(fields, sid, is_status, status)


def normalise(received: Received, entry: str) -> Normalized:
    """One event, none for a status on the way."""
    outcome = Outcome(received, entry)
    try:
        message = read_message(readable_body(received))
        if message.is_status:
            if message.status in _EVENT_OF_STATUS:
                outcome.add(0, _status_line(message))
        else:
            outcome.add(0, _inbound_line(message, SOURCE_FILES.of(received.source)))
    except PartRefusedError as error:
        outcome.refuse(0, error)
    return outcome.result()


def _inbound_line(message: Message, settings: SourceSettings) -> EventLine:
    fields = message.fields
    body = fields.get("Body", "")
    customer = fields["From"]
    wa_id = fields.get("WaId", "")
    opt_out = _CONSENT_OF_OPT_OUT.get(fields.get("OptOutType", "").upper())
    return EventLine(
        type="track",
        event="Message Received",
        message_id=message.sid,
        identifiers=identifiers(("phone", phone_of(customer)), ("phone", f"+{wa_id}" if _is_number(wa_id) else None)),
        properties=given(
            message_sid=message.sid,
            body_length=len(body),
            text=body if settings.message_texts and body else None,
            media_count=_count(fields.get("NumMedia", "")),
            button_text=text(fields.get("ButtonText")),
            button_payload=text(fields.get("ButtonPayload")),
            business_number=phone_of(fields["To"]),
            replied_to=text(fields.get("OriginalRepliedMessageSid")),
        ),
        traits=given(profile_name=text(fields.get("ProfileName"))),
        context=given(channel=_channel(customer)),
        consent=None if opt_out is None else {"advertising": opt_out},
        payload=excerpt(dict(fields)),
    )


def _status_line(message: Message) -> EventLine:
    fields = message.fields
    customer = fields["To"]
    return EventLine(
        type="track",
        event=_EVENT_OF_STATUS[message.status],
        message_id=f"{message.sid}:{message.status}",
        identifiers=identifiers(("phone", phone_of(customer))),
        properties=given(
            message_sid=message.sid,
            status=message.status,
            error_code=text(fields.get("ErrorCode")),
            business_number=phone_of(fields["From"]),
        ),
        context=given(channel=_channel(customer)),
        payload=excerpt(dict(fields)),
    )


def phone_of(address: str) -> str | None:
    """The phone in `whatsapp:+4917...`; in a form a plus that was not encoded is a blank."""
    number = address.strip().removeprefix(_WHATSAPP).strip()
    return (f"+{number}" if _is_number(number) else number) or None


def _channel(address: str) -> str:
    return "whatsapp" if address.strip().startswith(_WHATSAPP) else "sms"


def _is_number(value: str) -> bool:
    return value.isascii() and value.isdecimal()


def _count(value: str) -> int | None:
    return int(value) if _is_number(value) and len(value) < 4 and int(value) else None
