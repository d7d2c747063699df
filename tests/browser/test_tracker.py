"""weft.js in Chromium, on pages of another origin than the collector's: what it sends, what it stores, and what it leaves alone."""

import gzip
import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from ingestion.tracker import snippet, tracker_source
from tests.browser.chromium import Recorder, blank_pages, chromium, served

KEY = "write-key-of-the-shop"
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@dataclass
class Site:
    """A shop's site with the tracker on it, the collector it sends to, and one shopper's browser profile."""

    collector: Recorder
    shopper: BrowserContext
    stack: ExitStack
    collector_url: str

    def open(self, path: str = "/", init: str = "", **settings: Any) -> Page:
        """A new tab on a page of the site, whose tracker is loaded; `init` runs before anything of the page does."""
        address = self.stack.enter_context(served(blank_pages(snippet(self.collector_url, KEY, settings))))
        page = self.shopper.new_page()
        if init:
            page.add_init_script(init)
        page.goto(address + path)
        loaded(page)
        return page


def loaded(page: Page) -> None:
    """Wait until the script itself has taken the place of the snippet's queue."""
    page.wait_for_function("!Array.isArray(window.weft)")


def call(page: Page, script: str) -> Any:
    """Run a line that begins with a call of the tracker."""
    return page.evaluate(f"() => weft.{script}")


def stored(page: Page) -> dict[str, str]:
    """What the tracker keeps in the page's localStorage."""
    kept: dict[str, str] = page.evaluate("() => Object.fromEntries(Object.entries(localStorage))")
    return kept


@pytest.fixture
def site(browser: Browser) -> Iterator[Site]:
    with ExitStack() as stack:
        collector = Recorder()
        url = stack.enter_context(served(collector.app()))
        shopper = stack.enter_context(browser.new_context())
        yield Site(collector, shopper, stack, url)


def queued(page: Page) -> list[dict[str, Any]]:
    """The events that wait in the page's localStorage, oldest first."""
    return [json.loads(text) for name, text in sorted(stored(page).items()) if name.startswith("weft_e")]


def emptied(page: Page) -> None:
    """Wait until no event waits in the page's localStorage."""
    page.wait_for_function("() => !Object.keys(localStorage).some((name) => name.startsWith('weft_e'))")


def came(site: Site, *names: str) -> list[dict[str, Any]]:
    """Wait for exactly these events; they are returned in order."""
    site.collector.until(lambda: len(site.collector.events) >= len(names))
    assert site.collector.names == list(names)
    return site.collector.events


def test_the_tracker_is_smaller_than_four_thousand_bytes(record_property: Any) -> None:
    size, compressed = len(tracker_source()), len(gzip.compress(tracker_source()))
    record_property("bytes", size)
    record_property("gzip", compressed)
    assert size < 4_000, f"weft.js has {size} bytes as it is served"
    assert compressed < 2_400


def test_nothing_in_the_snippet_can_end_its_element() -> None:
    text = snippet("https://collect.example/", "</script><b>", {"x": "<!--"})
    assert text.count("<") == 2
    assert '"https://collect.example/weft.js"' in text


def test_the_page_about_the_tracker_shows_the_snippet_as_it_is() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "tracker.md"
    shown = snippet("https://collect.shop.example", "WRITE_KEY", {"consent": "required"})
    assert shown.replace('{"consent": "required"}', '{ consent: "required" }') in page.read_text(encoding="utf-8")


def test_calls_are_sent_in_the_segment_shape_without_a_preflight(site: Site) -> None:
    page = site.open("/lamps?token=secret&q=anna@example.com#card=4111")
    call(page, 'track("Product Viewed", {product_id: "p1", price: 12.5})')
    call(page, 'identify("u1", {email: "anna@example.com"})')
    call(page, 'group("g1", {plan: "gold"})')
    call(page, 'alias("u1")')
    call(page, 'page("Shop", "Lamps", {shade: "warm"})')
    viewed, product, known, group, alias, named = came(
        site, "page", "Product Viewed", "identify", "group", "alias", "page"
    )
    assert site.collector.preflights == 0
    for sent in site.collector.sent:
        assert (sent.path, sent.body["writeKey"]) == ("/v1/batch", KEY)
        assert sent.content_type.startswith("text/plain")
        assert sent.body["sentAt"] >= max(event["timestamp"] for event in sent.body["batch"])
    assert len({UUID.fullmatch(event["messageId"])[0] for event in site.collector.events}) == 6  # type: ignore[index]
    assert len({event["anonymousId"] for event in site.collector.events}) == 1
    assert viewed["properties"] == {"path": "/lamps", "referrer": "", "title": "Shop", "url": page.url.split("?")[0]}
    assert product["properties"] == {"product_id": "p1", "price": 12.5}
    assert "userId" not in product
    assert (known["userId"], known["traits"]) == ("u1", {"email": "anna@example.com"})
    assert (group["groupId"], group["traits"]) == ("g1", {"plan": "gold"})
    assert (alias["userId"], alias["previousId"]) == ("u1", alias["anonymousId"])
    assert (named["category"], named["name"], named["properties"]["shade"]) == ("Shop", "Lamps", "warm")
    context = product["context"]
    assert context["page"] == viewed["properties"]
    assert {"locale", "timezone", "screen", "device", "library", "sessionId"} <= context.keys()
    assert "consent" not in context
    assert "secret" not in str(site.collector.sent)
    assert "4111" not in str(site.collector.sent)


