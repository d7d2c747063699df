"""An automation on a warehouse without dbt: changes of membership as they are settled, and a gate that lets pass whom it is told."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from activation.automations.definitions import Automation
from orchestration.automation_records import Occurrence
from orchestration.automation_source import Source
from orchestration.automations import Noticed, notice
from orchestration.state import State
from orchestration.warehouse import Connection, write_table
from tests.orchestration.member_shop import Shop, day

SALT = "salt of a test"


def automation(**more: Any) -> Automation:
    """One that greets who enters `fans`."""
    return Automation(**{"name": "welcome", "audience": "fans", "when": "entered", "destination": "hook", **more})


@dataclass
class Automated:
    """A shop whose audience `fans` changes, and what automations notice of it."""

    connection: Connection
    state: State
    withheld: set[str] = field(default_factory=set)
    day: int = 0

    def __post_init__(self) -> None:
        self.shop = Shop(self.connection)

    def fans(self, *customers: str) -> datetime:
        """The next day's build, in which these are in."""
        self.shop.people(*(each for each in customers if each not in self.shop.living))
        names = list(self.shop.living)
        profiles = pa.table({"customer_id": names, "city": [f"City of {each}" for each in names]})
        columns = {"customer_id": "varchar", "city": "varchar"}
        write_table(self.connection, "audiences.profiles", profiles, columns)
        as_of = day(self.day)
        self.shop.settle({"fans": dict.fromkeys(customers, "likes it")}, as_of)
        self.day += 1
        return as_of

    def judge(self, candidates: pa.Table) -> pa.Table:
        """The gate: everybody but those that are withheld."""
        allowed = [each not in self.withheld for each in candidates["customer_id"].to_pylist()]
        return candidates.filter(pa.array(allowed, pa.bool_()))

    def notice(self, each: Automation, **more: Any) -> Noticed:
        """What it makes of the changes."""
        now = day(self.day)
        return notice(Source(self.connection), self.state, each, judge=self.judge, salt=SALT, now=now, **more)


def said(occurrences: Iterable[Occurrence]) -> list[tuple[str, str]]:
    """Customer, and the status or the reason."""
    return [(each.customer_id, each.reason or each.status) for each in occurrences]
