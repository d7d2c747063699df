"""Splits and merges undone, through the whole product: what stands in the 360, in audiences and in Redis follows every decision.

Two families of one shop, each with its story, so that both are told with the same builds: a story yields where the shop builds next.
"""

import json
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from activation.reader import Reader
from ingestion.mappings import load_mapping
from orchestration.building import build
from orchestration.cli import app
from orchestration.collecting import land_file
from orchestration.publishing import online_store, pending_versions, publish
from orchestration.resources import Platform, build_platform
from orchestration.state import utc_now
from orchestration.warehouse import scalar

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

DAYS = (5, 8, 8, 8)
"""The days of February that the builds look back from."""


@dataclass(frozen=True)
class Family:
    """Two people with a mailbox between them: one buys and one looks around, each in a browser of their own."""

    name: str
    buyer: str
    looker: str

    @property
    def mail(self) -> str:
        return f"email:{self.name}@shop.example"

    @property
    def cookies(self) -> tuple[str, str]:
        return f"{self.name}-a", f"{self.name}-b"

    @property
    def identifiers(self) -> tuple[str, ...]:
        return (self.buyer, self.looker, self.mail, *(f"anonymous_id:{cookie}" for cookie in self.cookies))

    def apart(self) -> list[dict[str, object]]:
        """What nobody could know them together by."""
        bought, looked = self.cookies
        return [
            event(f"{self.name}-a1", 1, anonymousId=bought, traits=_told(self.buyer), context=CONSENT),
            sold(f"{self.name}-a2", 2, bought, 100),
            event(f"{self.name}-b1", 3, anonymousId=looked, traits=_told(self.looker), context=CONSENT),
            *(viewed(f"{self.name}-b{number}", 4, looked) for number in (2, 3, 4)),
        ]

    def shared_mail(self) -> list[dict[str, object]]:
        """Each says the mailbox."""
        return [
            event(f"{self.name}-a5", 6, traits=_told(self.buyer, self.mail)),
            event(f"{self.name}-b5", 7, traits=_told(self.looker, self.mail)),
        ]

    def shared_mail_in_the_browser(self) -> list[dict[str, object]]:
        """Each says the mailbox, in the own browser."""
        return [said | {"anonymousId": cookie} for said, cookie in zip(self.shared_mail(), self.cookies, strict=True)]


CONSENT = {"consent": {"categoryPreferences": {"Personalisation": True}}}
MEIERS = Family("meier", "phone:+491711111111", "phone:+491722222222")
KLEINS = Family("klein", "phone:+491733333333", "phone:+491744444444")


def _told(*names: str) -> dict[str, str]:
    return dict(name.split(":", 1) for name in names)


def event(message_id: str, day: int, call: str = "identify", **fields: Any) -> dict[str, object]:
    return {"messageId": message_id, "type": call, "timestamp": f"2026-02-{day:02}T10:00:00Z", **fields}


def sold(message_id: str, day: int, cookie: str, amount: int) -> dict[str, object]:
    properties = {"order_id": message_id, "currency": "EUR", "revenue": amount}
    return event(message_id, day, "track", event="Order Completed", anonymousId=cookie, properties=properties)


def viewed(message_id: str, day: int, cookie: str) -> dict[str, object]:
    properties = {"product_id": message_id, "category": "Home"}
    return event(message_id, day, "track", event="Product Viewed", anonymousId=cookie, properties=properties)


@dataclass
class Shop:
    """A small shop, built and published with the product's own means."""

    platform: Platform
    folder: Path

    def land(self, events: list[dict[str, object]]) -> None:
        file = self.folder / f"{events[0]['messageId']}.ndjson"
        file.write_text("\n".join(map(json.dumps, events)), encoding="utf-8")
        with self.platform.warehouse.writer() as connection:
            assert land_file(
                connection, path=file, mapping=load_mapping("segment"), landed_at=utc_now()
            ).accepted == len(events)

    def run(self, day: int) -> set[str]:
        """One build as of a day of February, and every publication it asks for; what was published."""
        platform = self.platform
        build(platform, as_of=datetime(2026, 2, day), quiet=True)
        pending = pending_versions(platform.state, after=0, now=utc_now())
        return {
            publish(platform.settings, platform.warehouse, platform.state, v, attempt=n).audience for v, n in pending
        }

    def weft(self, *arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def seen(self, family: Family) -> dict[str, Any]:
        """What a reader of the warehouse and a reader of Redis see of a family: by customer, the revenue and what is published."""
        with self.platform.warehouse.open_served() as served:
            revenue = dict(served.rows("select customer_id, net_revenue from customer_360.customers"))
            ordered = scalar(served, "select sum(net_amount) from customer_360.orders where customer_id is not null")
            events = dict(served.rows("select customer_id, event_count from customer_360.customers"))
            browsers = {row[0] for row in served.rows("select customer_id from audiences.active_browsers")}
            redirects = dict(served.rows("select customer_id, living_customer_id from identity.customer_redirects"))
        with online_store(self.platform.settings) as client:
            reader = Reader(client)
            found = {}
            for name in (*MEIERS.identifiers, *KLEINS.identifiers):
                profile = reader.profile(*name.split(":", 1))
                found[name] = profile.customer_id if profile else None
            living = {}
            for old in redirects:
                profile = reader.profile("customer_id", old)
                living[old] = profile.customer_id if profile else None
            profiles = {key.decode().rpartition(":")[2] for key in client.scan_iter(match="weft:profile:*")}
            assert set(reader.members("active_browsers")) == browsers
        assert living == redirects, "Redis leads a customer id elsewhere than the warehouse"
        assert profiles == set(revenue), "Redis holds other profiles than the warehouse has customers"
        assert sum(revenue.values()) == ordered
        assert set(found.values()) - {None} == set(revenue), "a customer is nobody's"
        by = {name: found[name] for name in family.identifiers}
        own = set(by.values()) - {None}
        return {
            "revenue": {customer: revenue[customer] for customer in own},
            "events": sum(events[customer] for customer in own),
            "browsers": browsers & own,
            "redirects": {old: living for old, living in redirects.items() if living in own},
            "by": by,
        }


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    from activation.embedded_redis import EmbeddedRedis

    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "weft"))
    monkeypatch.setenv("WEFT_INSTALLATION_SALT", "tests")
    platform = build_platform()
    with EmbeddedRedis(platform.settings.home / "redis"):
        yield Shop(platform, tmp_path)


