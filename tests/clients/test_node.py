"""Segment's library for Node.js, unmodified: every event that it was told of is in the warehouse once."""

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.clients.faults import LoseAnswer, Refuse, bad_day
from tests.clients.installation import Installation, installed
from tests.clients.node_packages import installed_packages, node
from tests.clients.told import IN_JAVASCRIPT, Told, is_there_once

EARLIER = "2026-02-03T04:05:06.789-05:00"
SCRIPT = Path(__file__).with_name("node_client.cjs")
PATIENCE = 90


@pytest.fixture(scope="module")
def packages() -> Path:
    return installed_packages()


@pytest.fixture(scope="module")
def weft(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("weft"), "plain", "bad-day") as installation:
        yield installation


def tell(packages: Path, host: str, write_key: str, calls: list[tuple[str, dict[str, Any]]], **settings: Any) -> None:
    """Have the library make these calls; nothing may be given up."""
    told = {"packages": str(packages), "host": host, "writeKey": write_key, "settings": settings, "calls": calls}
    done = subprocess.run(
        [node(), str(SCRIPT)], input=json.dumps(told), capture_output=True, text=True, check=True, timeout=PATIENCE
    )
    # Debian's Node.js 18 warns there of its own fetch
    assert [line for line in done.stderr.splitlines() if line.startswith("given up:")] == []


def test_all_calls_with_all_that_they_take(weft: Installation, packages: Path) -> None:
    ids = [str(uuid4()) for _ in range(8)]
    traits = {"email": "Ann@Example.com", "age": 30, "address": {"city": "Köln"}, "vip": False}
    context = {"ip": "203.0.113.7", "campaign": {"name": "may"}, "active": True}
    company = {"name": "ACME", "email": "office@example.com"}
    half = {"cut": "half an emoji \ud83d"}
    both = {"userId": "u-1", "anonymousId": "a-1"}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("identify", {**both, "traits": traits, "context": context, "timestamp": EARLIER}),
        ("track", {"userId": "u-1", "event": "Änderung 😀", "properties": IN_JAVASCRIPT}),
        ("track", {"anonymousId": "a-2", "event": "Cut", "properties": half}),
        (
            "page",
            {"userId": "u-1", "category": "Docs", "name": "Home", "properties": {"url": "https://shop.example/?a=b#c"}},
        ),
        ("screen", {"userId": "u-1", "category": "Shop", "name": "Cart"}),
        ("group", {"userId": "u-1", "groupId": "g-1", "traits": company}),
        ("alias", {"userId": "u-1", "previousId": "a-1"}),
        ("track", {"userId": "u-1", "event": "Without properties"}),
    ]
    tell(
        packages,
        weft.url,
        weft.keys["plain"],
        [(method, {**params, "messageId": id_}) for (method, params), id_ in zip(calls, ids, strict=True)],
    )
    weft.land()
    home = {"url": "https://shop.example/?a=b#c", "category": "Docs"}
    is_there_once(
        [
            Told(ids[0], "identify", None, "u-1", "a-1", {}, traits, context, datetime.fromisoformat(EARLIER)),
            Told(ids[1], "track", "Änderung 😀", "u-1", properties=IN_JAVASCRIPT),
            Told(ids[2], "track", "Cut", None, "a-2", {"cut": "half an emoji \ufffd"}),
            Told(ids[3], "page", "Home", "u-1", properties=home),
            Told(ids[4], "screen", "Cart", "u-1", properties={"category": "Shop"}),
            Told(ids[5], "group", None, "u-1", properties={"group_id": "g-1", "traits": company}),
            Told(ids[6], "alias", None, "u-1", "a-1", {"previous_id": "a-1"}),
            Told(ids[7], "track", "Without properties", "u-1"),
        ],
        weft.events("plain"),
    )


def test_a_busy_collector_and_answers_that_get_lost(weft: Installation, packages: Path) -> None:
    ids = [str(uuid4()) for _ in range(40)]
    clicked = [
        ("track", {"userId": "u-1", "event": "Clicked", "properties": {"number": n}, "messageId": id_})
        for n, id_ in enumerate(ids)
    ]
    with bad_day(weft.port, LoseAnswer(), None, Refuse(503), Refuse(429, retry_after=1), LoseAnswer()) as day:
        tell(packages, f"http://127.0.0.1:{day.port}", weft.keys["bad-day"], clicked, flushAt=10)
    assert day.left == []
    reports = weft.land()
    told = [Told(id_, "track", "Clicked", "u-1", properties={"number": number}) for number, id_ in enumerate(ids)]
    is_there_once(told, weft.events("bad-day"))
    assert sum(report.duplicates for report in reports) == 20
    assert sum(report.conflicts for report in reports) == 0
