"""A real web shop's first three hours through `weft import` and `weft run`: the books to the unit, and sessions, funnel and orders that
equal queries over the file."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from orchestration.landing import land_file

EVENTS = Path(__file__).parents[2] / "shared" / "data" / "rees46_fragment" / "events.parquet"
WEFT = Path(sys.executable).with_name("weft")
ROWS, VIEWS, CARTS, PURCHASES = 17_435, 17_056, 165, 214

pytestmark = pytest.mark.skipif(
    not EVENTS.is_file(), reason="../shared/data/rees46_fragment/events.parquet is not beside this repository"
)

# a visit of a user ends where 30 minutes pass without an event; the orders of a visit are the file's sessions with a purchase
DIRECT_VISITS = """
with marked as (
    select *, coalesce(event_time - lag(event_time) over of_user > interval 30 minutes, true) as is_first
    from read_parquet(?) window of_user as (partition by user_id order by event_time)
), numbered as (
    select *, sum(is_first::integer) over (partition by user_id order by event_time) as visit from marked
)
select user_id::varchar as user_id, min(event_time) as started_at, max(event_time) as ended_at,
    count(*) filter (event_type = 'view') as views, count(*) filter (event_type = 'cart') as carts,
    count(distinct user_session) filter (event_type = 'purchase') as orders
from numbered group by user_id, visit order by user_id, started_at
"""
BUILT_VISITS = """
select identifier_value, started_at, ended_at, product_view_count, cart_add_count, order_count
from customer_360.sessions join identity.nodes using (customer_id)
order by identifier_value, started_at
"""
DIRECT_ORDERS = """
select user_id::varchar as user_id, user_session, min(event_time) as ordered_at, count(*)::double as items,
    sum(price::decimal(18, 4))::decimal(18, 4) as amount
from read_parquet(?) where event_type = 'purchase' group by user_id, user_session order by user_id, user_session
"""
BUILT_ORDERS = """
select split_part(order_id, ':', 1) as user_id, split_part(order_id, ':', 2) as user_session, ordered_at, item_count, net_amount
from customer_360.orders order by user_id, user_session
"""


def test_every_row_lands_and_exact_repeats_survive_from_parquet_and_from_the_original_csv(tmp_path: Path) -> None:
    with duckdb.connect() as warehouse:
        report = land_file(warehouse, path=EVENTS, mapping="rees46", landed_at=datetime(2026, 3, 1))
        assert (report.rows_read, report.accepted) == (ROWS, ROWS)
        counts = warehouse.execute("select event, count(*) from raw.events group by event order by event").fetchall()
        assert counts == [("Order Completed", PURCHASES), ("Product Added", CARTS), ("Product Viewed", VIEWS)]
        repeats = "select count(*) - count(distinct (user_id, occurred_at, event, payload::varchar)) from raw.events"
        assert warehouse.execute(repeats).fetchone() == (5,)
        # the publisher's own files are CSV, with times such as 2019-10-01 00:00:00 UTC: the same rows, so the same ids
        original = tmp_path / "2019-Oct.csv"
        table = duckdb.sql(f"select * replace (event_time::varchar || ' UTC' as event_time) from '{EVENTS}'")
        pyarrow.csv.write_csv(table.to_arrow_table(), original)
        again = land_file(warehouse, path=original, mapping="rees46", landed_at=datetime(2026, 3, 2))
        assert (again.accepted, again.duplicates, again.conflicts) == (0, ROWS, 0)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    home = tmp_path_factory.mktemp("rees46")
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"} | {"WEFT_HOME": str(home)}
    run = ("run", "--as-of", "2019-10-01T03:00", "--reporting-currency", "USD")
    for arguments in (("import", str(EVENTS), "--mapping", "rees46"), run):
        result = subprocess.run([WEFT, *arguments], env=environment, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout + result.stderr
        assert "check failed" not in result.stdout
    with duckdb.connect(str(home / "served" / "current"), read_only=True) as served:
        yield served


def test_every_user_is_a_customer_and_sessions_name_nobody(built: duckdb.DuckDBPyConnection) -> None:
    users = len(set(pq.read_table(EVENTS, columns=["user_id"])["user_id"].to_pylist()))
    assert built.execute("select count(*) from customer_360.customers").fetchone() == (users,) == (4_505,)
    assert built.execute("select count(*) from identity.identifiers").fetchone() == (users,)


def test_visits_and_their_funnel_equal_a_query_over_the_file(built: duckdb.DuckDBPyConnection) -> None:
    direct = duckdb.execute(DIRECT_VISITS, [str(EVENTS)]).fetchall()
    assert built.execute(BUILT_VISITS).fetchall() == direct
    assert [sum(visit[column] for visit in direct) for column in (3, 4, 5)] == [VIEWS, CARTS, 200]


def test_orders_equal_a_query_over_the_file(built: duckdb.DuckDBPyConnection) -> None:
    direct = duckdb.execute(DIRECT_ORDERS, [str(EVENTS)]).fetchall()
    assert built.execute(BUILT_ORDERS).fetchall() == direct
    assert sum(order[3] for order in direct) == PURCHASES
