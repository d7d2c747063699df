"""The published vectors of the signatures, and what may not pass for one."""

from urllib.parse import urlencode

import pytest

from ingestion.signatures import is_from_shopify, is_from_twilio, is_from_woocommerce, is_woocommerce_ping
from tests.ingestion.webhooks.payloads import hmac_of

BODY = b'{"id":820982911946154508,"email":"jon@example.com"}'
HUSH = b"D0UMXmhjwBRi4y66TmhJrDlhQABD7zI2fm3p6/QLMo8="
SHOPIFY_NAMES = (b"X-Shopify-Hmac-SHA256", b"Shopify-Hmac-Sha256", b"x-shopify-hmac-sha256")

URL = "https://mycompany.com/myapp.php?foo=1&bar=2"
FORM = (b"content-type", b"application/x-www-form-urlencoded")
CALL = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
JSON_BODY = b'{"property": "value", "boolean": true}'
JSON_URL = f"{URL}&bodySHA256=0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
HTTP_URL = URL.replace("https", "http")


def twilio(url: str, body: bytes, signature: bytes, *more: tuple[bytes, bytes], token: str = "12345") -> bool:
    return is_from_twilio(url, body, [(b"X-Twilio-Signature", signature), *more], [token])


@pytest.mark.parametrize("name", SHOPIFY_NAMES, ids=[name.decode() for name in SHOPIFY_NAMES])
def test_shopify_signs_the_body_under_either_name(name: bytes) -> None:
    assert is_from_shopify(BODY, [(name, HUSH)], ["hush"])


def test_woocommerce_signs_as_shopify_does() -> None:
    assert is_from_woocommerce(BODY, [(b"X-WC-Webhook-Signature", HUSH)], ["hush"])


def test_wordpress_takes_entities_out_of_a_secret_before_it_signs() -> None:
    signed = hmac_of(BODY, "a&b\"c'd").encode()
    assert is_from_woocommerce(BODY, [(b"x-wc-webhook-signature", signed)], ["a&amp;b&quot;c&#039;d"])
    assert not is_from_woocommerce(BODY, [(b"x-wc-webhook-signature", signed)], ["a&amp;amp;b&quot;c&#039;d"])


