"""Segment calls over HTTP: what the SDKs may send, member by member."""

import gzip
import json
from typing import Any

import pytest

from ingestion.normalise import normalise, part_bytes
from tests.ingestion.normalise.sent import NOON, identifiers, line_of, lines_of, reason_of, received

TRACK = {"type": "track", "event": "Product Viewed", "userId": "u1", "messageId": "m1"}


def batch(*calls: Any, **shared: Any) -> dict[str, Any]:
    return {"batch": list(calls), "sentAt": "2026-02-02T02:39:59Z"} | shared


def call(**changes: Any) -> dict[str, Any]:
    return line_of(received("segment", TRACK | changes, path="track"))


@pytest.mark.parametrize(
    "path", ["identify", "track", "page", "screen", "group", "alias", "i", "t", "p", "s", "g", "a"]
)
def test_the_path_says_which_call_it_is(path: str) -> None:
    body = {"userId": "u1", "event": "Opened", "groupId": "g1", "previousId": "a0"}
    assert line_of(received("segment", body, path=path))["type"].startswith(path)


def test_a_batch_shares_its_context_integrations_and_time_of_sending() -> None:
    first, second = {"messageId": "1", "context": {"locale": "de"}}, {"messageId": "2", "integrations": {"Slack": True}}
    sent = batch(
        TRACK | first, TRACK | second, context={"locale": "en", "app": {"name": "x"}}, integrations={"All": False}
    )
    lines = lines_of(normalise(received("segment", sent, path="batch"), "5-0"))
    assert [(line["part"], line["entry"], line["sent_at"], line["received_at"]) for line in lines] == [
        (0, "5-0", "2026-02-02T02:39:59Z", NOON),
        (1, "5-0", "2026-02-02T02:39:59Z", NOON),
    ]
    assert lines[0]["context"] == {"locale": "de", "app": {"name": "x"}, "integrations": {"All": False}}
    assert lines[1]["context"]["integrations"] == {"All": False, "Slack": True}


def test_ids_are_texts_and_blank_ones_are_none() -> None:
    line = call(userId=42, anonymousId=None)
    assert (line["user_id"], line.get("anonymous_id")) == ("42", None)
    assert call(userId=" ", user_id=7)["user_id"] == "7"
    assert reason_of(received("segment", TRACK | {"userId": "\0 "}, path="track")) == "no_id"


def test_traits_of_the_person_may_stand_in_the_context() -> None:
    line = call(context={"traits": {"email": "ann@example.com", "phone": None}})
    assert (line["traits"], identifiers(line)) == (
        {"email": "ann@example.com", "phone": None},
        [("email", "ann@example.com")],
    )


def test_identifiers_of_device_and_external_ids_are_promoted_once() -> None:
    external = [
        {"id": "d-1", "type": "ios.id", "collection": "users", "encoding": "none"},
        {"id": 12, "type": "loyaltyId"},
        {"id": "u9", "type": "user_id"},
        {"id": "acme", "type": "group_id", "collection": "accounts"},
        {"id": {}, "type": "email"},
        "nonsense",
    ]
    device = {"id": "d-1", "advertisingId": "ad-1", "adTrackingEnabled": True}
    line = call(properties={"email": "ann@example.com"}, context={"device": device, "externalIds": external})
    assert identifiers(line) == [
        ("email", "ann@example.com"),
        ("device_id", "d-1"),
        ("device_id", "ad-1"),
        ("loyalty_id", "12"),
    ]


def test_global_privacy_control_refuses_advertising_and_sharing() -> None:
    allowed = {"consent": {"categoryPreferences": {"Advertising": True, "Analytics": True}}}
    sent = received("segment", TRACK | {"context": allowed}, path="track", gpc="1")
    assert line_of(sent)["consent"] == {
        "analytics": True,
        "personalisation": False,
        "advertising": False,
        "sharing": False,
    }
    assert line_of(received("segment", TRACK, path="t", gpc="1"))["consent"] == {"advertising": False, "sharing": False}
    assert "consent" not in call()


