"""A sync as small as it can be: what the engine does of one audience, without its ledger on disk, its limits and its retries."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from activation.destinations import KINDS, Tools
from activation.fake_destinations.vendor import Vendor
from activation.syncs.clock import Clock
from activation.syncs.contract import Change, Destination, DestinationMisconfiguredError, Outcome, SharesIdentifiers

NOW = 1_790_000_000.0


class StandingClock:
    """A time that passes only when somebody says so."""

    def __init__(self, at: float = NOW) -> None:
        self.at = at

    def now(self) -> float:
        return self.at

    def pass_by(self, seconds: float) -> None:
        """Also how to wait."""
        self.at += seconds


def members(*people: Mapping[str, Any]) -> pa.Table:
    """A table as orchestration hands it: customer_id, and every column that one of them has."""
    names = dict.fromkeys(["customer_id", "email", "phone", *(name for person in people for name in person)])
    return pa.table({name: pa.array([person.get(name) for person in people], _type(name, people)) for name in names})


def _type(name: str, people: Sequence[Mapping[str, Any]]) -> pa.DataType | None:
    return None if any(not isinstance(person.get(name), str | None) for person in people) else pa.string()


@contextmanager
def opened(
    vendor: Vendor,
    secrets: Mapping[str, str],
    entry: Mapping[str, Any],
    *,
    audience: str = "lapsed",
    folder: Path = Path("/"),
) -> Iterator[Any]:
    """The adapter of a destination, as destinations.yml would describe it, calling the vendor over HTTP."""
    kind = KINDS[entry["type"]]
    clients: list[httpx.Client] = []

    def client_for(url: str) -> httpx.Client:
        clients.append(httpx.Client(base_url=url, timeout=5.0))
        return clients[-1]

    def secret(name: str) -> str:
        if name not in secrets:
            raise DestinationMisconfiguredError(f"The environment variable {name} is not set.")
        return secrets[name]

    with vendor.serving() as url:
        settings = {
            name: value.replace("{url}", url) if isinstance(value, str) else value for name, value in entry.items()
        }
        clock = Clock(now=vendor.clock.now, sleep=vendor.clock.pass_by)
        tools = Tools(audience, client_for, secret, folder, clock)
        try:
            yield kind.open(kind.config_model.model_validate(settings), tools)
        finally:
            for client in clients:
                client.close()


class Driver:
    """`accepted` is the ledger: what the destination took, by key."""

    def __init__(self, adapter: Destination, batch: int = 10_000) -> None:
        self.adapter, self.batch = adapter, min(batch, adapter.batch_size)
        self.accepted: dict[str, str] = {}
        self.told: dict[str, Outcome] = {}
        self._sequence = 0

    def plan(self, table: pa.Table) -> list[Change]:
        """Additions first, on purpose: an adapter may not need them in an order."""
        wanted = {}
        for record in self.adapter.records(table):
            wanted.setdefault(record.key, record)
        new = [
            self._change(key, record.customer_id, record.payload)
            for key, record in wanted.items()
            if key not in self.accepted
        ]
        gone = [self._change(key, customer, None) for key, customer in self.accepted.items() if key not in wanted]
        if isinstance(self.adapter, SharesIdentifiers):
            self.adapter.stand(lambda: pa.chunked_array([list(wanted)], pa.string()))
        return [*new, *gone]

    def _change(self, key: str, customer: str, payload: Mapping[str, Any] | None) -> Change:
        self._sequence += 1
        operation = "upsert" if payload is not None else "remove"
        return Change(key, customer, operation, payload or {}, None, f"{key}-{self._sequence}", self._sequence)

    def run(self, table: pa.Table) -> dict[str, int]:
        """Send what is new and what is gone; how many of each status."""
        changes = self.plan(table)
        counts: dict[str, int] = {}
        for start in range(0, len(changes), self.batch):
            batch = changes[start : start + self.batch]
            outcomes = self.adapter.send(batch)
            assert len(outcomes) == len(batch)
            for change, outcome in zip(batch, outcomes, strict=True):
                counts[outcome.status] = counts.get(outcome.status, 0) + 1
                self.told[change.key] = outcome
                if outcome.status == "accepted" and change.operation == "upsert":
                    self.accepted[change.key] = change.customer_id
                elif outcome.status == "accepted":
                    del self.accepted[change.key]
        return counts
