"""The same Segment call becomes the same envelope, whether it comes in a file or over HTTP."""

import json
from pathlib import Path
from typing import Any

import duckdb

from ingestion.event_log import Received
from ingestion.normalise import normalise
from orchestration.landing import land_file
from tests.ingestion.landings import LANDED_AT, ndjson

AT = "2026-02-01T10:00:00Z"
IDS = {"userId": "u1", "anonymousId": "a1"}
PERSON = {
    "email": "ann@example.com",
    "phone": "+49 171 1",
    "loyaltyId": "L-1",
    "address": {"city": "Jena"},
    "age": None,
}
DEVICE = {"id": "d-1", "type": "ios", "advertisingId": "ad-1", "adTrackingEnabled": False}
CONTEXT = {"campaign": {"source": "news"}, "traits": PERSON, "device": DEVICE}
CALLS: list[dict[str, Any]] = [
    {"type": "identify", "traits": PERSON},
    {"type": "identify", "context": CONTEXT},
    {
        "type": "track",
        "event": "Product Added",
        "properties": {"email": "bob@example.com", "phone": 4917, "price": 19.9},
    },
    {"type": "track", "event": "Opened", "context": {"device": {"advertisingId": "ad-2", "adTrackingEnabled": True}}},
    {"type": "page", "name": "Home", "category": "Docs", "properties": {"url": "https://shop.example"}},
    {"type": "page", "category": "Docs", "properties": {"category": "own"}},
    {"type": "screen", "name": "Cart"},
    {"type": "group", "groupId": "g1", "traits": {"email": "office@example.com", "name": "ACME"}, "context": CONTEXT},
    {"type": "group", "groupId": 7, "properties": {"plan": "big"}},
    {"type": "alias", "previousId": "old", "anonymousId": None},
    {"type": "alias", "previousId": "old"},
    {"type": "Track", "event": "Upper", "properties": {}},
]
PREFERENCES: list[Any] = [
    {},
    {"Advertising": True, "Analytics": True, "Functional": True, "DataSharing": True},
    {"advertising": False, "Analytics": True},
    {"Personalization": True, "Something else": True},
    {"C0002": True, "C0003": False, "C0004": True, "sale of data": True},
    {"Marketing": "true", "Analytics": 1},
    {"Adverts": True, "Non-Analytics": True},
    ["Advertising"],
    None,
]
COMPARED = (
    "type", "event", "message_id", "user_id", "anonymous_id", "identifiers", "properties", "traits", "context", "consent",
)  # fmt: skip


def _over_http(calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    body = json.dumps({"batch": calls, "sentAt": AT}).encode()
    lines = normalise(Received("segment", "segment", 1_770_000_000_000, body, {"path": "batch"}), "1-0").events
    empty: dict[str, Any] = {"identifiers": [], "properties": {}, "traits": {}, "context": {}}
    return [{name: (empty | line).get(name) for name in COMPARED} for line in map(json.loads, lines.splitlines())]


def _from_file(folder: Path, calls: list[dict[str, Any]]) -> list[dict[str, Any]]:
    (folder / "calls.ndjson").write_bytes(ndjson(*calls))
    connection = duckdb.connect()
    land_file(connection, path=folder / "calls.ndjson", mapping="segment", landed_at=LANDED_AT)
    rows = connection.execute(f"select {', '.join(COMPARED)} from raw.events order by landed_seq").fetchall()
    plain = {name: index for index, name in enumerate(COMPARED[:5])}
    return [
        {
            name: value if name in plain or value is None else json.loads(value)
            for name, value in zip(COMPARED, row, strict=True)
        }
        for row in rows
    ]


def test_every_kind_of_call_and_of_preferences(tmp_path: Path) -> None:
    calls = [IDS | {"messageId": f"m{number}", "timestamp": AT} | call for number, call in enumerate(CALLS)]
    calls += [
        IDS | {"messageId": f"c{number}", "timestamp": AT, "type": "identify"}
        | {"context": {"consent": {"categoryPreferences": preferences}}}
        for number, preferences in enumerate(PREFERENCES)
    ]  # fmt: skip
    landed = _from_file(tmp_path, calls)
    assert len(landed) == len(calls)
    for over_http, from_file in zip(_over_http(calls), landed, strict=True):
        assert over_http == from_file
    allowed = [row["consent"] and {purpose for purpose, yes in row["consent"].items() if yes} for row in landed]
    everything = {"analytics", "personalisation", "advertising", "sharing"}
    assert allowed[-len(PREFERENCES) :] == [
        set(), everything, {"analytics"}, {"personalisation"}, {"analytics", "advertising", "sharing"}, set(), set(), None, None,
    ]  # fmt: skip


def test_what_is_broken_in_a_call_that_is_put_together_refuses_that_call_alone(tmp_path: Path) -> None:
    good = IDS | {"messageId": "good", "timestamp": AT, "type": "group", "groupId": "g"}
    bad = [
        b'{"messageId":"%d","type":"group","groupId":"g","timestamp":"2026-02-01","userId":"u",%s}' % (number, broken)
        for number, broken in enumerate(
            [b'"properties":{"a":NaN}', b'"properties":[1]', b'"traits":{"a":[1,]}', b'"traits":5']
        )
    ]
    (tmp_path / "groups.ndjson").write_bytes(ndjson(*bad, good))
    connection = duckdb.connect()
    report = land_file(connection, path=tmp_path / "groups.ndjson", mapping="segment", landed_at=LANDED_AT)
    assert report.rows_read == len(bad) + 1
    assert connection.execute("select count(*) from raw.events where message_id = 'good'").fetchone() == (1,)
