"""The Python libraries of Segment, RudderStack and Snowplow, unmodified: every event that they were told of is in the warehouse once."""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from tests.clients.faults import LoseAnswer, Refuse, bad_day
from tests.clients.installation import Installation, installed
from tests.clients.told import DIFFICULT, Told, is_there_once

LIBRARIES = {"segment": "segment.analytics.client", "rudder": "rudderstack.analytics.client"}
WAYS = ("plain", "gzip", "bad-day", "full-batches")
EARLIER = datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=timezone(timedelta(hours=-5)))


@pytest.fixture(scope="module")
def weft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(
        tmp_path_factory.mktemp("weft"), *(f"{name}-{way}" for name in LIBRARIES for way in WAYS)
    ) as installation:
        yield installation


def every_call(client: Any) -> list[Told]:
    """Make each of the six calls, with all that they take; what was told."""
    context = {"ip": "203.0.113.7", "campaign": {"name": "may", "source": "mail"}, "consent": {}, "active": True}
    told: list[Told] = []

    def tell(answer: tuple[bool, dict[str, Any]], type_: str, user_id: str | None = "u-1", **what: Any) -> None:
        was_queued, message = answer
        assert was_queued
        at = what.pop("timestamp", None) or datetime.fromisoformat(message["timestamp"])
        told.append(Told(message["messageId"], type_, user_id=user_id, timestamp=at, **what))

    traits = {"email": "Ann@Example.com", "age": 30, "address": {"city": "Köln"}, "vip": False}
    tell(
        client.identify("u-1", traits, context=dict(context), anonymous_id="a-1", timestamp=EARLIER),
        "identify",
        anonymous_id="a-1",
        traits=traits,
        context=context,
        timestamp=EARLIER,
    )
    tell(client.track("u-1", "Änderung 😀", DIFFICULT), "track", event="Änderung 😀", properties=DIFFICULT)
    tell(
        client.track(
            anonymous_id="a-2", event="Order Completed", properties={"total": Decimal("19.90"), "at": EARLIER}
        ),
        "track",
        None,
        anonymous_id="a-2",
        event="Order Completed",
        properties={"total": 19.9, "at": EARLIER.isoformat()},
    )
    tell(client.track(4711, "Counted", {}), "track", "4711", event="Counted")
    tell(
        client.page("u-1", "Docs", "Home", {"url": "https://shop.example/?a=b#c"}),
        "page",
        event="Home",
        properties={"category": "Docs", "url": "https://shop.example/?a=b#c"},
    )
    tell(client.screen("u-1", "Shop", "Cart"), "screen", event="Cart", properties={"category": "Shop"})
    company = {"name": "ACME", "email": "office@example.com"}
    tell(client.group("u-1", "g-1", company), "group", properties={"group_id": "g-1", "traits": company})
    tell(client.alias("a-1", "u-1"), "alias", anonymous_id="a-1", properties={"previous_id": "a-1"})
    return told


@pytest.mark.parametrize("gzip", [False, True])
@pytest.mark.parametrize("name", LIBRARIES)
def test_all_calls_with_all_that_they_take(weft: Installation, name: str, gzip: bool) -> None:
    module = pytest.importorskip(LIBRARIES[name])
    way = "gzip" if gzip else "plain"
    client = module.Client(weft.keys[f"{name}-{way}"], host=weft.url, gzip=gzip, upload_interval=0.05, on_error=_fail)
    told = every_call(client)
    client.flush()
    client.join()
    weft.land()
    is_there_once(told, weft.events(f"{name}-{way}"))


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_busy_collector_and_answers_that_get_lost(weft: Installation, name: str) -> None:
    module = pytest.importorskip(LIBRARIES[name])
    faults = (LoseAnswer(), None, Refuse(503), Refuse(429, retry_after=1), None, LoseAnswer(), None, Refuse(500), None)
    with bad_day(weft.port, *faults) as day:
        host = f"http://127.0.0.1:{day.port}"
        client = module.Client(
            weft.keys[f"{name}-bad-day"], host=host, gzip=True, upload_size=10, upload_interval=0.05, on_error=_fail
        )
        told = []
        for number in range(40):
            properties = {"number": number}
            queued, message = client.track("u-1", "Clicked", properties)
            assert queued
            told.append(Told(message["messageId"], "track", "Clicked", "u-1", properties=properties))
        client.flush()
        client.join()
    assert day.left == []
    assert day.seen["lost 200"] == 2
    assert day.seen["200"] == 4
    reports = weft.land()
    is_there_once(told, weft.events(f"{name}-bad-day"))
    assert sum(report.duplicates for report in reports) == 20
    assert sum(report.conflicts for report in reports) == 0


def test_batches_as_full_as_segments_library_makes_them(weft: Installation) -> None:
    client = pytest.importorskip(LIBRARIES["segment"]).Client(
        weft.keys["segment-full-batches"], host=weft.url, on_error=_fail
    )
    told = []
    for number in range(16):
        properties = {"number": number, "pad": "x" * 32_350}
        _, message = client.track("u-1", "Long", properties)
        told.append(Told(message["messageId"], "track", "Long", "u-1", properties=properties))
    client.flush()
    client.join()
    weft.land()
    is_there_once(told, weft.events("segment-full-batches"))


def _fail(error: Exception, batch: object) -> None:
    logging.getLogger("tests").error("A client gave up: %s", error)
