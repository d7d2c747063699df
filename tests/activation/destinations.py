"""An adapter as a sync opens it, against a stand-in that is really called over HTTP, and changes as the engine makes them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa

from activation.destinations import KINDS, Tools
from activation.syncs.clock import Clock
from activation.syncs.contract import Change, Outcome, Record
from tests.fakes.vendor import FakeClock

AUDIENCE = "high_value"


def opened(settings: dict[str, Any], clock: FakeClock, secrets: dict[str, str]) -> Any:
    """The adapter of these settings."""
    kind = KINDS[settings["type"]]
    config = kind.config_model(**{"name": settings["type"], "purposes": ["advertising"], **settings})
    tools = Tools(
        audience=AUDIENCE,
        client_for=lambda url: httpx.Client(
            base_url=url, timeout=5.0, trust_env=False, headers={"Connection": "close"}
        ),
        secret=secrets.__getitem__,
        folder=Path("unused"),
        clock=Clock(clock.now, clock.sleep),
    )
    return kind.open(config, tools)


def members(**columns: Sequence[Any]) -> pa.Table:
    """Members of an audience; customer_id is c0, c1, … unless given."""
    count = len(next(iter(columns.values())))
    named = {"customer_id": [f"c{number}" for number in range(count)], "entered_because": ["test"] * count}
    return pa.table({**named, **columns})


def upserts(records: Sequence[Record], remote_ids: dict[str, str | None] | None = None) -> list[Change]:
    """Changes that bring these records."""
    known = remote_ids or {}
    return [
        Change(each.key, each.customer_id, "upsert", each.payload, known.get(each.key), f"key-{each.key}", 1)
        for each in records
    ]


def removals(keys: Sequence[str], remote_ids: dict[str, str | None]) -> list[Change]:
    """Changes that take these records away."""
    return [Change(key, "c", "remove", {}, remote_ids.get(key), f"gone-{key}", 2) for key in keys]


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    """Only what became of each."""
    return [outcome.status for outcome in outcomes]
