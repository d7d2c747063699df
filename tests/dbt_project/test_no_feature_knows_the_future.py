"""What becomes known after a date changes no feature of that date: twin shops in one warehouse, of which one has a future.

Both twins have the same past under names of their own; only the second has what is known at the date or later: orders, updates,
cancellations, refunds, visits, logins that make two customers one, some of it of long before. One build makes the features of both.
"""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ml.schema import FEATURE_NAMES
from orchestration.warehouse import Connection
from tests.dbt_project.increments import Shop
from tests.dbt_project.shop_history import History

DAY = datetime(2026, 3, 1)
"""Features of this date and earlier ones must not know the future."""
NOW = DAY + timedelta(days=60)
PAST, FUTURE = 150, 100
KINDS = {"Order Completed", "Order Updated", "Order Cancelled", "Order Refunded", "Product Viewed", "Product Added"}
NAMES = ("anonymous_id", "user_id", "message_id")
Event = dict[str, Any]


def past_and_future(seed: int) -> tuple[list[Event], list[Event]]:
    """Events known before DAY; and events known from DAY on, the first two at its very instant, a third of them of long before."""
    random = Random(seed)
    history = History(random)
    past = [
        event for event in history.events(PAST, since=DAY - timedelta(days=380), until=DAY) if event["known_at"] < DAY
    ]
    future: list[Event] = history.events(FUTURE, since=DAY, until=NOW)  # type: ignore[assignment]
    for number, event in enumerate(future):
        if number < 2 or event["known_at"] < DAY:
            event["known_at"] = DAY if number < 2 else DAY + timedelta(days=random.randrange(1, 50))
        elif number % 3 == 0:
            event["occurred_at"] = DAY - timedelta(days=random.randrange(1, 7))
    return past, future  # type: ignore[return-value]


def named(event: Event, twin: str) -> Event:
    """The event as that of one twin, who shares no name of anybody or anything with others."""
    told = event | {name: f"{twin}-{event[name]}" for name in NAMES if event.get(name)}
    if event.get("identifiers"):
        told["identifiers"] = json.dumps(
            [each | {"value": f"{twin}-{each['value']}"} for each in json.loads(event["identifiers"])]
        )
    properties = json.loads(event["properties"]) if event.get("properties") else {}
    properties |= {key: f"{twin}-{properties[key]}" for key in ("order_id", "refund_id") if properties.get(key)}
    return told | {"properties": json.dumps(properties)}


def twins_built(home: Path, seeds: range) -> Shop:
    """A warehouse with a pair of twins per seed, built up to the features."""
    shop = Shop(home)
    events: list[Event] = []
    for seed in seeds:
        past, future = past_and_future(seed)
        assert {event.get("event") for event in future} >= KINDS, "a future without some kind of event proves less"
        events += [named(event, f"{twin}{seed}") for twin in ("a", "b") for event in past]
        events += [named(event, f"b{seed}") for event in future]
    shop.land(events)
    shop.run(NOW, until="customer_features channel_features")
    return shop


def rows_of_twins(connection: Connection, rows: str, *, until: datetime = DAY) -> dict[str, list[tuple[Any, ...]]]:
    """The rows of a query (customer_id, as_of_date, and so on) of dates up to `until`, by twin, without whose they are."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    query = (
        "select twins.twin, rows.* exclude (customer_id) from "
        f"({rows}) as rows inner join (select customer_id, min(split_part(lower(identifier_value), '-', 1)) as twin "
        "from identity.memberships group by customer_id) as twins on rows.customer_id = twins.customer_id "
        f"where rows.as_of_date <= date '{until:%Y-%m-%d}'"
    )
    for twin, *row in connection.rows(query):
        found.setdefault(twin, []).append(tuple(row))
    return {twin: sorted(rows, key=repr) for twin, rows in found.items()}


def pairs(twins: dict[str, list[tuple[Any, ...]]]) -> Iterator[tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]]:
    """The rows of each twin without a future, and of the one with."""
    for twin, rows in twins.items():
        if twin.startswith("a"):
            yield rows, twins.get(f"b{twin[1:]}", [])


def differing(connection: Connection, rows: str, **options: datetime) -> int:
    """How many pairs of twins differ in the rows of a query."""
    return sum(without != with_future for without, with_future in pairs(rows_of_twins(connection, rows, **options)))


FEATURES = f"select customer_id, as_of_date, {', '.join(FEATURE_NAMES)} from features.customer_features"
CHANNELS = "select * from features.channel_features"
ROWS = """
    select features.customer_id, features.as_of_date, count(told.{key}) from features.customer_features as features
    left join {table} as told on told.customer_id = features.customer_id and {condition} group by 1, 2
"""
LEAKS = {
    "orders of before the date as they stand today": ROWS.format(
        key="order_key", table="customer_360.orders", condition="told.ordered_at < features.as_of_date"
    ),
    "identifiers of today": ROWS.format(
        key="identifier_id", table="identity.memberships", condition="told.known_to is null"
    ),
    "a label": ROWS.format(
        key="order_key", table="customer_360.orders", condition="told.ordered_at >= features.as_of_date"
    ),
    "visits of before the date that were told of later": """
        select customer_id, as_of_date, count(*) from features.known_evidence
        inner join identity.event_evidence using (evidence_id) inner join staging.stg_events using (landed_seq)
        where stg_events.occurred_at < as_of group by 1, 2
    """,
}


def check(shop: Shop, count: int) -> None:
    """No pair differs at any date up to DAY; every planted leak makes some differ; and after DAY the future is seen."""
    with shop.warehouse.writer() as connection:
        twins = rows_of_twins(connection, FEATURES)
        assert len(list(pairs(twins))) == count
        assert all(len(rows) >= 20 and len({row[0] for row in rows}) >= 5 for rows in twins.values())
        assert differing(connection, FEATURES) == 0
        assert differing(connection, CHANNELS) == 0
        assert {
            leak: differing(connection, query) for leak, query in LEAKS.items() if not differing(connection, query)
        } == {}
        assert [differing(connection, rows, until=NOW) for rows in (FEATURES, CHANNELS)] == [count, count]


@pytest.mark.slow
def test_what_becomes_known_later_changes_no_feature_and_a_planted_leak_is_found(tmp_path: Path) -> None:
    check(twins_built(tmp_path, range(3)), 3)


@pytest.mark.nightly
def test_no_future_of_many_changes_a_feature(tmp_path: Path) -> None:
    check(twins_built(tmp_path, range(10, 60)), 50)
