"""The real file through its mapping: every line is accounted for, and net revenue equals a query over the file."""

from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from ingestion.landing_report import LandingReport
from orchestration.landing import land_file

TRANSACTIONS = Path(__file__).parents[3] / "shared" / "data" / "online_retail" / "transactions.parquet"

pytestmark = pytest.mark.skipif(
    not TRANSACTIONS.is_file(), reason="../shared/data/online_retail/transactions.parquet is not beside this repository"
)

# lines of postage, fees, samples and bad debt, and lines that move no money, stand outside
NET_REVENUE = """
select customer_id::varchar as customer, round(sum(quantity * unit_price), 2) as revenue
from read_parquet(?)
where unit_price > 0 and (quantity > 0 or invoice_no like 'C%')
    and upper(stock_code) not in ('POST', 'DOT', 'C2', 'BANK CHARGES', 'AMAZONFEE', 'CRUK', 'S', 'B')
group by customer order by customer nulls first
"""

LANDED_REVENUE = """
select user_id as customer, round(sum(case event when 'Order Completed' then 1 when 'Order Refunded' then -1 end
    * (line->>'price')::double * (line->>'quantity')::double), 2) as revenue
from raw.events, unnest(from_json(properties->'$.products', '["JSON"]')) as lines(line)
where event in ('Order Completed', 'Order Refunded')
group by customer order by customer nulls first
"""


@pytest.fixture(scope="module")
def landed() -> tuple[duckdb.DuckDBPyConnection, LandingReport]:
    warehouse = duckdb.connect()
    landed_at = datetime(2026, 3, 1)
    return warehouse, land_file(warehouse, path=TRANSACTIONS, mapping="online_retail", landed_at=landed_at)


def test_order_refund_and_other_lines_and_rejects_add_up(
    landed: tuple[duckdb.DuckDBPyConnection, LandingReport],
) -> None:
    warehouse, report = landed
    counts = dict(warehouse.execute("select event, count(*) from raw.events group by event").fetchall())
    assert counts == {"Order Completed": 528_114, "Order Refunded": 9_025, "Order Adjusted": 4_768}
    assert sum(counts.values()) + report.rejected_count == report.rows_read == 541_909
    assert report.rejected == {"negative_price": 2}


def test_lines_without_a_customer_and_true_duplicates_are_kept(
    landed: tuple[duckdb.DuckDBPyConnection, LandingReport],
) -> None:
    warehouse, report = landed
    anonymous, repeated = warehouse.execute(
        "select count(*) filter (user_id is null), count(*) - count(distinct payload::varchar) from raw.events"
    ).fetchall()[0]
    assert anonymous == 135_080 - report.rejected_count
    assert repeated == 5_268


def test_net_revenue_per_customer_equals_a_query_over_the_file(
    landed: tuple[duckdb.DuckDBPyConnection, LandingReport],
) -> None:
    warehouse, _ = landed
    direct = warehouse.execute(NET_REVENUE, [str(TRANSACTIONS)]).fetchall()
    assert warehouse.execute(LANDED_REVENUE).fetchall() == direct
    assert len(direct) > 4_300


def test_a_second_import_lands_nothing(landed: tuple[duckdb.DuckDBPyConnection, LandingReport]) -> None:
    warehouse, _ = landed
    again = land_file(warehouse, path=TRANSACTIONS, mapping="online_retail", landed_at=datetime(2026, 4, 1))
    assert (again.accepted, again.rejected_count, again.duplicates, again.conflicts) == (0, 0, 541_909, 0)
