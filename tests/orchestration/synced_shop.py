"""A shop whose audiences go to receivers of webhooks: a real warehouse, gate, state and HTTP."""

import base64
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from activation.fake_destinations.vendor import Call, Reply
from activation.syncs.policy import RetryPolicy
from orchestration import syncing
from orchestration.destinations_file import Sync
from orchestration.resources import Platform
from orchestration.syncing import Syncing, configured, named
from tests.orchestration.gated_shop import ALL, AS_OF, Shop, opened_shop
from tests.orchestration.sync_sink import Sink

SECRET = "whsec_" + base64.b64encode(b"0" * 32).decode()


class WallClock:
    """The machine's time."""

    def now(self) -> float:
        return time.time()


class Receiver(Sink):
    """A receiver without faults; one that `hangs` answers nobody until it is released."""

    def __init__(self) -> None:
        super().__init__(WallClock(), seed=1, share_of_faults=0.0)
        self.released = threading.Event()
        self.released.set()
        self.reached = threading.Event()

    def take(self, call: Call) -> tuple[Reply, str | None]:
        self.reached.set()
        assert self.released.wait(60)
        return super().take(call)

    @property
    def holds(self) -> set[str]:
        return {name for name, (_, operation, _) in self.standing.items() if operation == "upsert"}


@dataclass
class SyncedShop:
    """The shop with its destinations.yml."""

    shop: Shop
    listed: list[dict[str, Any]]

    def sent_to(self, name: str, url: str, *audiences: str, **given: Any) -> None:
        """Add a webhook to destinations.yml."""
        entry = {
            "name": name, "type": "webhook", "purposes": ["advertising"], "url": url, "secrets": [{"env": "SINK_SECRET"}],
            "fields": {"email": "customer_id", "orders": "order_count"}, "audiences": list(audiences),
            "allow_private_address": True, "rate_per_second": 1000, **given,
        }  # fmt: skip
        self.listed.append({key: value for key, value in entry.items() if value is not None})
        self.write()

    def write(self) -> None:
        file = self.shop.platform.settings.destinations_file
        file.write_text(yaml.safe_dump({"destinations": self.listed}), encoding="utf-8")

    @property
    def syncing(self) -> Syncing:
        return Syncing(self.shop.platform, policy=RetryPolicy(jitter=lambda: 1.0, patience_seconds=0))

    def syncs(self, name: str) -> list[Sync]:
        return named(configured(self.shop.platform), name)

    def run(self, name: str) -> str:
        """Run a sync or destination; the statuses."""
        return " ".join(report.status for report in self.syncing.run_destination(self.syncs(name)))


def synced(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> SyncedShop:
    """The shop, without a destination yet; its audiences are what it defines, so dbt has nothing to say."""
    monkeypatch.setenv("SINK_SECRET", SECRET)
    monkeypatch.setattr(syncing, "prepare_manifest", lambda settings: None)
    return SyncedShop(shop, [])


@contextmanager
def hanging(receiver: Receiver) -> Iterator[None]:
    """While the block runs the receiver answers nobody."""
    receiver.released.clear()
    receiver.reached.clear()
    try:
        yield
    finally:
        receiver.released.set()


def opened_synced_shop(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> SyncedShop:
    """Four customers, two audiences, a whole build, no destination."""
    made = synced(opened_shop(platform, monkeypatch), monkeypatch)
    made.shop.consents = dict.fromkeys(["ann", "bob", "cy", "dee"], ALL)
    made.shop.audience("vip", ["ann", "bob", "cy"])
    made.shop.audience("all_of_them", ["ann", "bob", "cy", "dee"])
    made.shop.build()
    return made


def exclude(shop: SyncedShop, customer: str) -> None:
    shop.shop.platform.state.exclusions.add(
        [("customer_id", customer)], where=("destination", "crm"), note="asked", made_by="a test", now=AS_OF
    )


def url(receiver: Receiver) -> str:
    return str(receiver.url) + "/hook?tenant=7"  # type: ignore[attr-defined]
