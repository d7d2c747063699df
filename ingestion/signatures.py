"""Signatures of webhooks, checked over the bytes as received and compared in constant time.

A source has a list of secrets, so that a new one can be taken into use while the old one still signs; a source without a secret
takes nothing. What a sender puts into a header is compared as bytes and never decoded: no header can make a check fail otherwise
than by being wrong. The signatures say nothing of the headers: topic and delivery id of a delivery are claims (docs/webhooks.md).
"""

import base64
import hashlib
import hmac
import html
import re
from collections.abc import Iterable, Sequence
from urllib.parse import parse_qs, parse_qsl, urlsplit

from twilio.request_validator import (
    HMAC_SHA1,
    HMAC_SHA256,
    RequestValidator,
    add_port,
    get_signature_algorithm,
    remove_port,
)

Headers = Sequence[tuple[bytes, bytes]]

SHOPIFY_HEADERS = (b"x-shopify-hmac-sha256", b"shopify-hmac-sha256")
WOOCOMMERCE_HEADERS = (b"x-wc-webhook-signature",)
TWILIO_HEADERS = (b"x-twilio-signature",)
_TWILIO_ALGORITHM_HEADER = b"x-twilio-webhooks-signature-settings"

_LONGEST_SIGNATURE = 128
_MOST_FORM_FIELDS = 500
_ENTITIES = re.compile(r"&(?:amp|lt|gt|quot|apos|#0?39|#x27);", re.IGNORECASE)
_PING = re.compile(rb"webhook_id=[0-9]{1,20}")


def header_values(headers: Headers, names: Iterable[bytes]) -> list[bytes]:
    """Every value of the headers with these names (lower case), in the order received."""
    wanted = frozenset(names)
    return [value for name, value in headers if name.lower() in wanted]


def is_from_shopify(body: bytes, headers: Headers, secrets: Sequence[str]) -> bool:
    """True where Shopify's signature fits: base64(HMAC-SHA256(client secret, body)), under the old name of the header or the new."""
    return _is_signed_body(body, _signature(headers, SHOPIFY_HEADERS), secrets)


def is_from_woocommerce(body: bytes, headers: Headers, secrets: Sequence[str]) -> bool:
    """True where WooCommerce's signature fits: base64(HMAC-SHA256(secret, body)).

    WordPress takes HTML entities out of a secret before it signs with it, so a secret is tried with and without them.
    """
    plain = [_ENTITIES.sub(lambda entity: html.unescape(entity[0]), secret) for secret in secrets]
    return _is_signed_body(body, _signature(headers, WOOCOMMERCE_HEADERS), [*secrets, *plain])


def is_woocommerce_ping(body: bytes, headers: Headers) -> bool:
    """True for what WooCommerce sends, unsigned, when a webhook is created: a form with the webhook's number and nothing else."""
    return not header_values(headers, WOOCOMMERCE_HEADERS) and _PING.fullmatch(body) is not None


def is_from_twilio(url: str, body: bytes, headers: Headers, secrets: Sequence[str]) -> bool:
    """True where Twilio's signature fits the URL that Twilio called and what it sent.

    A form is signed by its fields, any other body by `bodySHA256` in the query of the URL; a body that neither covers is refused.
    The texts that are signed are those of Twilio's own `RequestValidator`, with the port of the URL and without.
    """
    signature = _signature(headers, TWILIO_HEADERS)
    algorithm = _twilio_algorithm(headers)
    spellings = _twilio_urls(url)
    if signature is None or algorithm is None or not spellings:
        return False
    claimed = _claimed_hash(url)
    if claimed is None or (claimed and not hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), claimed)):
        return False
    fields = form_fields(body) if is_form(headers) else None
    if fields is None and not claimed:
        return False
    is_signed = False
    for secret in _usable(secrets):
        validator = RequestValidator(secret)
        for spelling in spellings:
            expected = validator.compute_signature(spelling, _Fields(fields or {}), algorithm).encode()
            is_signed |= hmac.compare_digest(expected, signature)
    return is_signed


def is_form(headers: Headers) -> bool:
    """True where the body is said to be a form."""
    kinds = header_values(headers, (b"content-type",))
    return len(kinds) == 1 and kinds[0].split(b";")[0].strip().lower() == b"application/x-www-form-urlencoded"


def form_fields(body: bytes) -> dict[str, list[str]] | None:
    """The fields of a form in UTF-8, blank values included; None where it is none or has more than 500 fields."""
    try:
        pairs = parse_qsl(
            body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MOST_FORM_FIELDS
        )
    except ValueError:  # UnicodeDecodeError is one
        return None
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    return fields


class _Fields(dict[str, list[str]]):
    """Fields the way RequestValidator asks for repeated ones."""

    def getall(self, name: str) -> list[str]:
        return self[name]


def _signature(headers: Headers, names: Iterable[bytes]) -> bytes | None:
    """The one signature of a request. None where there is none, or two that differ, or one no signature is as long as."""
    shown = {value.strip() for value in header_values(headers, names)}
    if len(shown) != 1:
        return None
    signature = shown.pop()
    return signature if 0 < len(signature) <= _LONGEST_SIGNATURE else None


def _is_signed_body(body: bytes, signature: bytes | None, secrets: Sequence[str]) -> bool:
    if signature is None:
        return False
    is_signed = False
    for secret in _usable(secrets):
        expected = base64.b64encode(hmac.digest(secret.encode(), body, hashlib.sha256))
        is_signed |= hmac.compare_digest(expected, signature)
    return is_signed


def _usable(secrets: Sequence[str]) -> list[str]:
    """An empty secret is none: anybody could sign with it."""
    return [secret for secret in secrets if secret.strip()]


def _twilio_algorithm(headers: Headers) -> str | None:
    """The algorithm that the request names, by default SHA-1; None where it names one that Twilio does not use."""
    named = header_values(headers, (_TWILIO_ALGORITHM_HEADER,))
    if len(named) > 1:
        return None
    algorithm = get_signature_algorithm(named[0].decode("latin-1") if named else "").upper()
    return algorithm if algorithm in (HMAC_SHA1, HMAC_SHA256) else None


def _twilio_urls(url: str) -> tuple[str, ...]:
    """The URL without its port and with it: Twilio signs now this, now that. Nothing where it is no URL."""
    try:
        parts = urlsplit(url)
        spellings = (remove_port(parts), add_port(parts))
        for spelling in spellings:
            spelling.encode()
    except ValueError:  # a port that is no number, half a surrogate pair
        return ()
    return spellings


def _claimed_hash(url: str) -> bytes | None:
    """What the query, which is signed, says the SHA-256 of the body is; empty where it says nothing, None where it cannot be read."""
    try:
        claimed = parse_qs(urlsplit(url).query, max_num_fields=_MOST_FORM_FIELDS).get("bodySHA256", [""])
    except ValueError:
        return None
    return claimed[0].lower().encode("utf-8", "replace") if len(claimed) == 1 else None
