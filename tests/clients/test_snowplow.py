"""Snowplow's Python tracker, unmodified: every event that it was told of is in the warehouse once."""

import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.clients.faults import LoseAnswer, Refuse, bad_day
from tests.clients.installation import Installation, Row, installed
from tests.clients.told import DIFFICULT, Told, exactly, is_there_once

snowplow = pytest.importorskip("snowplow_tracker")

PATIENCE = 30
"""Seconds until a tracker counts as having given up."""
SHOP = "https://shop.example/lamps?utm_source=mail&utm_campaign=may"
COMMERCE = "iglu:com.snowplowanalytics.snowplow.ecommerce"


@pytest.fixture(scope="module")
def weft(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("weft")) as installation:
        yield installation


@dataclass
class Sending:
    """What the collector answered for, as the tracker tells it."""

    sent: list[dict[str, Any]] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def keep(self, events: list[dict[str, Any]]) -> None:
        with self.changed:
            self.sent += events
            self.changed.notify_all()

    def until(self, count: int) -> None:
        """Wait until so many events were answered for."""
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.sent) >= count, PATIENCE), f"Only {len(self.sent)} were."


def tracker_of(port: int, sending: Sending, cookie: str, **how: Any) -> Any:
    """A tracker of a person who is logged in, at a browser of this cookie."""
    encode = how.pop("encode_base64", True)
    emitter = snowplow.Emitter("127.0.0.1", protocol="http", port=port, on_success=sending.keep, **how)
    subject = (
        snowplow.Subject().set_user_id("u-1").set_domain_user_id(cookie).set_lang("de").set_timezone("Europe/Berlin")
    )
    subject.set_platform("web").set_ip_address("203.0.113.7").set_domain_session_id("s-1").set_domain_session_index(3)
    return snowplow.Tracker("shop", emitter, app_id="web-shop", subject=subject, encode_base64=encode)


def described(schema: str, data: dict[str, Any]) -> Any:
    return snowplow.SelfDescribingJson(schema, data)


def of_cookie(weft: Installation, cookie: str) -> dict[str, Row]:
    return {key: row for key, row in weft.events("snowplow").items() if row.anonymous_id == cookie}


@pytest.mark.parametrize("encode_base64", [True, False])
@pytest.mark.parametrize("method", ["post", "get"])
def test_every_kind_of_event_with_all_that_it_takes(weft: Installation, method: str, encode_base64: bool) -> None:
    cookie = f"cookie {method} {encode_base64}"
    sending = Sending()
    tracker = tracker_of(weft.port, sending, cookie, method=method, batch_size=3, encode_base64=encode_base64)
    page = {"url": SHOP, "title": "Lampen & mehr", "referrer": "https://search.example/?q=lamp"}
    happened = datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
    told: list[Told] = []

    def tell(event: Any, type_: str, name: str | None, properties: dict[str, Any], **more: Any) -> None:
        told.append(Told(tracker.track(event), type_, name, "u-1", cookie, properties, **more))

    entity = {"schema": "iglu:com.acme/shelf/jsonschema/1-0-0", "data": {"at": DIFFICULT}}
    tell(
        snowplow.PageView(page["url"], page["title"], page["referrer"], context=[described(**entity)]),
        "page",
        page["title"],
        page,
        context={
            "page": page,
            "campaign": {"source": "mail", "name": "may"},
            "app": {"name": "web-shop", "platform": "web"},
            "session": {"id": "s-1", "index": "3"},
            "locale": "de",
            "timezone": "Europe/Berlin",
            "ip": "203.0.113.7",
            "entities": [entity],
        },
    )
    ping = snowplow.PagePing(page["url"], page["title"], page["referrer"], min_x=0, max_x=10, min_y=-5, max_y=200)
    offsets = {"pp_mix": "0", "pp_max": "10", "pp_miy": "-5", "pp_may": "200"}
    tell(ping, "track", "Page Pinged", page | offsets)
    structured = snowplow.StructuredEvent(
        "shop", "hinzugefügt 😀", "green", "size=L&x", 2.5, true_timestamp=happened.timestamp() * 1000
    )
    properties = {"category": "shop", "label": "green", "property": "size=L&x", "value": "2.5"}
    tell(structured, "track", "hinzugefügt 😀", properties)
    asked = described("iglu:com.acme/stock_asked/jsonschema/1-0-0", DIFFICULT)
    tell(snowplow.SelfDescribing(asked), "track", "stock_asked", DIFFICULT)
    screen = snowplow.ScreenView("id-1", "Cart", "tab")
    tell(screen, "screen", "Cart", {"id": "id-1", "name": "Cart", "type": "tab"})
    product = {"id": "p-1", "name": "Lamp", "price": 59.9, "currency": "EUR", "category": "Home > Lighting"}
    action = described(f"{COMMERCE}/snowplow_ecommerce_action/jsonschema/1-0-2", {"type": "add_to_cart"})
    products = [described(f"{COMMERCE}/product/jsonschema/1-0-0", product)]
    seen = {**product, "product_id": "p-1"}
    del seen["id"]
    tell(snowplow.SelfDescribing(action, context=products), "track", "Product Added", seen)
    tracker.flush()
    sending.until(len(told))
    weft.land()
    landed = of_cookie(weft, cookie)
    is_there_once(told, landed)
    assert landed[told[2].message_id].occurred_at == happened.replace(tzinfo=None)
    for each in sending.sent:
        row = landed[each["eid"]]
        assert row.original_timestamp.replace(tzinfo=UTC).timestamp() * 1000 == pytest.approx(int(each["dtm"]), abs=0.5)


