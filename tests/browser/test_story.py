"""The story, from shoppers in Chromium to customers in the warehouse: who was unknown and checks out is known, also for what was before.

Shoppers use the demo shop; what they do goes through `weft serve collector`, the log, landing, dbt and the identity engine.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from ingestion.demo_shop import catalogue_file, create_shop
from orchestration.building import build
from tests.browser.chromium import chromium, served
from tests.clients.installation import Installation, installed

pytestmark = pytest.mark.slow

PRODUCTS = [line.split(",")[0] for line in catalogue_file().read_text(encoding="utf-8").splitlines()[1:]]
MODELS = ["tag:evidence", "+events", "+consents", "+orders", "+nodes"]
"""Of the build, what the tests look at; the rest takes longer than all shoppers together."""
REFUSES_ADVERTISING = "Object.defineProperty(navigator, 'globalPrivacyControl', {value: true})"
REFUSES_TRACKING = "Object.defineProperty(navigator, 'doNotTrack', {value: '1'})"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@dataclass
class Shopper:
    """A person's browser, with the shop open; `sent` has the addresses that events went to."""

    browser: BrowserContext
    shop: str
    page: Page
    sent: list[str]

    def open(self, path: str, page: Page | None = None) -> None:
        """Go to a page of the shop and wait until it stands, tracker included: who is gone before that was not there for it."""
        page = page or self.page
        page.goto(self.shop + path)
        page.wait_for_selector("[data-ready]")
        page.wait_for_function("!Array.isArray(window.weft)")

    def accept(self) -> None:
        self.page.click("[data-consent=all]")

    def view(self, *numbers: int) -> None:
        """Look at products, by their number in the catalogue."""
        for number in numbers:
            self.open(f"/product/{PRODUCTS[number]}")

    def order(self, email: str) -> None:
        """Buy the product on the page as a guest."""
        self.page.click("#add")
        self.open("/checkout")
        self.page.fill("#email", email)
        self.page.click("#order button")
        self.page.wait_for_selector("#thanks")

    def sign_in(self, email: str) -> None:
        self.open("/account")
        self.page.fill("#sign-in #email", email)
        self.page.click("#sign-in button")
        self.page.wait_for_selector("#sign-out")

    def sign_out(self) -> None:
        self.open("/account")
        self.page.click("#sign-out")
        self.page.wait_for_selector("#sign-in")

    @property
    def cookie(self) -> str:
        """The browser's anonymous id."""
        return str(self.page.evaluate("() => weft.anonymousId()"))

    def until_answered(self) -> None:
        """Wait until the collector has answered for everything."""
        self.page.wait_for_function("() => !Object.keys(localStorage).some((name) => name.startsWith('weft_e'))")

    def leave(self) -> None:
        """Close the browser once everything was answered for."""
        self.until_answered()
        self.browser.close()


@dataclass(frozen=True)
class Story:
    """What is in the warehouse afterwards, and cookies that the tests ask for."""

    weft: Installation
    cookies: dict[str, str]
    sent_by_those_who_refused: list[str]

    def rows(self, query: str, *parameters: object) -> list[tuple[Any, ...]]:
        with self.weft.platform.warehouse.writer() as connection:
            return connection.rows(query, parameters)

    def customer(self, type_: str, value: str) -> str:
        """Whose an identifier is."""
        [(customer_id,)] = self.rows(
            "select customer_id from identity.nodes where identifier_type = ? and identifier_value = ?", type_, value
        )
        return str(customer_id)

    def viewed(self, customer_id: str) -> list[int]:
        """What a customer looked at, in order, by number in the catalogue."""
        # by the browser's own clock: to occurred_at each request's time on the way is added
        views = self.rows(
            "select product_id from customer_360.events join raw.events as sent using (landed_seq) "
            "where events.event = 'Product Viewed' and customer_id = ? order by original_timestamp",
            customer_id,
        )
        return [PRODUCTS.index(product_id) for (product_id,) in views]