def test_address_and_browser_are_the_persons_only_where_the_person_sent_it() -> None:
    seen = {"ip": "192.0.2.7", "user_agent": "Browser/1"}
    server = line_of(received("segment", TRACK, path="track", **seen))
    assert "context" not in server
    from_page = line_of(received("segment", TRACK, path="t", origin="https://shop.example", **seen))
    assert from_page["context"] == {"ip": "192.0.2.7", "userAgent": "Browser/1"}
    library = {"library": {"name": "analytics.js"}, "ip": "198.51.100.1"}
    from_sdk = line_of(received("segment", TRACK | {"context": library}, path="t", **seen))
    assert (from_sdk["context"]["ip"], from_sdk["context"]["userAgent"]) == ("198.51.100.1", "Browser/1")


def test_the_senders_time_is_corrected_later_unless_the_sender_corrected_it() -> None:
    both = call(timestamp="2026-02-01T00:00:00Z", originalTimestamp="2026-02-01T00:00:09Z")
    assert (both["original_timestamp"], both["occurred_at"]) == ("2026-02-01T00:00:09Z", "2026-02-01T00:00:00Z")
    once = call(timestamp="2026-02-01T00:00:00Z")
    assert (once["original_timestamp"], once.get("occurred_at")) == ("2026-02-01T00:00:00Z", None)
    assert call(timestamp=1_770_000_000_123)["original_timestamp"] == NOON
    assert reason_of(received("segment", TRACK | {"timestamp": {}}, path="track")) == "bad_timestamp"


def test_a_call_without_an_id_gets_one_that_its_retry_gets_too() -> None:
    timed = {name: value for name, value in TRACK.items() if name != "messageId"} | {
        "timestamp": "2026-02-01T00:00:00Z"
    }
    first = line_of(received("segment", timed | {"sentAt": "2026-02-01T00:00:01Z"}, path="track"), "5-0")
    again = line_of(received("segment", batch(timed), path="batch"), "6-0")
    assert first["message_id"] == again["message_id"] and "context" not in first
    del timed["timestamp"]
    minted = line_of(received("segment", timed, path="track"), "5-0")
    other = line_of(received("segment", timed, path="track"), "6-0")
    assert minted["message_id"] != other["message_id"]
    assert minted["context"] == {"weft": {"id_origin": "minted"}}


def test_a_bad_member_is_refused_alone_with_its_bytes() -> None:
    bad: list[tuple[Any, str]] = [
        ("text", "not_an_object"),
        (TRACK | {"event": None}, "missing_event_name"),
        (TRACK | {"type": "click"}, "unknown_type"),
        (TRACK | {"userId": None}, "no_id"),
        (TRACK | {"messageId": "m" * 101}, "message_id_too_long"),
        (TRACK | {"properties": "text"}, "not_an_object"),
        (TRACK | {"userId": {"id": 1}}, "bad_value"),
        (TRACK | {"properties": {"text": "x" * 33_000}}, "oversize"),
        (TRACK | {"properties": {"deep": json.loads("[" * 70 + "]" * 70)}}, "too_deep"),
        ({"type": "alias", "userId": "u"}, "no_id"),
        ({"type": "group", "userId": "u"}, "no_id"),
    ]
    request = received("segment", batch(TRACK, *(member for member, _ in bad), TRACK), path="batch")
    normalized = normalise(request, "5-0")
    assert [line["part"] for line in lines_of(normalized)] == [0, len(bad) + 1]
    assert [(refused.index, refused.reason) for refused in normalized.refused] == [
        (index, reason) for index, (_, reason) in enumerate(bad, start=1)
    ]
    for refused in normalized.refused:
        assert json.loads(part_bytes(request, refused.index)) == bad[refused.index - 1][0]
        assert refused.detail.endswith(".")
    assert normalized.counts["shop|events"] == 2 and normalized.counts["shop|no_id"] == 3


