"""The demo shop in Chromium: what a shopper's visit tells the collector, and that the next person at the browser is another."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from ingestion.demo_shop import catalogue_file, create_shop
from tests.browser.chromium import Recorder, chromium, served


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


def opened(page: Page, address: str) -> None:
    """Go to a page of the shop and wait until it stands."""
    page.goto(address)
    page.wait_for_selector("[data-ready]")


def test_a_guest_orders_and_the_next_person_at_the_browser_is_somebody_else(browser: Browser) -> None:
    collector = Recorder()
    with served(collector.app()) as collector_url, served(create_shop(collector_url, "key")) as shop:
        page = browser.new_context().new_page()
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        opened(page, shop)
        assert collector.sent == []
        page.click("text=Accept all")
        ids = [line.split(",")[0] for line in catalogue_file().read_text(encoding="utf-8").splitlines()[1:11]]
        for product_id in ids:
            opened(page, f"{shop}/product/{product_id}")
        page.click("#add")
        opened(page, f"{shop}/cart")
        page.fill("#coupon", "welcome10")
        page.press("#coupon", "Enter")
        page.click("#to-checkout")
        page.fill("#email", "anna@example.com")
        page.click("#order button")
        page.wait_for_selector("#thanks")
        collector.until(lambda: "Order Completed" in collector.names)
        opened(page, f"{shop}/account")
        page.fill("#sign-in #email", "ben@example.com")
        page.click("#sign-in button")
        page.click("#sign-out")
        page.wait_for_selector("#sign-in")
        opened(page, f"{shop}/product/{ids[0]}")
        collector.until(lambda: collector.names.count("Product Viewed") == 11 and "Signed Out" in collector.names)

    assert errors == []
    assert collector.preflights == 0
    events = sorted(collector.events, key=lambda event: event["timestamp"])
    viewed = [event for event in events if event.get("event") == "Product Viewed"]
    assert [event["properties"]["product_id"] for event in viewed] == [*ids, ids[0]]
    [order] = [event for event in events if event.get("event") == "Order Completed"]
    amounts = {name: order["properties"][name] for name in ("revenue", "tax", "shipping", "discount", "total")}
    assert amounts == {"revenue": 9.76, "tax": 1.85, "shipping": 4.9, "discount": 1.29, "total": 16.51}
    assert order["properties"]["products"][0]["product_id"] == "LL-401"
    guest, shopper = (event for event in events if event["type"] == "identify")
    assert (guest["traits"], "userId" in guest) == ({"email": "anna@example.com"}, False)
    assert shopper["userId"].startswith("shopper-")
    assert {event["anonymousId"] for event in viewed[:10]} == {guest["anonymousId"]} == {order["anonymousId"]}
    assert viewed[10]["anonymousId"] != guest["anonymousId"]  # she signed out in between
    assert "userId" not in viewed[10]
    assert {
        "categoryPreferences": dict.fromkeys(("analytics", "personalisation", "advertising", "sharing"), True)
    } == order["context"]["consent"]
