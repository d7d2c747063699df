"""What messages, receipts, scans and visits become."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from ingestion.event_log import Received
from ingestion.normalise import part_bytes
from ingestion.normalise.source_settings import SOURCE_FILES, read_source_settings
from tests.ingestion.webhooks.payloads import INBOUND, RECEIVED_AT, STATUS, body_of, events, lines, normalised

RECEIPT: dict[str, Any] = {
    "receipt_id": "R-1",
    "type": "sale",
    "store_id": "cologne",
    "till_id": 3,
    "sold_at": "2026-02-20T12:00:00+01:00",
    "country": "DE",
    "city": "Köln",
    "currency": "EUR",
    "total": 23.8,
    "tax": 3.8,
    "payment_method": "card",
    "card_last4": "4242",
    "customer": {"loyalty_id": "L-9", "phone": "+4915112345678", "email": "ann@example.com"},
    "items": [{"product_id": "mug", "name": "Mug", "category": "Kitchen", "quantity": 2, "price": 11.9}],
}


def one(kind: str, body: bytes, **facts: str) -> dict[str, Any]:
    found = normalised(kind, body, source="till", **facts)
    assert not found.refused
    [event] = lines(found.events)
    return event


def test_a_message_is_the_customers_and_its_text_stays_in_the_payload() -> None:
    event = one("twilio", urlencode(INBOUND).encode())
    assert (event["event"], event["message_id"]) == ("Message Received", INBOUND["MessageSid"])
    assert event["identifiers"] == [{"type": "phone", "value": "+4915112345678"}]
    assert event["context"] == {"channel": "whatsapp"}
    assert event["properties"] == {
        "message_sid": INBOUND["MessageSid"], "body_length": 29, "business_number": "+14155238886"
    }  # fmt: skip
    assert event["traits"] == {"profile_name": "Ann"}
    assert event["payload"] == INBOUND and "occurred_at" not in event


def test_a_source_may_keep_texts_where_analysts_read_them(tmp_path: Path) -> None:
    SOURCE_FILES.folder = tmp_path
    (tmp_path / "till.yml").write_text("message_texts: true")
    assert one("twilio", urlencode(INBOUND).encode())["properties"]["text"] == INBOUND["Body"]


@pytest.mark.parametrize(("word", "consent"), [("STOP", False), ("START", True)])
def test_who_opts_out_by_message_has_refused(word: str, consent: bool) -> None:
    event = one("twilio", urlencode(INBOUND | {"OptOutType": word}).encode())
    assert event["consent"] == {"advertising": consent}


@pytest.mark.parametrize(
    ("status", "name"),
    [
        ("sent", "Message Sent"),
        ("delivered", "Message Delivered"),
        ("read", "Message Read"),
        ("failed", "Message Failed"),
        ("undelivered", "Message Failed"),
    ],
)
def test_a_status_is_of_the_customer_it_was_sent_to(status: str, name: str) -> None:
    event = one("twilio", urlencode(STATUS | {"MessageStatus": status}).encode())
    assert (event["event"], event["message_id"]) == (name, f"{STATUS['MessageSid']}:{status}")
    assert event["identifiers"] == [{"type": "phone", "value": "+4915112345678"}]


def test_a_status_on_the_way_is_no_event_and_an_sms_is_no_whatsapp() -> None:
    found = normalised("twilio", urlencode(STATUS | {"MessageStatus": "queued"}).encode())
    assert (found.events, found.refused) == (b"", ())
    event = one("twilio", urlencode(INBOUND | {"From": "+4915112345678"}).encode())
    assert event["context"] == {"channel": "sms"}


def test_a_receipt_is_an_order_and_its_card_no_identifier() -> None:
    event = one("pos", body_of(RECEIPT))
    assert (event["event"], event["occurred_at"]) == ("Order Completed", "2026-02-20T11:00:00Z")
    assert event["identifiers"] == [
        {"type": "loyalty_id", "value": "L-9"},
        {"type": "phone", "value": "+4915112345678"},
        {"type": "email", "value": "ann@example.com"},
    ]
    properties = event["properties"]
    assert (properties["revenue"], properties["total"], properties["card_last4"]) == (20.0, 23.8, "4242")
    assert event["context"] == {"channel": "pos", "location": {"country": "DE", "city": "Köln"}}
    assert event["payload"] == RECEIPT


def test_more_digits_of_a_card_than_four_are_never_shown() -> None:
    assert one("pos", body_of(RECEIPT | {"card_last4": "**** 1234 4242"}))["properties"]["card_last4"] == "4242"


def test_a_return_is_a_refund_of_the_receipt_it_names() -> None:
    back = RECEIPT | {"receipt_id": "R-2", "type": "RETURN", "original_receipt_id": "R-1", "total": -23.8, "tax": -3.8}
    event = one("pos", body_of(back))
    properties = event["properties"]
    assert (event["event"], properties["order_id"], properties["refund_id"]) == ("Order Refunded", "R-1", "R-2")
    assert (properties["revenue"], properties["products"][0]["quantity"]) == (20.0, 2)


def test_an_exchange_is_a_sale_and_a_refund_that_come_to_its_total() -> None:
    items = [
        {"product_id": "pot", "quantity": 1, "price": 29.75},
        {"product_id": "mug", "quantity": -1, "price": 11.9},
    ]
    found = normalised("pos", body_of(RECEIPT | {"items": items, "total": 17.85, "tax": 2.85}), source="till")
    sale, refund = lines(found.events)
    assert [sale["event"], refund["event"]] == ["Order Completed", "Order Refunded"]
    assert (sale["properties"]["revenue"], refund["properties"]["revenue"]) == (25.0, 10.0)
    assert refund["properties"]["products"][0] == {"product_id": "mug", "price": 11.9, "quantity": 1, "discount": 0}


def test_a_void_takes_the_receipt_back() -> None:
    event = one("pos", body_of(RECEIPT | {"type": "void"}))
    assert (event["event"], event["properties"]["order_id"]) == ("Order Cancelled", "R-1")


def test_the_same_receipt_is_the_same_event_and_a_corrected_one_is_newer() -> None:
    first = one("pos", body_of(RECEIPT))
    assert one("pos", body_of({"receipts": [RECEIPT]}))["message_id"] == first["message_id"]
    corrected = RECEIPT | {"total": 11.9, "tax": 1.9, "corrected_at": "2026-02-21T09:00:00+01:00"}
    placed, update = lines(normalised("pos", body_of(corrected), source="till").events)
    assert (placed["occurred_at"], update["event"]) == (first["occurred_at"], "Order Updated")
    assert update["occurred_at"] == "2026-02-21T08:00:00Z"


def test_a_list_of_receipts_is_taken_apart_and_a_bad_one_keeps_its_bytes() -> None:
    body = json.dumps([RECEIPT, {"receipt_id": "R-3"}, 7, RECEIPT | {"receipt_id": "R-4"}]).encode()
    found = normalised("pos", body, source="till")
    assert [event["part"] for event in lines(found.events)] == [0, 3]
    assert [(refused.index, refused.reason) for refused in found.refused] == [
        (1, "bad_timestamp"),
        (2, "not_an_object"),
    ]
    assert part_bytes(Received("pos", "till", RECEIVED_AT, body), 1) == b'{"receipt_id": "R-3"}'


MAPPING = """
pos:
  receipts: export.slips
  fields:
    receipt_id: [branch, slip_no]
    sold_at: meta.time
    kind: meta.kind
    total: sums.gross
    tax: sums.vat
    loyalty_id: club
    card_last4: payments.0.card
  items: positions
  item_fields: {product_id: ean, quantity: pieces, price: unit}
  returns: [storno]
  currency: EUR
