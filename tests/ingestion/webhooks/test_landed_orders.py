"""Deliveries in any order, through the normaliser and into raw.events: what the Customer 360 goes by is the same.

An order's newest version is the last by (occurred_at, known_at, landed_seq): macros `replaced_at` in dbt_project/macros/versions.sql, used
by models/customer_360/order_versions.sql; an order's day is the earliest occurred_at of its versions.
"""

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

import duckdb
import pytest

from ingestion.event_log import Received
from ingestion.normalise import normalise
from orchestration.landing import land_file
from tests.ingestion.landings import LANDED_AT
from tests.ingestion.webhooks.payloads import ORDER, RECEIVED_AT, REFUND, body_of, changed, money

DELIVERIES = {
    "created": ORDER,
    "edited": changed(
        ORDER, updated_at="2026-02-21T10:00:00+01:00", subtotal_price_set=money("35.70"), total_tax_set=money("6.46")
    ),
    "refunded": changed(ORDER, updated_at="2026-02-22T10:00:00+01:00", refunds=[REFUND], note="refunded"),
    "cancelled": changed(ORDER, updated_at="2026-02-23T10:00:00+01:00", cancelled_at="2026-02-23T10:00:00+01:00"),
}
EXPECTED = {
    "created": ("Order Completed", 40.0),
    "edited": ("Order Updated", 30.0),
    "refunded": ("Order Updated", 40.0),
    "cancelled": ("Order Cancelled", 40.0),
}
NEWEST = """
select source, first(event order by occurred_at desc, known_at desc, landed_seq desc), min(occurred_at)::varchar,
    first((properties->>'revenue')::double order by occurred_at desc, known_at desc, landed_seq desc)
from raw.events where event <> 'Order Refunded' group by source
"""
HISTORIES = [history for size in (1, 2, 3, 4) for history in permutations(DELIVERIES, size)]


def landed(folder: Path, *histories: Sequence[str]) -> duckdb.DuckDBPyConnection:
    """Deliver each history to a source of its own, one delivery a second, and land all of it."""
    content = b""
    for number, history in enumerate(histories):
        for place, name in enumerate(history):
            received_at = RECEIVED_AT + 1_000 * place
            received = Received(
                "shopify", f"shop-{number}", received_at, body_of(DELIVERIES[name]), {"delivery": str(place)}
            )
            found = normalise(received, f"{received_at}-{number}")
            assert not found.refused
            content += found.events
    path = folder / "lines.ndjson"
    path.write_bytes(content)
    connection = duckdb.connect()
    land_file(connection, path=path, mapping="collected", landed_at=LANDED_AT)
    return connection


def test_the_newest_version_wins_whatever_arrives_first(tmp_path: Path) -> None:
    found = dict((source, told) for source, *told in landed(tmp_path, *HISTORIES).execute(NEWEST).fetchall())
    assert len(found) == len(HISTORIES)
    for number, history in enumerate(HISTORIES):
        newest = max(history, key=list(DELIVERIES).index)
        event, day, revenue = found[f"shop-{number}"]
        assert (event, revenue) == EXPECTED[newest], history
        # the day on which it was placed, to the second where nothing but later versions is known
        assert day.startswith("2026-02-20 09:00:0"), history


def test_an_orders_refund_is_one_however_often_it_is_told(tmp_path: Path) -> None:
    connection = landed(tmp_path, ["refunded"])
    rows = connection.execute(
        "select properties->>'order_id', properties->>'refund_id', (properties->>'revenue')::double "
        "from raw.events where event = 'Order Refunded'"
    ).fetchall()
    assert rows == [("450789469", "509562969", 8.88)]


@pytest.mark.parametrize("kind", ["created", "cancelled"])
def test_a_delivery_that_is_replayed_adds_no_event(tmp_path: Path, kind: str) -> None:
    """T3 and T4: the same body again and again, with delivery ids of its own."""
    once = landed(tmp_path, [kind]).execute("select message_id, event from raw.events order by all").fetchall()
    often = landed(tmp_path, [kind] * 20).execute("select message_id, event from raw.events order by all").fetchall()
    assert often == once
