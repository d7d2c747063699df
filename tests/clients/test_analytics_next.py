"""Segment's library for browsers, unmodified, in Chromium on a page of another origin: every event that it was told of lands once."""

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from tests.browser.chromium import PATIENCE, chromium, served
from tests.clients.faults import LoseAnswer, Refuse, bad_day
from tests.clients.installation import Installation, installed
from tests.clients.node_packages import installed_packages
from tests.clients.told import IN_JAVASCRIPT, Told, is_there_once

EARLIER = "2026-02-03T04:05:06.789-05:00"
PAGE = "<!doctype html><html lang='de'><head><title>Lamps</title><script src='/umd/index.js'></script></head><body></body></html>"
BATCHES = {"strategy": "batching", "config": {"size": 100, "timeout": 60_000}}


@pytest.fixture(scope="module")
def packages() -> Path:
    return installed_packages()


@pytest.fixture(scope="module")
def browser(packages: Path) -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def weft(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    with installed(tmp_path_factory.mktemp("weft"), "plain", "left", "lost", "kept", slow=["limited"]) as installation:
        yield installation


@pytest.fixture(scope="module")
def site(packages: Path) -> Iterator[str]:
    async def show(_: Request) -> HTMLResponse:
        return HTMLResponse(PAGE)

    files = StaticFiles(directory=packages / "@segment" / "analytics-next" / "dist" / "umd")
    with served(Starlette(routes=[Mount("/umd", files), Route("/{path:path}", show)])) as address:
        yield address


@pytest.fixture
def shopper(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context() as context:
        yield context


def opened(shopper: BrowserContext, address: str, port: int, write_key: str, **segment_settings: Any) -> Page:
    """A new tab on a page of the site, with the library loaded as `analytics`; it fetches nothing from elsewhere."""
    page = shopper.new_page()
    page.goto(address)
    ours = {"apiKey": write_key, "apiHost": f"127.0.0.1:{port}/v1", "protocol": "http", **segment_settings}
    page.evaluate(
        """async ([writeKey, ours]) => {
            const cdnSettings = {integrations: {"Segment.io": ours}};
            [window.analytics] = await AnalyticsNext.AnalyticsBrowser.load({writeKey, cdnSettings});
        }""",
        [write_key, ours],
    )
    return page


def call(page: Page, script: str, *values: Any) -> dict[str, Any]:
    """Make one call and wait until the library has it; the event that it made."""
    made = f"async (values) => {{ const ctx = await analytics.{script}; return JSON.stringify(ctx.event); }}"
    event: dict[str, Any] = json.loads(page.evaluate(made, values))
    return event


class Answers:
    """Counts the collector's answers to a page, by status."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.counts: Counter[int] = Counter()
        page.on("response", self._count)

    def _count(self, answer: Response) -> None:
        self.counts[answer.status] += answer.request.method == "POST"

    def until(self, status: int, count: int) -> None:
        """Wait until so many answers were of this status."""
        if self.counts[status] < count:
            self.page.wait_for_event("response", lambda _: self.counts[status] >= count, timeout=PATIENCE * 1000)


def clicks(page: Page, count: int, first: int = 0) -> list[Told]:
    """Track so many clicks; what was told. Nothing is waited for."""
    ids = [f"{page.url} {number}" for number in range(first, first + count)]
    page.evaluate(
        "(ids) => { window.clicked = ids.map((id, i) => analytics.track('Clicked', {id}, {messageId: id})); }", ids
    )
    anonymous_id = page.evaluate("() => analytics.user().anonymousId()")
    return [Told(id_, "track", "Clicked", None, anonymous_id, {"id": id_}) for id_ in ids]


def test_all_calls_with_all_that_they_take(weft: Installation, site: str, shopper: BrowserContext) -> None:
    address = f"{site}/lamps?utm_source=mail&utm_campaign=may&q=brass"
    page = opened(shopper, address, weft.port, weft.keys["plain"])
    anonymous_id = page.evaluate("() => analytics.user().anonymousId()")
    traits = {"email": "Ann@Example.com", "age": 30, "address": {"city": "Köln"}, "vip": False}
    company = {"name": "ACME", "email": "office@example.com"}
    seen = {"title": "Lamps", "path": "/lamps", "referrer": "", "url": address, "search": address[address.index("?") :]}
    context = {"page": seen, "campaign": {"source": "mail", "name": "may"}, "locale": "de-DE", "ip": "127.0.0.1"}
    context["locale"] = page.evaluate("() => navigator.language")
    context["userAgent"] = page.evaluate("() => navigator.userAgent")
    told: list[Told] = []

    def tell(event: dict[str, Any], name: str | None, user_id: str | None = "u-1", **what: Any) -> None:
        at = datetime.fromisoformat(event["timestamp"])
        what = {"anonymous_id": anonymous_id, "timestamp": at, "context": context, **what}
        told.append(Told(event["messageId"], event["type"], name, user_id, **what))

    tell(call(page, "page('Shop', 'All lamps', {colour: 'brass'})"), "All lamps", None, properties={
        **seen, "name": "All lamps", "category": "Shop", "colour": "brass",
    })  # fmt: skip
    tell(call(page, "track('Änderung 😀', values[0])", IN_JAVASCRIPT), "Änderung 😀", None, properties=IN_JAVASCRIPT)
    # somebody who is logged in takes the place of who is named: the library's own doing
    tell(call(page, "alias('u-2', 'u-0')"), None, "u-2", properties={"previous_id": "u-0"})
    tell(call(page, "identify('u-1', values[0])", traits), None, traits=traits)
    dated = call(page, "track('Dated', {}, {timestamp: values[0], context: {active: true}})", EARLIER)
    tell(dated, "Dated", context=context | {"active": True}, timestamp=datetime.fromisoformat(EARLIER))
    tell(call(page, "group('g-1', values[0])", company), None, properties={"group_id": "g-1", "traits": company})
    tell(call(page, "screen('Shop', 'Cart')"), "Cart", properties={"category": "Shop"})
    weft.land()
    is_there_once(told, weft.events("plain"))


def test_a_page_that_is_left_sends_what_it_gathered(weft: Installation, site: str, shopper: BrowserContext) -> None:
    page = opened(shopper, f"{site}/left", weft.port, weft.keys["left"], deliveryStrategy=BATCHES)
    told = clicks(page, 7)
    page.evaluate("() => Promise.all(window.clicked)")
    page.goto(f"{site}/next")
    weft.until_received(1)
    weft.land()
    is_there_once(told, weft.events("left"))


def test_a_source_above_its_limit_is_waited_for(weft: Installation, site: str, shopper: BrowserContext) -> None:
    page = opened(shopper, f"{site}/limited", weft.port, weft.keys["limited"])
    answers = Answers(page)
    told = clicks(page, 7)
    answers.until(200, 7)
    assert answers.counts[429] >= 1
    weft.land()
    is_there_once(told, weft.events("limited"))


def test_answers_that_get_lost(weft: Installation, site: str, shopper: BrowserContext) -> None:
    with bad_day(weft.port, LoseAnswer(), Refuse(503), LoseAnswer()) as day:
        page = opened(shopper, f"{site}/lost", day.port, weft.keys["lost"])
        answers = Answers(page)
        told = clicks(page, 5)
        answers.until(200, 5)
    assert day.seen["lost 200"] == 2
    reports = weft.land()
    is_there_once(told, weft.events("lost"))
    assert sum(report.duplicates for report in reports) == 2
    assert sum(report.conflicts for report in reports) == 0


def test_what_a_closed_tab_had_not_sent_the_next_page_sends(
    weft: Installation, site: str, shopper: BrowserContext
) -> None:
    page = opened(shopper, f"{site}/kept", weft.port, weft.keys["kept"])
    shopper.set_offline(True)
    told = clicks(page, 4)
    with page.expect_event("close"):
        page.close(run_before_unload=True)
    shopper.set_offline(False)
    page = opened(shopper, f"{site}/kept", weft.port, weft.keys["kept"])
    Answers(page).until(200, 4)
    weft.land()
    is_there_once(told, weft.events("kept"))
