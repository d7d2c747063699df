"""Automations on a whole installation without dbt: builds with settled membership, the real gate, a receiver that is really called."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activation.automations.definitions import Automation
from activation.fake_destinations import FAKES
from activation.fake_destinations.webhook import Webhook
from activation.syncs.clock import Clock
from activation.syncs.policy import RetryPolicy
from orchestration.audience_catalogue import Audience
from orchestration.automation_records import AutomationRecords, Occurrence
from orchestration.automation_runs import Automating, Ran
from orchestration.automations_file import Configured
from orchestration.destinations_file import load_destinations
from orchestration.memberships import settle_memberships
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.syncing import Syncing
from tests.fakes.vendor import FakeClock
from tests.orchestration.gated_shop import ALL, Shop, opened_shop

NAME = "welcome"
DESTINATIONS = """
destinations:
  - {{name: hook, type: webhook, purposes: [advertising], url: {url}/hook, secrets: [{{env: WEBHOOK_SECRET}}],
     allow_private_address: true, rate_per_second: 1000, batch_size: 8}}
  - {{name: team, type: slack, purposes: [advertising], url: {{env: SLACK_WEBHOOK}}, allow_private_address: true}}
"""
POLICY = RetryPolicy(first_wait_seconds=0.01, longest_wait_seconds=0.01, jitter=lambda: 1.0, unavailable_in_a_row=3)


def automation(**more: Any) -> Automation:
    """One that tells the webhook who enters `fans`, with a coupon."""
    return Automation(
        **{
            "name": NAME, "audience": "fans", "when": "entered", "destination": "hook", "columns": ["order_count"],
            "coupon": {"prefix": "VIP"}, **more,
        }
    )  # fmt: skip


@dataclass
class Fans:
    """An installation whose audience `fans` changes from build to build."""

    platform: Platform
    shop: Shop
    clock: FakeClock = field(default_factory=FakeClock)
    audience: Audience = field(init=False)

    def build(self, *fans: str) -> None:
        """The next day's build: these are in, everybody who was ever named consents unless the test said otherwise."""
        self.shop.consents = dict.fromkeys(fans, ALL) | self.shop.consents
        self.audience = self.shop.audience("fans", fans)
        self.shop.as_of += timedelta(days=1)
        with self.platform.warehouse.writer() as connection:
            self.shop.write(connection)
            settle_memberships(connection, [self.audience], self.shop.as_of)
        self.platform.warehouse.serve_newest_build()

    def run(self, each: Automation) -> Ran:
        """One run of an automation."""
        destinations = {one.name: one for one in load_destinations(self.platform.settings)}
        chosen = Configured(each, self.audience, destinations[each.destination])
        syncing = Syncing(self.platform, policy=POLICY, clock=Clock(self.clock.now, self.clock.sleep))
        [ran] = Automating(self.platform, syncing).run_destination([chosen])
        return ran

    def fates(self) -> dict[str, str]:
        """What became of each customer's newest occurrence."""
        newest = reversed(self.platform.state.automations.newest(NAME, 10_000))
        return {each.customer_id: each.reason or each.status for each in newest}


@contextmanager
def fans(home: Path, monkeypatch: pytest.MonkeyPatch, kind: str = "webhook") -> Iterator[tuple[Fans, Any]]:
    """An installation, and the stand-in that its automations talk to."""
    platform = Platform(load_settings(home=home))
    found = Fans(platform, opened_shop(platform, monkeypatch))
    vendor = FAKES[kind].make(found.clock)
    with vendor.serving() as url:
        for name, value in FAKES[kind].variables.items():
            monkeypatch.setenv(name, value.replace("{url}", url))
        monkeypatch.setenv("SLACK_WEBHOOK", os.environ.get("SLACK_WEBHOOK", f"{url}/nowhere"))
        monkeypatch.setenv("WEBHOOK_SECRET", FAKES["webhook"].variables["WEBHOOK_SECRET"])
        home.mkdir(parents=True, exist_ok=True)
        (home / "destinations.yml").write_text(DESTINATIONS.format(url=url), encoding="utf-8")
        yield found, vendor


def codes(vendor: Webhook) -> dict[str, str]:
    """The coupon that the receiver holds for each customer."""
    held = vendor.records.get("fans", {})
    return {customer: told["coupon"] for customer, told in held.items()}


class CursorFirst(AutomationRecords):
    """Wrong on purpose: the cursor is moved before what was found on the way is written."""

    def write(self, automation: str, **given: Any) -> list[Occurrence]:
        """Two transactions."""
        super().write(automation, **{**given, "found": []})
        return self.write_found(automation, **given)

    def write_found(self, automation: str, *, to: int, found: Any, pool: Any, now: Any, **_: Any) -> list[Occurrence]:
        """The second of them."""
        return super().write(automation, after=to, to=to, found=found, pool=pool, now=now)


WRONG = {"cursor first": CursorFirst}


def run_once(
    home: Path, variables: dict[str, str], more: dict[str, Any], crash_at: str | None, at: tuple[float, str]
) -> None:
    """A process of its own (`at`: its time and kind): one run. It exits with 0 where nothing is left to tell, else with 3."""
    os.environ.update(variables)
    settings = {"crash_at": crash_at, "allow_crashes": True} if crash_at else {}
    platform = Platform(load_settings(home=home, **settings))
    clock = FakeClock()
    clock.seconds, kind = at
    found = Fans(platform, None, clock)  # type: ignore[arg-type]
    meta = {"owner": "crm", "consent_purpose": "advertising", "destinations": ["redis"]}
    found.audience = Audience("fans", "sql", "fans", "sql of fans", meta)
    if kind in WRONG:
        platform.state.automations = WRONG[kind](platform.state._engine)
    found.run(automation(**more))
    records = platform.state.automations
    sys.exit(3 if records.of(NAME, "open", "waiting") else 0)
