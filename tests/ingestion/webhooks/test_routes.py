"""What the webhook routes take, what of it goes into the log, and what they refuse."""

import json
from ipaddress import ip_network
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from ingestion.collector.app import create_app
from ingestion.collector.settings import CollectorSettings, Limits
from ingestion.event_log import LogFullError, LogUnavailableError
from tests.ingestion.collector.senders import KEY, Client, Keys, MemoryLog
from tests.ingestion.webhooks.payloads import (
    CUSTOMER,
    INBOUND,
    ORDER,
    REDACT,
    SECRETS,
    SHOP_SECRETS,
    SHOPIFY,
    STATUS,
    TWILIO_TOKENS,
    WOOCOMMERCE,
    body_of,
    shopify_headers,
    twilio_request,
    woo_headers,
)

TWILIO_PATH = "/webhooks/twilio/whatsapp"
TWILIO_URL = f"http://collector{TWILIO_PATH}"
CANARY = "canary@example.com"


def send_shopify(client: Client, body: bytes, topic: str, **how: str) -> httpx.Response:
    return client.post("/webhooks/shopify/shop", content=body, headers=shopify_headers(body, topic, **how))


@pytest.mark.parametrize("topic", SHOPIFY)
def test_shopifys_deliveries_go_into_the_log_as_they_came(client: Client, log: MemoryLog, topic: str) -> None:
    body = json.dumps(SHOPIFY[topic], indent=1).encode()
    answer = send_shopify(client, body, topic)
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    [entry] = log.entries
    assert (entry.kind, entry.source, entry.body) == ("shopify", "shop", body)
    told = {"topic": topic, "delivery": "d-1", "shop": "shop.example"}
    assert told.items() <= dict(entry.facts).items()
    assert not any(secret in str(entry.facts) for secret in SHOP_SECRETS)


@pytest.mark.parametrize("secret", SHOP_SECRETS)
def test_both_secrets_of_a_rotation_sign(client: Client, log: MemoryLog, secret: str) -> None:
    assert send_shopify(client, body_of(ORDER), "orders/create", secret=secret).status_code == 200
    assert len(log.entries) == 1


@pytest.mark.parametrize("topic", WOOCOMMERCE)
def test_woocommerces_deliveries_go_into_the_log_as_they_came(client: Client, log: MemoryLog, topic: str) -> None:
    body = body_of(WOOCOMMERCE[topic])
    answer = client.post("/webhooks/woocommerce/woo", content=body, headers=woo_headers(body, topic))
    assert answer.status_code == 200
    [entry] = log.entries
    assert (entry.kind, entry.source, entry.body, entry.facts["topic"]) == ("woocommerce", "woo", body, topic)


def test_the_ping_of_a_new_woocommerce_webhook_is_answered_200_and_changes_nothing(
    client: Client, log: MemoryLog
) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert client.post("/webhooks/woocommerce/woo", content=b"webhook_id=15", headers=form).status_code == 200
    assert client.post("/webhooks/woocommerce/nobody", content=b"webhook_id=15", headers=form).status_code == 401
    assert client.post("/webhooks/woocommerce/woo", content=b"webhook_id=15&x=1", headers=form).status_code == 401
    assert log.entries == []