def test_calls_from_before_load_are_made_after_it(site: Site) -> None:
    head = f'<script src="{site.collector_url}/weft.js"></script>'
    page = site.shopper.new_page()
    page.goto(site.stack.enter_context(served(blank_pages(head))))
    call(page, 'track("First")')
    call(page, 'track("Second")')
    call(page, f'load("{KEY}")')
    call(page, 'track("Third")')
    came(site, "First", "Second", "Third")


def test_the_anonymous_id_outlives_pages_and_tabs(site: Site) -> None:
    page = site.open()
    anonymous_id = call(page, "anonymousId()")
    assert UUID.fullmatch(anonymous_id)
    came(site, "page")
    page.evaluate("() => { location.href = '/second'; }")
    page.wait_for_url("**/second")
    loaded(page)
    call(page, 'track("Third")')
    first, second, third = came(site, "page", "page", "Third")
    assert {first["anonymousId"], second["anonymousId"], third["anonymousId"]} == {anonymous_id}
    assert second["properties"]["referrer"] == first["properties"]["url"]


NO_STORAGE = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('no', 'SecurityError'); }})"


def test_without_local_storage_a_first_party_cookie_remembers_for_a_year(site: Site) -> None:
    page = site.open(init=NO_STORAGE)
    call(page, 'identify("u1")')
    came(site, "page", "identify")
    [cookie] = [c for c in site.shopper.cookies() if c["name"] == "weft"]
    assert cookie["sameSite"] == "Lax"
    remaining = cookie["expires"] - page.evaluate("() => Date.now()") / 1000
    assert remaining == pytest.approx(365 * 86400, abs=60)
    page.reload()
    loaded(page)
    events = came(site, "page", "identify", "page")
    assert len({event["anonymousId"] for event in events}) == 1
    assert events[-1]["userId"] == "u1"
    call(page, "optOut()")
    assert [c["name"] for c in site.shopper.cookies()] == ["weft_choice"]


def test_another_login_on_the_same_browser_is_another_person(site: Site) -> None:
    page = site.open()
    call(page, 'identify("anna")')
    call(page, 'identify("anna", {name: "Anna"})')
    call(page, 'track("Anna was here")')
    call(page, 'identify("ben")')
    call(page, "identify(null)")
    call(page, "reset()")
    call(page, 'track("Nobody known")')
    events = came(site, "page", "identify", "identify", "Anna was here", "identify", "identify", "Nobody known")
    users = [event.get("userId") for event in events]
    assert users == [None, "anna", "anna", "anna", "ben", "ben", None]
    browsers = [event["anonymousId"] for event in events]
    assert browsers == [browsers[0]] * 4 + [browsers[4]] * 2 + [browsers[6]]
    assert len(set(browsers)) == 3
    sessions = [event["context"]["sessionId"] for event in events]
    assert len(set(sessions)) == 3


def test_signing_out_in_one_tab_holds_in_the_others(site: Site) -> None:
    page = site.open()
    call(page, 'identify("anna")')
    other = site.shopper.new_page()
    other.goto(page.url)
    loaded(other)
    before = stored(page)["weft"]
    call(other, "reset()")
    page.wait_for_function("(before) => localStorage.weft != before", arg=before)
    call(page, 'track("Still open")')
    events = came(site, "page", "identify", "page", "Still open")
    assert "userId" not in events[-1]
    assert events[-1]["anonymousId"] not in {event["anonymousId"] for event in events[:-1]}