@pytest.fixture(scope="module")
def story(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with (
        installed(tmp_path_factory.mktemp("weft"), "web") as weft,
        served(create_shop(weft.url, weft.keys["web"])) as shop,
    ):

        def enter(*, first: str = "/", says: str = "") -> Shopper:
            context = browser.new_context()
            if says:
                context.add_init_script(says)
            sent: list[str] = []
            context.on("request", lambda request: sent.append(request.url) if weft.url in request.url else None)
            shopper = Shopper(context, shop, context.new_page(), sent)
            shopper.open(first)
            return shopper

        cookies = three_people_at_one_browser(enter(first="/?utm_source=mail&utm_campaign=may"))
        several_tabs_and_a_bad_network(enter())
        gina = enter(says=REFUSES_ADVERTISING)
        gina.accept()
        gina.view(0)
        gina.order("gina@example.com")
        gina.leave()
        olaf = enter()
        olaf.accept()
        olaf.view(0)
        cookies["olaf"] = olaf.cookie
        olaf.until_answered()  # what waits is dropped
        olaf.page.evaluate("() => weft.optOut()")
        olaf.view(1, 2)
        olaf.order("olaf@example.com")
        olaf.leave()
        dora, nils = enter(), enter(says=REFUSES_TRACKING)
        dora.page.click("[data-consent=none]")
        nils.accept()
        for shopper in (dora, nils):
            shopper.view(3, 4)
            shopper.order("nobody@example.com")
            shopper.leave()
        asked = [address for address in (*dora.sent, *nils.sent) if not address.endswith("/weft.js")]
        weft.land()
        build(weft.platform, as_of=None, select=MODELS, quiet=True)
        yield Story(weft, cookies, asked)


def three_people_at_one_browser(shopper: Shopper) -> dict[str, str]:
    """Anna buys as a guest after ten looks, Ben signs in and out on the same tab, Carla looks around and buys as a guest."""
    shopper.accept()
    shopper.view(*range(10))
    cookies = {"anna": shopper.cookie}
    shopper.order("anna@example.com")
    shopper.sign_in("ben@example.com")
    shopper.view(3, 10)
    shopper.sign_out()
    shopper.view(11, 4, 0)
    cookies["carla"] = shopper.cookie
    shopper.order("Carla@Example.com")
    shopper.leave()
    return cookies


def several_tabs_and_a_bad_network(shopper: Shopper) -> None:
    """Emil looks at things in two tabs, closes one of them without a network, and goes on later."""
    shopper.accept()
    other = shopper.browser.new_page()
    for number in range(3):
        shopper.view(number)
        shopper.open(f"/product/{PRODUCTS[number + 3]}", other)
    shopper.browser.set_offline(True)
    other.click("#add")
    with other.expect_event("close"):
        other.close(run_before_unload=True)
    shopper.browser.set_offline(False)
    shopper.view(6)
    shopper.order("emil@example.com")
    shopper.leave()


def test_ten_looks_of_an_unknown_person_belong_to_the_customer_who_checks_out(story: Story) -> None:
    anna = story.customer("email", "anna@example.com")
    assert story.viewed(anna) == list(range(10))
    assert story.rows("select customer_id from customer_360.orders where customer_id = ?", anna) == [(anna,)]
    cookies = story.rows(
        "select distinct anonymous_id from raw.events join customer_360.events using (landed_seq) "
        "where raw.events.event = 'Product Viewed' and customer_id = ?",
        anna,
    )
    assert cookies == [(story.cookies["anna"],)]
    campaigns = "select distinct campaign_source, campaign_name from customer_360.events where customer_id = ?"
    assert story.rows(campaigns, anna) == [("mail", "may")]


def test_who_signs_in_on_the_same_browser_gets_only_their_own(story: Story) -> None:
    ben = story.customer("email", "ben@example.com")
    assert story.viewed(ben) == [3, 10]
    assert story.rows("select 1 from customer_360.orders where customer_id = ?", ben) == []


def test_who_comes_after_a_sign_out_gets_only_their_own(story: Story) -> None:
    carla = story.customer("email", "carla@example.com")
    assert story.viewed(carla) == [11, 4, 0]
    assert carla == story.customer("anonymous_id", story.cookies["carla"])
    assert story.cookies["carla"] != story.cookies["anna"]
    assert len(story.rows("select 1 from customer_360.orders where customer_id = ?", carla)) == 1


def test_tabs_and_a_network_that_went_away_lose_nothing_and_repeat_nothing(story: Story) -> None:
    emil = story.customer("email", "emil@example.com")
    assert sorted(story.viewed(emil)) == list(range(7))
    added = "select product_id from customer_360.events where event = 'Product Added' and customer_id = ? order by product_id"
    assert story.rows(added, emil) == [(PRODUCTS[5],), (PRODUCTS[6],)]
    counts = "select count(*), count(distinct (source, message_id)), count(distinct landed_seq) from raw.events"
    [(events, keys, customers)] = story.rows(counts)
    assert events == keys == customers


def test_global_privacy_control_refuses_advertising_whatever_is_ticked(story: Story) -> None:
    said = "select purpose, is_allowed from customer_360.consents where customer_id = ?"
    assert dict(story.rows(said, story.customer("email", "gina@example.com"))) == {
        "analytics": True, "personalisation": True, "advertising": False, "sharing": False,
    }  # fmt: skip
    assert set(dict(story.rows(said, story.customer("email", "anna@example.com"))).values()) == {True}


def test_who_opts_out_is_not_seen_again(story: Story) -> None:
    assert story.viewed(story.customer("anonymous_id", story.cookies["olaf"])) == [0]
    assert story.rows("select 1 from identity.nodes where identifier_value = 'olaf@example.com'") == []


def test_who_refuses_or_asks_not_to_be_tracked_sends_nothing(story: Story) -> None:
    assert story.sent_by_those_who_refused == []
    assert story.rows("select 1 from raw.events where traits::text like '%nobody@%'") == []
    assert story.rows("select reason from raw.rejected_events") == []