def test_a_message_is_answered_with_no_reply_and_a_status_with_nothing(client: Client, log: MemoryLog) -> None:
    body, headers = twilio_request(TWILIO_URL, INBOUND)
    answer = client.post(TWILIO_PATH, content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert answer.text == '<?xml version="1.0" encoding="UTF-8"?><Response></Response>'
    body, headers = twilio_request(TWILIO_URL, STATUS)
    answer = client.post(TWILIO_PATH, content=body, headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert [entry.kind for entry in log.entries] == ["twilio", "twilio"]


def test_the_query_and_the_port_of_the_url_are_signed_too(client: Client, log: MemoryLog) -> None:
    body, headers = twilio_request(f"{TWILIO_URL}?store=5&x=%C3%A9", INBOUND)
    assert client.post(f"{TWILIO_PATH}?store=5&x=%C3%A9", content=body, headers=headers).status_code == 200
    assert client.post(f"{TWILIO_PATH}?store=6&x=%C3%A9", content=body, headers=headers).status_code == 401
    assert client.post(TWILIO_PATH, content=body, headers=headers).status_code == 401
    body, headers = twilio_request(TWILIO_URL.replace("collector", "collector:80"), INBOUND)
    assert client.post(TWILIO_PATH, content=body, headers=headers).status_code == 200
    assert len(log.entries) == 2


def test_what_a_proxy_says_of_the_url_counts_only_from_a_trusted_one(client: Client, log: MemoryLog) -> None:
    """T8."""
    body, headers = twilio_request(f"https://shop.example{TWILIO_PATH}", INBOUND)
    headers |= {"x-forwarded-proto": "https", "x-forwarded-host": "shop.example"}
    assert client.post(TWILIO_PATH, content=body, headers=headers).status_code == 401
    proxies = (ip_network("203.0.113.0/24"),)
    settings = CollectorSettings(keys=Keys(), webhook_secrets=SECRETS, trusted_proxies=proxies)
    behind = Client(create_app(settings, log))
    assert behind.post(TWILIO_PATH, content=body, headers=headers).status_code == 200
    assert behind.post(TWILIO_PATH, content=body, headers=headers | {"x-forwarded-proto": "http"}).status_code == 401
    behind.close()
    assert len(log.entries) == 1


def test_a_host_that_is_none_is_no_mistake_of_ours(client: Client, log: MemoryLog) -> None:
    body, headers = twilio_request(TWILIO_URL, INBOUND)
    for host in ("[", "[::1", "a:b:c", ":99999", ""):
        assert client.post(TWILIO_PATH, content=body, headers=headers | {"host": host}).status_code in (400, 401)
    assert log.entries == []


def test_webhooks_count_as_events_and_are_never_asked_to_wait(log: MemoryLog) -> None:
    settings = CollectorSettings(keys=Keys(), webhook_secrets=SECRETS, limits=Limits(events_per_second=1))
    limited = Client(create_app(settings, log))
    body, headers = twilio_request(TWILIO_URL, INBOUND)
    assert [limited.post(TWILIO_PATH, content=body, headers=headers).status_code for _ in range(4)] == [200] * 4
    limited.close()


def test_a_topic_that_its_body_does_not_fit_is_refused_and_changes_nothing(client: Client, log: MemoryLog) -> None:
    """T5: a captured body under every other topic. What stays possible are the topics of its own family, which mean the same."""
    from ingestion.normalise.shopify import TOPICS

    for topic, document in SHOPIFY.items():
        for other, family in TOPICS.items():
            if family != TOPICS[topic]:
                answer = send_shopify(client, body_of(document), other)
                assert (answer.status_code, answer.json()["code"]) == (400, "unexpected_shape"), (topic, other)
    answer = send_shopify(client, body_of(CUSTOMER | {"shop_id": 1}), "customers/redact")
    assert answer.status_code == 400
    assert log.entries == []


@pytest.mark.parametrize(
    ("document", "topic", "code"),
    [
        (ORDER, "app/uninstalled", "unknown_topic"),
        (REDACT, "", "unexpected_shape"),
        ([ORDER], "orders/create", "unexpected_shape"),
    ],
    ids=["unknown", "privacy_without_topic", "list"],
)
def test_topics_that_mean_nothing_are_refused(
    client: Client, log: MemoryLog, document: Any, topic: str, code: str
) -> None:
    answer = send_shopify(client, body_of(document), topic)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert log.entries == []


def test_two_topics_are_none(client: Client, log: MemoryLog) -> None:
    body = body_of(ORDER)
    headers = [*shopify_headers(body, "orders/create").items(), ("Shopify-Topic", "orders/paid")]
    assert client.post("/webhooks/shopify/shop", content=body, headers=headers).status_code == 400
    assert log.entries == []


def test_broken_json_that_is_signed_is_refused(client: Client, log: MemoryLog) -> None:
    assert send_shopify(client, b'{"id":', "orders/create").status_code == 400
    assert log.entries == []


@pytest.mark.parametrize(("failure", "after"), [(LogFullError("full"), "10"), (LogUnavailableError("gone"), "2")])
def test_what_the_log_does_not_take_is_not_acknowledged(
    client: Client, log: MemoryLog, failure: Exception, after: str
) -> None:
    log.failure = failure  # type: ignore[assignment]
    answer = send_shopify(client, body_of(ORDER), "orders/create")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, after)
    body, headers = twilio_request(TWILIO_URL, INBOUND)
    assert client.post(TWILIO_PATH, content=body, headers=headers).status_code == 503


def test_too_much_and_gzip_are_refused_before_anything_is_read(client: Client, log: MemoryLog) -> None:
    body = b"{" + b" " * 2_000_001
    assert send_shopify(client, body, "orders/create").status_code == 413
    headers = shopify_headers(b"{}", "orders/create") | {"content-encoding": "gzip"}
    assert client.post("/webhooks/shopify/shop", content=b"{}", headers=headers).status_code == 415
    assert log.entries == []


def test_a_limit_of_events_does_not_turn_signed_webhooks_away(log: MemoryLog) -> None:
    """WooCommerce never sends again what was refused."""
    from ingestion.collector.settings import Limits

    limited = CollectorSettings(keys=Keys(), webhook_secrets=SECRETS, limits=Limits(events_per_second=0.001))
    client = Client(create_app(limited, log))
    assert [send_shopify(client, body_of(ORDER), "orders/create").status_code for _ in range(3)] == [200] * 3
    client.close()


def _hostile_signatures(good: str) -> list[list[bytes]]:
    """T1: what a signature header may hold, 62 ways."""
    signed = good.encode()
    return [
        *([signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :]] for at in range(len(signed))),
        *([signed[:length]] for length in range(0, len(signed), 4)),
        [],
        [b"\xff" * 44],
        [b"\x80\xfe" + signed],
        ["ü".encode() * 20],
        [signed + b"="],
        [signed.lower()],
        [signed.hex().encode()],
        [b"A" * 10_000],
        [signed, signed[::-1]],
        [b"sha256=" + signed],
        [b"'; drop table raw.events; --"],
    ]


