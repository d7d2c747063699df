"""Shopify's customers: who they are, and what they said about being advertised to."""

from ingestion.normalise.documents import (
    Document,
    amount,
    content_id,
    given,
    instant_of,
    number,
    optional_instant,
    part_of,
    required_key,
    text,
    utc_text,
)
from ingestion.normalise.lines import EventLine, Line
from ingestion.normalise.people import Person, person
from ingestion.normalise.source_settings import SourceSettings

# what was neither given nor refused (not_subscribed, pending, invalid) is no word of the customer
_CONSENT_OF_STATE = {"subscribed": True, "unsubscribed": False, "redacted": False}


def customer_lines(document: Document, settings: SourceSettings) -> list[Line]:
    """An identify with the traits, dated by `updated_at`, and one for each word about marketing, dated by when it was said.

    The words stand apart because Shopify repeats them in every update: dated by the update, an old yes would outlive a newer no.
    """
    key = required_key(document, "id", "The customer")
    updated_at = utc_text(instant_of(document.get("updated_at"), "updated_at of the customer"))
    email, phone = document.get("email"), document.get("phone")
    lines: list[Line] = [
        EventLine(
            type="identify",
            message_id=content_id("customer", key, document),
            user_id=(who := person(settings, key, emails=(email,), phones=(phone,))).user_id,
            identifiers=who.identifiers,
            traits=customer_traits(document),
            context={"channel": "shopify"},
            occurred_at=updated_at,
        )
    ]
    for channel, block, contact in (
        ("email", "email_marketing_consent", person(settings, key, emails=(email,))),
        ("sms", "sms_marketing_consent", person(settings, key, phones=(phone,))),
    ):
        said = part_of(document, block)
        word = _CONSENT_OF_STATE.get(str(said.get("state")))
        lines += _consent(
            f"{channel}_consent", key, contact, word, at=_said_at(said.get("consent_updated_at"), updated_at)
        )
    if "email_marketing_consent" not in document and isinstance(document.get("accepts_marketing"), bool):
        said_at = _said_at(document.get("accepts_marketing_updated_at"), updated_at)
        contact = person(settings, key, emails=(email,))
        lines += _consent("email_consent", key, contact, document["accepts_marketing"], at=said_at)
    return lines


def customer_traits(customer: Document) -> dict[str, object]:
    """What a customer document says of the person."""
    address = part_of(customer, "default_address")
    return given(
        email=text(customer.get("email")),
        phone=text(customer.get("phone")),
        first_name=text(customer.get("first_name")),
        last_name=text(customer.get("last_name")),
        created_at=text(customer.get("created_at")),
        language=text(customer.get("locale")),
        country=text(address.get("country_code")),
        city=text(address.get("city")),
        company=text(address.get("company")),
        tags=text(customer.get("tags")),
        state=text(customer.get("state")),
        shopify_order_count=number(amount(customer.get("orders_count"), "orders_count")),
        shopify_total_spent=number(amount(customer.get("total_spent"), "total_spent")),
    )


def _said_at(given_at: object, updated_at: str) -> str:
    moment = optional_instant(given_at)
    return utc_text(moment) if moment else updated_at


def _consent(kind: str, key: str, who: Person, word: bool | None, *, at: str) -> list[EventLine]:
    if word is None:
        return []
    named = [(each.type, each.value) for each in who.identifiers]
    return [
        EventLine(
            type="identify",
            message_id=content_id(kind, key, word, at, named),
            user_id=who.user_id,
            identifiers=who.identifiers,
            context={"channel": "shopify"},
            consent={"advertising": word},
            payload={kind: word},
            occurred_at=at,
        )
    ]