def test_transactions_of_the_older_kind(weft: Installation) -> None:
    sending = Sending()
    tracker = tracker_of(weft.port, sending, "cookie order")
    items = [{"sku": "p-1", "price": 59.9, "quantity": 2, "name": "Lamp"}, {"sku": "p-2", "price": 4, "quantity": 1}]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # but it is still there
        tracker.track_ecommerce_transaction("o-1", 123.8, "web", 19.8, 4.9, currency="EUR", items=items)
    tracker.flush()
    sending.until(3)
    weft.land()
    order, *bought = sorted(
        of_cookie(weft, "cookie order").values(), key=lambda row: (row.event or "", exactly(row.properties))
    )
    amounts = {"total": "123.8", "tax": "19.8", "shipping": "4.9"}
    assert order.event == "Order Completed"
    assert order.properties == {"order_id": "o-1", "affiliation": "web", "currency": "EUR", **amounts}
    assert [row.event for row in bought] == ["Transaction Item"] * 2
    assert [(row.properties["product_id"], row.properties["price"], row.properties["quantity"]) for row in bought] == [
        ("p-1", "59.9", "2"), ("p-2", "4", "1"),
    ]  # fmt: skip


UNANSWERED = {
    "post": (LoseAnswer(), Refuse(503, retry_after=1), LoseAnswer(), Refuse(429)),
    # of several GETs the tracker looks at the last one's status only
    "get": (LoseAnswer(), Refuse(503, retry_after=1), None, LoseAnswer(), Refuse(429)),
}


@pytest.mark.parametrize("method", UNANSWERED)
def test_a_busy_collector_and_answers_that_get_lost(weft: Installation, method: str) -> None:
    cookie = f"cookie bad day {method}"
    sending = Sending()
    told = []
    with bad_day(weft.port, *UNANSWERED[method]) as day:
        tracker = tracker_of(day.port, sending, cookie, method=method, batch_size=5, max_retry_delay_seconds=0.1)
        for number in range(15):
            seen = described("iglu:com.acme/seen/jsonschema/1-0-0", {"number": number})
            event_id = tracker.track(snowplow.SelfDescribing(seen))
            told.append(Told(event_id, "track", "seen", "u-1", cookie, {"number": number}))
        tracker.flush()
        sending.until(len(told))
    assert day.left == []
    reports = weft.land()
    is_there_once(told, of_cookie(weft, cookie))
    assert sum(report.duplicates for report in reports) >= day.seen["lost 200"] == 2
    assert sum(report.conflicts for report in reports) == 0