def test_before_consent_nothing_is_sent_and_nothing_is_stored(site: Site) -> None:
    page = site.open(consent="required")
    call(page, 'track("Looked")')
    call(page, 'identify("u1")')
    page.goto(page.url + "next")
    loaded(page)
    call(page, 'track("Looked again")')
    assert stored(page) == {}
    assert site.shopper.cookies() == []
    assert site.collector.sent == []
    call(page, "consent({analytics: true, advertising: false})")
    events = came(site, "page", "Looked again", "Consent Updated")
    agreed = {"categoryPreferences": {"analytics": True, "advertising": False}}
    assert [event["context"]["consent"] for event in events] == [agreed] * 3
    page.reload()
    loaded(page)
    call(page, "consent({analytics: true, advertising: false})")  # said again, it is no news
    call(page, 'track("Later")')
    assert came(site, "page", "Looked again", "Consent Updated", "page", "Later")[-1]["context"]["consent"] == agreed


def test_who_refuses_leaves_no_trace(site: Site) -> None:
    page = site.open(consent="required")
    call(page, 'identify("u1", {email: "anna@example.com"})')
    call(page, "consent({analytics: false, advertising: true})")
    call(page, 'track("Looked")')
    page.reload()
    loaded(page)
    call(page, 'track("Looked")')
    assert list(stored(page)) == ["weft_choice"]
    call(page, "consent({analytics: true})")
    assert "userId" not in came(site, "Consent Updated")[0]


def test_a_withdrawal_is_told_once_and_then_all_is_forgotten(site: Site) -> None:
    page = site.open()
    call(page, "consent({analytics: true, advertising: true})")
    call(page, 'identify("u1")')
    came(site, "page", "Consent Updated", "identify")
    call(page, "consent({analytics: false, advertising: false})")
    call(page, 'track("Looked")')
    told = came(site, "page", "Consent Updated", "identify", "Consent Updated")[-1]
    assert told["userId"] == "u1"
    assert told["context"]["consent"] == {"categoryPreferences": {"analytics": False, "advertising": False}}
    emptied(page)
    assert list(stored(page)) == ["weft_choice"]
    page.reload()
    loaded(page)
    assert list(stored(page)) == ["weft_choice"]


def test_opting_out_empties_the_queue_and_lasts_until_opting_in(site: Site) -> None:
    site.collector.answers = [(503, {"Retry-After": "60"})]
    page = site.open()
    came(site, "page")
    call(page, "optOut()")
    call(page, 'track("Looked")')
    assert set(stored(page)) <= {"weft_choice", "weft_pause"}
    page.reload()
    loaded(page)
    call(page, 'track("Looked")')
    assert queued(page) == []
    call(page, "optIn()")
    call(page, 'track("Back")')
    assert [event["event"] for event in queued(page)] == ["Back"]
    assert len(site.collector.sent) == 1


def browser_says(name: str, value: str) -> str:
    """A script that makes the browser say something of its person's settings."""
    return f"Object.defineProperty(navigator, '{name}', {{value: {value}}})"


def test_do_not_track_is_heeded_unless_the_shop_decides_otherwise(site: Site) -> None:
    page = site.open(init=browser_says("doNotTrack", "'1'"))
    call(page, 'track("Looked")')
    call(page, "consent({analytics: true})")
    call(page, 'track("Looked")')
    assert list(stored(page)) == ["weft_choice"]
    site.open(init=browser_says("doNotTrack", "'1'"), doNotTrack=False)
    came(site, "page")


def test_global_privacy_control_refuses_advertising_and_sharing(site: Site) -> None:
    page = site.open(init=browser_says("globalPrivacyControl", "true"))
    call(page, "consent({analytics: true, advertising: true, personalisation: true})")
    first, second = came(site, "page", "Consent Updated")
    refused = {"advertising": False, "sharing": False}
    assert first["context"]["consent"] == {"categoryPreferences": refused}
    assert second["context"]["consent"] == {
        "categoryPreferences": {"analytics": True, "personalisation": True, **refused}
    }


def test_a_busy_collector_gets_the_same_messages_again_when_it_said(site: Site) -> None:
    site.collector.answers = [(503, {"Retry-After": "2"}), (429, {}), (500, {})]
    site.open()
    site.collector.until(lambda: len(site.collector.sent) == 4)
    first, second, third, fourth = site.collector.sent
    assert first.message_ids == second.message_ids == third.message_ids == fourth.message_ids
    assert second.at - first.at >= 1.9
    assert third.at - second.at >= 0.4  # 2^n seconds, half of it to one and a half
    assert fourth.at - third.at >= 0.9
    came(site, "page")