Story = Generator[None, set[str], None]
"""Goes on with what was published after the build that it waited for."""


def test_what_people_decide_about_two_families_takes_everything_along_and_back(shop: Shop) -> None:
    stories = [a_merge_is_forbidden_and_allowed_again(shop, MEIERS), who_was_never_two_is_split(shop, KLEINS)]
    for story in stories:
        next(story)
    for day in DAYS[:-1]:
        published = shop.run(day)
        for story in stories:
            story.send(published)
    published = shop.run(DAYS[-1])
    for story in stories:
        with pytest.raises(StopIteration):
            story.send(published)


def a_merge_is_forbidden_and_allowed_again(shop: Shop, family: Family) -> Story:
    shop.land(family.apart())
    yield
    apart = shop.seen(family)
    anna, bert = apart["by"][family.buyer], apart["by"][family.looker]
    assert apart["revenue"] == {anna: Decimal(100), bert: Decimal(0)}
    assert apart["browsers"] == {bert}

    shop.land(family.shared_mail())
    yield
    merged = shop.seen(family)
    assert merged["revenue"] == {anna: Decimal(100)}
    assert merged["redirects"] == {anna: anna, bert: anna}
    assert set(merged["by"].values()) == {anna}
    assert merged["browsers"] == set()  # Anna bought
    assert "joined in 2 steps" in shop.weft("why", family.buyer, family.looker)

    shop.weft("forbid", family.buyer, family.looker, "--note", "they only share a mailbox")
    assert "1 of today's customers would split; their identifiers would be of 2." in shop.weft("identity", "plan")
    assert shop.seen(family) == merged
    published = yield
    assert "active_browsers" in published
    parted = shop.seen(family)
    assert parted["revenue"] == apart["revenue"]
    assert parted["redirects"] == {anna: anna, bert: bert}
    assert parted["browsers"] == {bert}
    assert parted["by"] == {**apart["by"], family.mail: anna}
    assert parted["events"] == merged["events"]
    told = shop.weft("why", family.buyer, family.looker)
    assert "Decision 1 (weft forbid" in told
    assert "keeps them apart" in told
    assert "Nothing would change." in shop.weft("identity", "plan")

    shop.weft("identity", "withdraw", "1")
    yield
    assert shop.seen(family) == merged


def who_was_never_two_is_split(shop: Shop, family: Family) -> Story:
    """The older id stays with its anchor."""
    bought, looked = (f"anonymous_id:{cookie}" for cookie in family.cookies)
    yield
    shop.land([*family.apart(), *family.shared_mail_in_the_browser()])
    yield
    merged = shop.seen(family)
    [anna] = set(merged["by"].values())

    # that he logged in with her mail on his cookie would make the cookie shared: it is said to be his
    shop.weft("link", family.looker, looked)
    shop.weft("split", family.looker, "--from", family.buyer, "--from", family.mail)
    yield
    parted = shop.seen(family)
    bert = parted["by"][family.looker]
    assert bert not in {anna, None}
    assert parted["by"][looked] == bert
    assert {parted["by"][name] for name in (family.buyer, family.mail, bought)} == {anna}
    assert parted["revenue"] == {anna: Decimal(100), bert: Decimal(0)}
    assert parted["browsers"] == {bert}
    assert parted["events"] == merged["events"]
    assert "joined by decision 2 (weft link" in shop.weft("why", family.looker, looked)

    shop.weft("identity", "withdraw", "3")
    yield
    again = shop.seen(family)
    assert again["by"] == merged["by"]
    assert again["redirects"] == {anna: anna, bert: anna}
    assert again["revenue"] == merged["revenue"]
