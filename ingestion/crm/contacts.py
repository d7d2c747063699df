"""A contact as a vendor gave it becomes one line in the columns of the mapping `crm_contacts`.

An event's id is made from all that the line says: the same state of a contact is the same event however often it is pulled, and
two changes within one tick of the vendor's clock are two events.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from ingestion.crm.sources import ConsentField, Fields

MAPPING = "crm_contacts"


@dataclass(frozen=True)
class Contact:
    """One state of a contact: `values` are the fields that a source's configuration names, `payload` is kept verbatim."""

    id: str | None
    modified_at: str | None
    values: Mapping[str, Any]
    payload: Mapping[str, Any]
    is_deleted: bool = False


def unreadable(payload: object) -> Contact:
    """Something that stands where a contact should: it is kept with its bytes among the rejected events."""
    return Contact(None, None, {}, {"unreadable": payload})


def contact_line(contact: Contact, *, source: str, kind: str, fields: Fields) -> bytes:
    """The line (UTF-8 NDJSON, with its newline). Of a deleted contact it holds identifiers and nothing else."""
    values = contact.values
    line: dict[str, Any] = {"source": source, "contact": contact.payload}
    if contact.id is not None:
        line |= {
            "type": "track" if contact.is_deleted else "identify",
            "event": "Contact Deleted" if contact.is_deleted else None,
            "modified_at": contact.modified_at,
            "user_id": _identifier(values, fields.user_id),
            "identifiers": _identifiers(f"{source}:{contact.id}", values, fields),
            "properties": {"contact_id": contact.id, "crm": kind} if contact.is_deleted else None,
            "traits": None if contact.is_deleted else _traits(values, fields.traits),
            "context": {"channel": "crm", "crm": kind},
            "consent": None if contact.is_deleted else _consent(values, fields.consent),
        }
        line["message_id"] = hashlib.sha256(_canonical(line)).hexdigest()
    return _canonical(line) + b"\n"


def at(values: object, path: str) -> Any:
    """The value behind a dotted path; a key that holds the whole path wins. None where there is nothing."""
    if isinstance(values, Mapping) and path in values:
        return values[path]
    for part in path.split("."):
        if not isinstance(values, Mapping):
            return None
        values = values.get(part)
    return values


def text_of(value: object) -> str | None:
    """A text or a whole number as text without blanks around; anything else is no identifier."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip() or None


def instant_text(value: object) -> str | None:
    """An instant as ISO 8601 in UTC: ISO stays as it is, seconds or milliseconds since 1970 are converted."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return text_of(value)
    try:
        return utc_text(value / 1000 if abs(value) >= 1e11 else value)
    except (ValueError, OverflowError, OSError):
        return str(value)


def utc_text(seconds: float) -> str:
    """Seconds since 1970 as `2026-01-31T12:00:00.000Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def seconds_of(text: str | None) -> float | None:
    """An ISO 8601 instant as seconds since 1970; without an offset it is UTC. None where it cannot be read."""
    try:
        instant = datetime.fromisoformat(text or "")
        return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _identifier(values: Mapping[str, Any], paths: Sequence[str]) -> str | None:
    return next((text for path in paths if (text := text_of(at(values, path)))), None)


def _identifiers(crm_id: str, values: Mapping[str, Any], fields: Fields) -> list[dict[str, str]]:
    paths = {"email": fields.email, "phone": fields.phone, "loyalty_id": fields.loyalty_id}
    found = {type_: _identifier(values, each) for type_, each in paths.items()} | {"crm_id": crm_id}
    return [{"type": type_, "value": value} for type_, value in found.items() if value]


def _traits(values: Mapping[str, Any], paths: Mapping[str, str]) -> dict[str, Any]:
    found = {name: at(values, path) for name, path in paths.items()}
    return {name: value for name, value in found.items() if value is not None and value != ""}


def _consent(values: Mapping[str, Any], given: Mapping[str, Sequence[ConsentField]]) -> dict[str, bool] | None:
    """Purposes that the CRM knows something of; a refusal in one field outweighs consent in another."""
    known: dict[str, bool] = {}
    for purpose, fields in given.items():
        words = [(field, str(at(values, field.field)).strip().lower()) for field in fields]
        if any(word in field.refused for field, word in words):
            known[purpose] = False
        elif any(word in field.given for field, word in words):
            known[purpose] = True
    return known or None


def _canonical(value: object) -> bytes:
    # a lone surrogate stays an escape, which the landing refuses together with its row alone
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