def test_what_was_not_taken_is_sent_by_the_next_page_and_a_pause_holds_there_too(site: Site) -> None:
    site.collector.answers = [(503, {"Retry-After": "2"})]
    page = site.open()
    came(site, "page")
    call(page, 'track("Kept")')
    page.goto(page.url + "next")
    loaded(page)
    came(site, "page", "Kept", "page")
    first, second = site.collector.sent
    assert second.at - first.at >= 1.9
    assert first.message_ids == second.message_ids[:1]
    emptied(page)


def test_a_refused_batch_is_dropped(site: Site) -> None:
    site.collector.answers = [(400, {})]
    page = site.open()
    came(site, "page")
    emptied(page)
    call(page, 'track("Next")')
    came(site, "page", "Next")
    assert [len(sent.body["batch"]) for sent in site.collector.sent] == [1, 1]


def test_the_queue_is_bounded_and_keeps_the_newest(site: Site) -> None:
    site.collector.answers = [(503, {"Retry-After": "60"})]
    page = site.open()
    came(site, "page")
    page.evaluate("() => { for (let i = 0; i < 130; i++) weft.track('Click', {i}); }")
    assert [event["properties"]["i"] for event in queued(page)] == list(range(30, 130))
    page.evaluate("() => { for (let i = 0; i < 9; i++) weft.track('Long', {text: 'x'.repeat(25000)}); }")
    assert 5 <= len(queued(page)) <= 6  # 150,000 characters
    page.evaluate("() => weft.track('Too long', {text: '\\u20ac'.repeat(11000)})")
    assert {event["event"] for event in queued(page)} == {"Long"}


def test_events_of_a_page_that_is_left_go_by_beacon(site: Site) -> None:
    page = site.open()
    came(site, "page")
    page.evaluate("() => { weft.track('Last click'); location.href = 'about:blank'; }")
    came(site, "page", "Last click")
    beacon = site.collector.sent[-1]
    assert (beacon.path, parse_qs(beacon.query)) == ("/beacon/v1/batch", {"writeKey": [KEY]})
    assert beacon.content_type.startswith("text/plain")
    assert site.collector.preflights == 0


def test_where_no_beacon_is_taken_a_request_outlives_the_page(site: Site) -> None:
    page = site.open(init="navigator.sendBeacon = () => false")
    came(site, "page")
    page.evaluate("() => { weft.track('Last click'); location.href = 'about:blank'; }")
    came(site, "page", "Last click")
    assert site.collector.sent[-1].path == "/v1/batch"


def test_a_visit_ends_after_thirty_idle_minutes_and_keeps_its_campaign_until_then(site: Site) -> None:
    page = site.shopper.new_page()
    page.clock.install()
    page.goto(site.stack.enter_context(served(blank_pages(snippet(site.collector_url, KEY, {})))) + CAMPAIGN)
    loaded(page)
    page.clock.run_for(100)
    page.goto(page.url.split("?")[0])
    loaded(page)
    page.clock.fast_forward("29:00")
    call(page, 'track("Same visit")')
    page.clock.fast_forward("31:00")
    call(page, 'track("Next visit")')
    page.clock.run_for(100)
    events = came(site, "page", "page", "Same visit", "Next visit")
    contexts = [event["context"] for event in events]
    assert [context["sessionStart"] for context in contexts] == [True, False, False, True]
    first, second, same, following = (context["sessionId"] for context in contexts)
    assert first == second == same != following
    campaign = {"source": "mail", "medium": "newsletter", "name": "may", "gclid": "g1"}
    assert [context.get("campaign") for context in contexts] == [campaign] * 3 + [None]


CAMPAIGN = "/?utm_source=mail&utm_medium=newsletter&utm_campaign=may&gclid=g1&other=x"


@pytest.mark.parametrize("locks", [True, False])
def test_two_tabs_lose_no_event_and_change_no_message(site: Site, locks: bool) -> None:
    page = site.open(init="" if locks else browser_says("locks", "undefined"))
    other = site.shopper.new_page()
    other.goto(page.url)
    loaded(other)
    for i in range(10):
        call(page, f'track("Here", {{i: {i}}})')
        call(other, f'track("There", {{i: {i}}})')
    site.collector.until(lambda: len(site.collector.events) == 22)
    emptied(page)
    # a tab sees late what another has sent and may send it again: as the same message, which lands once
    sent = [event for batch in site.collector.sent for event in batch.body["batch"]]
    first = {event["messageId"]: event for event in reversed(sent)}
    assert all(event == first[event["messageId"]] for event in sent)
    assert len(first) == 22