def test_bytes_that_are_not_utf8_and_numbers_without_end_refuse_their_member_alone() -> None:
    good = json.dumps(TRACK).encode()
    huge = b'{"type":"track","event":"X","userId":"u","properties":{"n":' + b"9" * 5000 + b"}}"
    far = b'{"type":"track","event":"X","userId":"u","properties":{"n":1e999}}'
    body = b'{"batch":[' + b",".join([good, b'{"event":"\xff"}', huge, far, good]) + b"]}"
    normalized = normalise(received("segment", body, path="batch"), "5-0")
    assert [refused.reason for refused in normalized.refused] == ["not_utf8", "bad_number", "bad_number"]
    assert len(lines_of(normalized)) == 2


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_python_writes_for_no_number_refuses_its_call_alone(number: str) -> None:
    calls = [TRACK | {"properties": {"n": value}} for value in (f'a "{number}" in a text\\', float(number), 1.5)]
    normalized = normalise(received("segment", json.dumps(batch(*calls)).encode(), path="batch"), "5-0")
    assert [(refused.index, refused.reason) for refused in normalized.refused] == [(1, "bad_number")]
    assert [line["properties"]["n"] for line in lines_of(normalized)] == [calls[0]["properties"]["n"], 1.5]


def test_half_an_emoji_becomes_a_replacement_character() -> None:
    body = json.dumps(batch(TRACK | {"properties": {"cut": "\ud83d", "whole": "\U0001f600"}})).encode()
    assert line_of(received("segment", body, path="batch"))["properties"] == {"cut": "\ufffd", "whole": "\U0001f600"}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "broken_json"),
        (b"{", "broken_json"),
        (b'{"batch":[{"a":nan}]}', "broken_json"),
        (b"[1]", "not_an_object"),
        (b'{"batch":5}', "not_an_object"),
        (b'{"batch":[' + b"{}," * 2500 + b"{}]}", "batch_too_large"),
        (b'{"batch":[' + b"[" * 100_000, "too_deep"),
        (b'{"batch":[{}],"context":{"a":"' + b"x" * 33_000 + b'"}}', "oversize"),
    ],
    ids=["empty", "half", "nan", "list", "number", "many", "deep", "context"],
)
def test_a_body_that_cannot_be_taken_apart_is_refused_whole(body: bytes, reason: str) -> None:
    request = received("segment", body, path="batch")
    assert reason_of(request) == reason
    assert part_bytes(request, 0) == body


def test_a_call_sent_again_by_itself_as_a_batch_is_read() -> None:
    assert line_of(received("segment", TRACK, path="batch"))["event"] == "Product Viewed"


def test_gzip_is_read_and_a_bomb_is_not() -> None:
    packed = gzip.compress(json.dumps(batch(TRACK)).encode())
    request = received("segment", packed, path="batch", encoding="gzip")
    assert line_of(request)["message_id"] == "m1" and json.loads(part_bytes(request, 0)) == TRACK
    for body, reason in [
        (packed[:-9], "unreadable"),
        (b"plain", "unreadable"),
        (gzip.compress(b" " * 9_000_000), "oversize"),
    ]:
        broken = received("segment", body, path="batch", encoding="gzip")
        assert reason_of(broken) == reason and part_bytes(broken, 0) == body


def test_what_a_batch_repeats_in_each_call_is_bounded() -> None:
    calls = [{"type": "track", "event": "X", "userId": "u", "messageId": str(number)} for number in range(500)]
    sent = batch(*calls, context={"text": "x" * 32_000})
    normalized = normalise(received("segment", sent, path="batch"), "5-0")
    assert len(normalized.events) < 8 << 20
    assert {refused.reason for refused in normalized.refused} == {"oversize"}
    assert len(lines_of(normalized)) + len(normalized.refused) == len(calls)