@pytest.mark.parametrize(
    ("url", "form", "signature"),
    [
        (URL, urlencode(CALL), b"RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (URL, "Sid=CA123&SidAccount=AC123&Digits=5678&Digits=1234&Digits=1234", b"IK+Dwps556ElfBT0I3Rgjkr1wJU="),
        (URL, urlencode(CALL), b"kvajT1Ptam85bY51eRf/AJRuM3w="),
        (URL.replace(".com", ".com:443"), urlencode(CALL), b"kvajT1Ptam85bY51eRf/AJRuM3w="),
        (URL.replace(".com", ".com:443"), urlencode(CALL), b"RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        (HTTP_URL, urlencode(CALL), b"0ZXoZLH/DfblKGATFgpif+LLRf4="),
        (HTTP_URL.replace(".com", ".com:80"), urlencode(CALL), b"0ZXoZLH/DfblKGATFgpif+LLRf4="),
    ],
    ids=[
        "form",
        "repeated",
        "signed_with_port",
        "port_in_both",
        "port_in_url_only",
        "http_signed_with_port",
        "http_port",
    ],
)
def test_twilios_vectors(url: str, form: str, signature: bytes) -> None:
    assert twilio(url, form.encode(), signature, FORM)
    assert not twilio(url, form.encode(), signature, FORM, token="12346")
    assert not twilio(url + "&baz=3", form.encode(), signature, FORM)
    assert not twilio(url, form.encode() + b"&Extra=1", signature, FORM)


def test_twilio_signs_the_hash_of_a_json_body() -> None:
    signature = b"a9nBmqA0ju/hNViExpshrM61xv4="
    assert twilio(JSON_URL, JSON_BODY, signature)
    assert not twilio(JSON_URL, JSON_BODY + b" ", signature)
    assert not twilio(JSON_URL + "&bodySHA256=00", JSON_BODY, signature)


def test_a_json_body_that_no_signature_covers_is_refused() -> None:
    """T8: without bodySHA256 the URL alone would be signed, and the body could be anything."""
    from twilio.request_validator import RequestValidator

    of_url = RequestValidator("12345").compute_signature(URL, {}).encode()
    assert not twilio(URL, JSON_BODY, of_url)
    assert not twilio(URL, JSON_BODY, of_url, (b"content-type", b"application/json"))
    assert twilio(URL, b"", of_url, FORM)


def test_twilio_may_name_sha256_and_nothing_else() -> None:
    from twilio.request_validator import RequestValidator

    signature = RequestValidator("12345").compute_signature(URL, CALL, "HMAC_SHA256").encode()
    form = urlencode(CALL).encode()
    name = b"X-Twilio-Webhooks-Signature-Settings"
    assert twilio(URL, form, signature, FORM, (name, b"key=k,algorithm=HMAC_SHA256"))
    assert not twilio(URL, form, signature, FORM)
    assert not twilio(URL, form, signature, FORM, (name, b"algorithm=\xff\xfe"))
    assert not twilio(URL, form, signature, FORM, (name, b"algorithm=HMAC_SHA256"), (name, b"algorithm=HMAC_SHA1"))


@pytest.mark.parametrize("url", ["https://host:99999/", "https://host:port/", "http://[::1/", "https://\ud800/"])
def test_what_is_no_url_is_refused(url: str) -> None:
    assert not twilio(url, b"", b"RSOYDt4T1cUTdK1PDd93/VVr8B8=", FORM)


def test_both_secrets_of_a_rotation_are_accepted_and_the_old_one_not_after_it() -> None:
    """T7, at its four points in time."""
    old, new = ([(b"X-Shopify-Hmac-SHA256", hmac_of(BODY, secret).encode())] for secret in ("old", "new"))
    seen = [
        (is_from_shopify(BODY, old, secrets), is_from_shopify(BODY, new, secrets))
        for secrets in (["old"], ["new", "old"], ["new", "old"], ["new"])
    ]
    assert seen == [(True, False), (True, True), (True, True), (False, True)]


@pytest.mark.parametrize("secrets", [[], [""], [" "]], ids=["none", "empty", "blank"])
def test_a_source_without_a_secret_takes_nothing(secrets: list[str]) -> None:
    for secret in ("", " "):
        signature = hmac_of(BODY, secret).encode()
        assert not is_from_shopify(BODY, [(b"X-Shopify-Hmac-SHA256", signature)], secrets)
        assert not is_from_woocommerce(BODY, [(b"X-WC-Webhook-Signature", signature)], secrets)
    assert not is_from_twilio(URL, b"", [(b"x-twilio-signature", b"x"), FORM], secrets)


def test_two_signatures_that_differ_are_none() -> None:
    good, other = (b"X-Shopify-Hmac-SHA256", HUSH), (b"Shopify-Hmac-Sha256", HUSH[::-1])
    assert not is_from_shopify(BODY, [good, other], ["hush"])
    assert is_from_shopify(BODY, [good, (b"Shopify-Hmac-Sha256", HUSH)], ["hush"])


@pytest.mark.parametrize(
    ("body", "is_ping"),
    [
        (b"webhook_id=15", True),
        (b"webhook_id=15&id=1", False),
        (b"webhook_id=", False),
        (b"webhook_id=1e3", False),
        (b"webhook_id=" + b"9" * 30, False),
        (b'{"webhook_id": 15}', False),
        (b"", False),
    ],
    ids=["ping", "more", "blank", "no_number", "long", "json", "empty"],
)
def test_a_ping_is_a_number_and_nothing_else(body: bytes, is_ping: bool) -> None:
    assert is_woocommerce_ping(body, []) is is_ping
    assert not is_woocommerce_ping(body, [(b"X-WC-Webhook-Signature", b"x")])