"""


def test_a_mapping_names_where_a_till_says_what_and_is_read_again_when_it_changes(tmp_path: Path) -> None:
    SOURCE_FILES.folder = tmp_path
    slip = {
        "branch": "K1", "slip_no": 17, "meta": {"time": "2026-02-20T12:00:00Z", "kind": "sale"}, "club": 99,
        "sums": {"gross": "11.90", "vat": "1.90"}, "payments": [{"card": "4242"}],
        "positions": [{"ean": "400", "pieces": 1, "unit": "11.90"}],
    }  # fmt: skip
    body = body_of({"export": {"slips": [slip]}})
    assert normalised("pos", body, source="till").refused[0].reason == "missing_key"
    (tmp_path / "till.yml").write_text(MAPPING)
    event = one("pos", body)
    properties = event["properties"]
    assert (properties["order_id"], properties["revenue"], properties["currency"]) == ("K1-17", 10.0, "EUR")
    assert (properties["card_last4"], event["identifiers"]) == ("4242", [{"type": "loyalty_id", "value": "99"}])
    assert properties["products"] == [{"product_id": "400", "price": 11.9, "quantity": 1, "discount": 0}]
    (tmp_path / "till.yml").write_text(MAPPING.replace("storno", "sale"))
    assert one("pos", body)["event"] == "Order Refunded"


def test_a_scan_says_which_code_where_and_by_whom() -> None:
    scan = {
        "qr_id": "poster-7", "store_id": "cologne", "campaign": "spring", "occurred_at": "2026-02-20T12:00:00Z",
        "anonymous_id": "cookie-1", "email": "ann@example.com", "location": {"country": "DE", "latitude": 50.9},
    }  # fmt: skip
    event = one("scan", body_of(scan))
    assert (event["event"], event["anonymous_id"]) == ("QR Code Scanned", "cookie-1")
    assert event["original_timestamp"] == "2026-02-20T12:00:00Z"
    assert event["properties"] == {"qr_id": "poster-7", "store_id": "cologne"}
    assert event["context"] == {
        "channel": "qr",
        "location": {"country": "DE", "latitude": 50.9},
        "campaign": {"source": "qr", "medium": "offline", "name": "spring"},
    }
    assert {"type": "qr_id", "value": "poster-7"} in event["identifiers"]
    assert one("scan", body_of(scan))["message_id"] == event["message_id"]


def test_a_visit_names_a_store_and_somebody() -> None:
    event = one("visit", body_of({"store_id": 5, "loyalty_id": 77, "seconds": 600, "message_id": "v-1"}))
    assert (event["event"], event["message_id"]) == ("Store Visited", "v-1")
    assert (event["properties"], event["context"]) == ({"store_id": "5", "seconds": 600}, {"channel": "store"})


@pytest.mark.parametrize(
    ("kind", "body", "reason"),
    [
        ("scan", {}, "bad_value"),
        ("scan", {"qr_id": " "}, "missing_key"),
        ("scan", {"qr_id": "q", "occurred_at": "noon"}, "bad_timestamp"),
        ("scan", {"qr_id": "q", "email": {"secret@example.com": 1}}, "bad_value"),
        ("scan", [], "bad_value"),
        ("visit", {"store_id": "s"}, "no_id"),
        ("visit", {"store_id": "s", "user_id": "u", "consent": {"advertising": "yes"}}, "bad_value"),
    ],
    ids=["empty", "blank", "time", "object", "list", "nobody", "consent"],
)
def test_what_is_not_of_its_form_is_refused_without_its_values(kind: str, body: object, reason: str) -> None:
    [refused] = normalised(kind, body_of(body)).refused
    assert refused.reason == reason and "secret" not in refused.detail and "noon" not in refused.detail


def test_nothing_else_is_lost_of_a_request_of_a_list_that_is_none() -> None:
    assert events("pos", [], source="till") == []


def test_the_page_shows_a_receipt_and_settings_that_work(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "webhooks.md").read_text(encoding="utf-8")
    blocks = dict(re.findall(r"```(json|yaml)\n(.*?)```", page, re.DOTALL))
    receipt = one("pos", blocks["json"].encode())
    assert (receipt["event"], receipt["properties"]["revenue"]) == ("Order Completed", 20.0)
    (tmp_path / "till.yml").write_text(blocks["yaml"], encoding="utf-8")
    assert read_source_settings(tmp_path / "till.yml").pos.fields.receipt_id == ("branch", "slip_no")
