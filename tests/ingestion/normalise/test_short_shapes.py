"""The short routes and the pixel."""

import base64
import json

import pytest

from tests.ingestion.normalise.sent import identifiers, line_of, reason_of, received


def test_a_short_track_names_its_person_by_any_identifier() -> None:
    sent = {"event_type": "Order Completed", "properties": {"total": 5}, "occurred_at": "2026-02-01T10:00:00Z"}
    line = line_of(received("mini", sent | {"email": "ann@example.com"}, path="track"))
    assert (line["type"], line["event"], line["original_timestamp"]) == (
        "track",
        "Order Completed",
        "2026-02-01T10:00:00Z",
    )
    assert identifiers(line) == [("email", "ann@example.com")]
    assert (
        line["message_id"]
        == line_of(received("mini", sent | {"email": "ann@example.com"}, path="track"), "9-0")["message_id"]
    )
    assert reason_of(received("mini", sent, path="track")) == "no_id"
    assert reason_of(received("mini", {"user_id": "u"}, path="track")) == "missing_event_name"
    assert reason_of(received("mini", b"{", path="track")) == "broken_json"


def test_what_stands_beside_a_short_identify_is_a_trait() -> None:
    sent = {
        "user_id": 7,
        "phone": "0171",
        "city": "Jena",
        "traits": {"age": 3},
        "writeKey": "secret",
        "message_id": "m",
    }
    line = line_of(received("mini", sent, path="identify"))
    assert line["traits"] == {"phone": "0171", "city": "Jena", "age": 3}
    assert (line["type"], line["user_id"], line["message_id"], identifiers(line)) == (
        "identify",
        "7",
        "m",
        [("phone", "0171")],
    )


@pytest.mark.parametrize("style", ["properties.price=3&properties.a.b=x", "properties[price]=3&properties[a][b]=x"])
def test_a_pixels_parameters_are_the_events_members(style: str) -> None:
    query = f"event=Opened&userId=u1&{style}&writeKey=k"
    line = line_of(received("pixel", path="track", query=query, ip="192.0.2.7", user_agent="Mail/1"))
    assert (line["event"], line["properties"]) == ("Opened", {"price": "3", "a": {"b": "x"}})
    assert line["context"] == {"ip": "192.0.2.7", "userAgent": "Mail/1", "weft": {"id_origin": "minted"}}


def test_a_pixels_data_is_base64_of_the_call() -> None:
    call = {"userId": "u1", "event": "Opened?>", "messageId": "m1", "properties": {"subject": "ÿ>?"}}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        text = encode(json.dumps(call, ensure_ascii=False).encode()).decode()
        for data in (text, text.rstrip("=")):
            assert line_of(received("pixel", path="track", query=f"data={data}"))["properties"] == {"subject": "ÿ>?"}
    assert reason_of(received("pixel", path="track", query="data=%%%")) == "bad_value"
    assert reason_of(received("pixel", path="track", query="a=1&" * 1001)) == "unreadable"
    assert reason_of(received("pixel", path="page", query="properties={")) == "broken_json"
    assert line_of(received("pixel", path="page", query='userId=u&properties={"a":1}'))["properties"] == {"a": 1}