@pytest.mark.parametrize("vendor", ["shopify", "woocommerce", "twilio"])
def test_five_hundred_bad_signatures_a_vendor_are_401_and_change_nothing(
    client: Client, log: MemoryLog, vendor: str
) -> None:
    document = body_of(ORDER | {"email": CANARY})
    if vendor == "twilio":
        source, name = "whatsapp", "x-twilio-signature"
        body, headers = twilio_request(TWILIO_URL, INBOUND | {"Body": CANARY})
    elif vendor == "shopify":
        source, name, body, headers = (
            "shop",
            "x-shopify-hmac-sha256",
            document,
            shopify_headers(document, "orders/create"),
        )
    else:
        source, name, body, headers = "woo", "x-wc-webhook-signature", document, woo_headers(document, "order.created")
    headers = {key.lower(): value for key, value in headers.items()}
    good = headers.pop(name)
    others = [(key.encode(), value.encode()) for key, value in headers.items()]
    name_ = name.encode()
    paths = [f"/webhooks/{vendor}/{each}" for each in (source, "blank", "unknown", "%FF%00", "a" * 500)]
    cases = [(paths[0], body, values) for values in _hostile_signatures(good)]
    cases += [(path, body, values) for path in paths[1:] for values in _hostile_signatures(good)]
    cases += [(path, body, [good.encode()]) for path in paths[1:]]
    # the right signature of another body: each of its bytes changed, cut or added
    step = max(1, len(body) // 200)
    for at in range(0, len(body), step):
        cases.append((paths[0], body[:at] + bytes([body[at] ^ 1]) + body[at + 1 :], [good.encode()]))
    cases += [
        (paths[0], body + b" ", [good.encode()]),
        (paths[0], body[:-1], [good.encode()]),
        (paths[0], b"", [good.encode()]),
    ]
    assert len(cases) >= 500
    for path, sent, values in cases:
        answer = client.post(path, content=sent, headers=[*others, *((name_, value) for value in values)])
        assert answer.status_code == 401, (path[:40], len(sent), values[:1] and values[0][:20])
        assert answer.json()["code"] == "invalid_signature" and CANARY not in answer.text
    assert log.entries == []


def test_another_sources_secret_does_not_sign(client: Client, log: MemoryLog) -> None:
    body = body_of(ORDER)
    headers = shopify_headers(body, "orders/create", secret=TWILIO_TOKENS[0])
    assert client.post("/webhooks/shopify/shop", content=body, headers=headers).status_code == 401
    assert client.post("/webhooks/shopify/whatsapp", content=body, headers=headers).status_code == 200
    assert [entry.source for entry in log.entries] == ["whatsapp"]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/v1/pos", {"receipt_id": "R-1"}),
        ("/v1/pos", [{"receipt_id": "R-1"}]),
        ("/v1/scan", {"qr_id": "poster-7"}),
        ("/v1/visit", {"store_id": "cologne", "email": CANARY}),
    ],
    ids=["receipt", "receipts", "scan", "visit"],
)
def test_stores_send_with_a_write_key(client: Client, log: MemoryLog, path: str, document: object) -> None:
    body = body_of(document)
    assert client.post(path, content=body, auth=(KEY, "")).status_code == 200
    [entry] = log.entries
    assert (entry.kind, entry.source, entry.body) == (path.rsplit("/", 1)[-1], "shop", body)
    assert client.post(path, content=body).status_code == 401
    assert client.post(path, content=body, auth=("wk_unknown", "")).status_code == 401
    assert len(log.entries) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/pos", b"{"),
        ("/v1/pos", b"7"),
        ("/v1/pos", b"\xff\xfe"),
        ("/v1/pos", b"[" * 100_000),
        ("/v1/scan", b"{}"),
        ("/v1/scan", json.dumps({"qr_id": {"x": CANARY}}).encode()),
        ("/v1/visit", json.dumps({"store_id": "s", "occurred_at": CANARY, "user_id": "u"}).encode()),
        ("/v1/visit", b'{"store_id": "s"}'),
    ],
    ids=["cut", "number", "not_utf8", "deep", "no_code", "object", "time", "nobody"],
)
def test_what_a_store_cannot_mean_is_400(client: Client, log: MemoryLog, path: str, body: bytes) -> None:
    answer = client.post(path, content=body, auth=(KEY, ""))
    assert answer.status_code == 400 and CANARY not in answer.text
    assert log.entries == []


def test_a_form_that_is_signed_and_no_message_is_400(client: Client, log: MemoryLog) -> None:
    body, headers = twilio_request(TWILIO_URL, {"CallSid": "CA1", "From": "+1", "To": "+2"})
    assert client.post(TWILIO_PATH, content=body, headers=headers).status_code == 400
    assert urlencode({"CallSid": "CA1", "From": "+1", "To": "+2"}).encode() == body and log.entries == []
