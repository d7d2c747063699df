"""Splits and merges undone, through the whole product: what stands in the 360, in audiences and in Redis follows every decision."""

import json
from collections.abc import Iterator
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

ANNA, BERT, FAMILY = "phone:+491711111111", "phone:+491722222222", "email:family@shop.example"


def event(message_id: str, day: int, call: str = "identify", **fields: Any) -> dict[str, object]:
    return {"messageId": message_id, "type": call, "timestamp": f"2026-02-{day:02}T10:00:00Z", **fields}


def sold(message_id: str, day: int, cookie: str, amount: int) -> dict[str, object]:
    properties = {"order_id": message_id, "currency": "EUR", "revenue": amount}
    return event(message_id, day, "track", event="Order Completed", anonymousId=cookie, properties=properties)


def viewed(message_id: str, day: int, cookie: str) -> dict[str, object]:
    properties = {"product_id": message_id, "category": "Home"}
    return event(message_id, day, "track", event="Product Viewed", anonymousId=cookie, properties=properties)


CONSENT = {"consent": {"categoryPreferences": {"Personalisation": True}}}
APART = [
    event("a1", 1, anonymousId="cookie-a", traits={"phone": "+491711111111"}, context=CONSENT),
    sold("a2", 2, "cookie-a", 100),
    event("b1", 3, anonymousId="cookie-b", traits={"phone": "+491722222222"}, context=CONSENT),
    viewed("b2", 4, "cookie-b"),
    viewed("b3", 4, "cookie-b"),
    viewed("b4", 4, "cookie-b"),
]
SHARED_MAIL = [
    event("a5", 6, traits={"phone": "+491711111111", "email": "family@shop.example"}),
    event("b5", 7, traits={"phone": "+491722222222", "email": "family@shop.example"}),
]
SHARED_MAIL_IN_THE_BROWSER = [
    {**SHARED_MAIL[0], "anonymousId": "cookie-a"},
    {**SHARED_MAIL[1], "anonymousId": "cookie-b"},
]


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

    def run(self, day: int) -> list[str]:
        """One build as of a day of February, and every publication it asks for; what was published."""
        platform = self.platform
        build(platform, as_of=datetime(2026, 2, day), quiet=True)
        pending = pending_versions(platform.state, after=0, now=utc_now())
        return [
            publish(platform.settings, platform.warehouse, platform.state, v, attempt=n).audience for v, n in pending
        ]

    def weft(self, *arguments: str) -> str:
        result = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def seen(self) -> dict[str, Any]:
        """What a reader of the warehouse and a reader of Redis see: by customer, the revenue and what is published."""
        with self.platform.warehouse.open_served() as served:
            revenue = dict(served.rows("select customer_id, net_revenue from customer_360.customers"))
            ordered = scalar(served, "select sum(net_amount) from customer_360.orders where customer_id is not null")
            events = scalar(served, "select sum(event_count) from customer_360.customers")
            browsers = {row[0] for row in served.rows("select customer_id from audiences.active_browsers")}
            redirects = dict(served.rows("select customer_id, living_customer_id from identity.customer_redirects"))
        with online_store(self.platform.settings) as client:
            reader = Reader(client)
            found = {}
            for name in (ANNA, BERT, FAMILY, "anonymous_id:cookie-a", "anonymous_id:cookie-b"):
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
        return {"revenue": revenue, "events": events, "browsers": browsers, "redirects": redirects, "by": found}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    from activation.embedded_redis import EmbeddedRedis

    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "weft"))
    monkeypatch.setenv("WEFT_INSTALLATION_SALT", "tests")
    platform = build_platform()
    with EmbeddedRedis(platform.settings.home / "redis"):
        yield Shop(platform, tmp_path)


def test_a_merge_that_a_person_forbids_and_allows_again_takes_everything_along(shop: Shop) -> None:
    shop.land(APART)
    shop.run(5)
    apart = shop.seen()
    anna, bert = apart["by"][ANNA], apart["by"][BERT]
    assert apart["revenue"] == {anna: Decimal(100), bert: Decimal(0)}
    assert apart["browsers"] == {bert}

    shop.land(SHARED_MAIL)
    shop.run(8)
    merged = shop.seen()
    assert merged["revenue"] == {anna: Decimal(100)}
    assert merged["redirects"] == {anna: anna, bert: anna}
    assert set(merged["by"].values()) == {anna}
    assert merged["browsers"] == set()  # Anna bought
    assert "joined in 2 steps" in shop.weft("why", ANNA, BERT)

    shop.weft("forbid", ANNA, BERT, "--note", "they only share a mailbox")
    assert "1 of today's customers would split; their identifiers would be of 2." in shop.weft("identity", "plan")
    assert shop.seen() == merged
    assert "active_browsers" in shop.run(8)
    parted = shop.seen()
    assert parted["revenue"] == apart["revenue"]
    assert parted["redirects"] == {anna: anna, bert: bert}
    assert parted["browsers"] == {bert}
    assert parted["by"] == {**apart["by"], FAMILY: anna}
    assert parted["events"] == merged["events"]
    told = shop.weft("why", ANNA, BERT)
    assert "Decision 1 (weft forbid" in told
    assert "keeps them apart" in told
    assert "Nothing would change." in shop.weft("identity", "plan")

    shop.weft("identity", "withdraw", "1")
    shop.run(8)
    assert shop.seen() == merged


def test_a_customer_that_was_never_two_is_split_and_the_older_id_stays_with_its_anchor(shop: Shop) -> None:
    shop.land([*APART, *SHARED_MAIL_IN_THE_BROWSER])
    shop.run(8)
    merged = shop.seen()
    [anna] = set(merged["by"].values())

    # that he logged in with her mail on his cookie would make the cookie shared: it is said to be his
    shop.weft("link", BERT, "anonymous_id:cookie-b")
    shop.weft("split", BERT, "--from", ANNA, "--from", FAMILY)
    shop.run(8)
    parted = shop.seen()
    bert = parted["by"][BERT]
    assert bert not in {anna, None}
    assert parted["by"]["anonymous_id:cookie-b"] == bert
    assert (parted["by"][ANNA], parted["by"][FAMILY]) == (anna, anna)
    assert parted["revenue"] == {anna: Decimal(100), bert: Decimal(0)}
    assert parted["browsers"] == {bert}
    assert parted["events"] == merged["events"]
    assert "joined by decision 1 (weft link" in shop.weft("why", BERT, "anonymous_id:cookie-b")

    shop.weft("identity", "withdraw", "2")
    shop.run(8)
    again = shop.seen()
    assert again["by"] == merged["by"]
    assert again["redirects"] == {anna: anna, bert: anna}
    assert again["revenue"] == merged["revenue"]
