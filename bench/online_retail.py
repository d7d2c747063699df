"""UCI Online Retail through the product: what landed, whether revenue is right, how good the models are."""

import json
import sys
import time
from pathlib import Path

from bench.comparison import markdown_table
from bench.harness import ROOT, BenchError, run_in_installation, workspace
from bench.retail_reference import CHURN, CHURN_COLUMNS, LTV, LTV_COLUMNS
from orchestration.resources import build_platform
from orchestration.settings import Settings
from orchestration.state import State
from orchestration.warehouse import Connection, first_row

FILE = ROOT.parent / "shared" / "data" / "online_retail" / "transactions.parquet"
LINES = 541_909

BOOKS = """
    select
        count(*) filter (event = 'Order Completed'), count(*) filter (event = 'Order Refunded'),
        count(*) filter (event = 'Order Adjusted'), (select count(*) from raw.rejected_events),
        count(*) filter (user_id is null)
    from raw.events
"""

NET_REVENUE = """
    select
        cast(customer_id as varchar) as user_id,
        coalesce(sum(quantity * cast(unit_price as decimal(18, 4))) filter (
            unit_price > 0 and (quantity > 0 or invoice_no like 'C%')
            and upper(stock_code) not in ('POST', 'DOT', 'C2', 'BANK CHARGES', 'AMAZONFEE', 'CRUK', 'S', 'B')
        ), 0) as net_revenue
    from read_parquet('{file}')
    where customer_id is not null
    group by customer_id
"""
"""The rule in the comment of ingestion/mappings/online_retail.yml, written a second time over the file itself."""

COMPARE = f"""
    select
        count(*), count(*) filter (theirs.net_revenue is distinct from ours.net_revenue),
        sum(theirs.net_revenue), sum(ours.net_revenue)
    from ({NET_REVENUE}) as theirs
    full join customer_360.customers as ours on theirs.user_id = ours.user_id
"""


def run(size: int, repeats: int) -> str:
    """Import the file, run one pass as of 2011-12-10 in GBP, report. Always the whole file, always once."""
    del size, repeats
    if not FILE.exists():
        return "### Online Retail\n\nSkipped: ../shared/data/online_retail/transactions.parquet is not here."
    with workspace() as inputs:
        home, weft = inputs / "weft", str(Path(sys.executable).with_name("weft"))
        started = time.perf_counter()
        run_in_installation([weft, "import", str(FILE), "--mapping", "online_retail"], home=home)
        imported = time.perf_counter()
        run_in_installation([weft, "run", "--as-of", "2011-12-10", "--reporting-currency", "GBP"], home=home)
        times = f"`weft import` {imported - started:.1f} s, `weft run` {time.perf_counter() - imported:.1f} s (start-up in)."
        return "\n".join(["### Online Retail", "", times, "", *_report(Settings(home=home))])


def _report(settings: Settings) -> list[str]:
    with build_platform(home=settings.home).warehouse.open_served() as served:
        return [*_books(served), "", _revenue(served), "", *_models(State(settings.state_url))]


def _books(served: Connection) -> list[str]:
    counts = first_row(served, BOOKS)
    assert counts is not None, "an aggregate without groups has one row"
    *parts, without_customer = counts
    names = ["order lines", "refund lines", "other lines", "rejects", "in all", "lines without a customer"]
    if sum(parts) != LINES:
        raise BenchError(f"{sum(parts):,} lines are accounted for, the file has {LINES:,}.")
    return markdown_table(names, [[f"{count:,}" for count in (*parts, sum(parts), without_customer)]])


def _revenue(served: Connection) -> str:
    customers, differing, theirs, ours = first_row(served, COMPARE.format(file=FILE)) or (0, 0, 0, 0)
    verdict = "equal for every customer" if not differing else f"**{differing:,} customers differ**"
    return (
        f"Net revenue against a direct query over the file: {customers:,} customers, {verdict} "
        f"(sum {theirs:,.2f} GBP there, {ours:,.2f} GBP in customer_360.customers)."
    )


def _models(state: State) -> list[str]:
    lines = []
    for model, columns, published in (("churn", CHURN_COLUMNS, CHURN), ("ltv", LTV_COLUMNS, LTV)):
        card = state.models.champion(model)
        if card is None:
            raise BenchError(f"No {model} model was trained.")
        rows = [[f"**Weft {model}**", *_numbers(json.loads(card["metrics"]), columns)]]
        baselines = json.loads(card["baseline_metrics"]).items()
        rows += [[f"Weft's baseline {name}", *_numbers(metrics, columns)] for name, metrics in baselines]
        rows += [[f"published: {name}", *(f"{value:,.3f}" for value in values)] for name, values in published.items()]
        lines += [f"{model}: {card['test_rows']:,} customers on {str(card['test_date'])[:10]}, the next 90 days.", ""]
        lines += [*markdown_table(["", *columns], rows), ""]
    return lines


def _numbers(metrics: dict[str, float | None], columns: tuple[str, ...]) -> list[str]:
    values = (metrics.get(name) for name in columns)
    return ["" if value is None else f"{value:,.3f}" for value in values]
