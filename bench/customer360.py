"""Customer 360 from staged events: Weft's models, in full and after 1 % new events, beside one hand-written statement."""

import shutil
from pathlib import Path

import duckdb

from bench.comparison import Comparison, Ratio
from bench.customer360_by_hand import BY_HAND
from bench.dbt_models import run_models
from bench.harness import Clock, Contender, Facts, Run
from bench.staged_shop import AS_OF, EVENTS_PER_CUSTOMER, stage_shop

MODELS = ("stg_exchange_rates", "tag:customers,+customers")
"""customer_360.customers and all that it is made of, from the owners of evidence on."""

FACTS = {
    "customers": "count(*)",
    "sessions": "sum(session_count)",
    "abandoned carts": "sum(abandoned_cart_count)",
    "orders": "sum(order_count)",
    "net revenue": "sum(net_revenue)",
    "views in 30 days": "sum(product_view_count_30d)",
    "moves": "sum(place_change_count)",
    "consenting": "count(*) filter (has_consent_advertising)",
    "quintiles": "sum(monetary_quintile * 100 + frequency_quintile * 10 + recency_quintile)",
    "strength": "sum(profile_strength)",
}


def prepare(run: Run) -> Facts:
    """Two warehouses: one with all events and nothing built, one built without the newest 1 % of them, which have landed since."""
    fresh, built = run.inputs / "fresh.duckdb", run.inputs / "built.duckdb"
    with duckdb.connect(str(fresh)) as native:
        stage_shop(native, events=run.size, per_customer=EVENTS_PER_CUSTOMER)
    shutil.copyfile(fresh, built)
    newest = run.size * 99 // 100
    with duckdb.connect(str(built)) as native:
        for table in ("staging.stg_events", "identity.event_evidence"):
            native.execute(f"create table {table}_of_today as from {table} where landed_seq >= {newest}")
            native.execute(f"delete from {table} where landed_seq >= {newest}")
    _build(built, run.scratch, Clock())
    with duckdb.connect(str(built)) as native:
        for table in ("staging.stg_events", "identity.event_evidence"):
            native.execute(f"insert into {table} from {table}_of_today")
            native.execute(f"drop table {table}_of_today")
        native.execute(
            f"update control.current_run set run_seq = 2, since_run_seq = 1, since_as_of = {AS_OF}, since_landed_seq = {newest - 1}"
        )
        touched = native.execute(
            "select count(distinct customer_id) / (select count(distinct customer_id) from identity.memberships) "
            "from identity.event_evidence "
            "inner join identity.evidence_identifiers using (evidence_id) inner join identity.memberships using (identifier_id) "
            f"where landed_seq >= {newest}"
        ).fetchone()
    assert touched
    return {"share of customers with a new event": f"{touched[0]:.0%}"}


def weft_full(run: Run) -> Facts:
    """All models over all events."""
    return _weft(run, "fresh.duckdb")


def weft_increment(run: Run) -> Facts:
    """All models after 1 % new events, on the build before."""
    return _weft(run, "built.duckdb")


def _weft(run: Run, inputs: str) -> Facts:
    warehouse = run.scratch / inputs
    shutil.copyfile(run.inputs / inputs, warehouse)
    _build(warehouse, run.scratch, run.clock)
    return _facts(warehouse, "customer_360.customers")


def by_hand(run: Run) -> Facts:
    """One statement over the same tables, committed to the same file."""
    warehouse = run.scratch / "fresh.duckdb"
    shutil.copyfile(run.inputs / "fresh.duckdb", warehouse)
    with duckdb.connect(str(warehouse)) as native, run.clock.running():
        native.execute(BY_HAND)
    return _facts(warehouse, "c360")


def _build(warehouse: Path, scratch: Path, clock: Clock) -> None:
    print(*run_models(warehouse, scratch, clock, MODELS), sep="\n")


def _facts(warehouse: Path, table: str) -> Facts:
    with duckdb.connect(str(warehouse)) as native:
        found = native.execute(f"select {', '.join(FACTS.values())} from {table}").fetchone()
    assert found
    return {name: int(value) for name, value in zip(FACTS, found, strict=True)}


WEFT, INCREMENT, BY_HAND_NAME = "Weft, all events", "Weft, after 1 % new events", "one statement by hand"

COMPARISON = Comparison(
    title="Customer 360",
    unit="staged events",
    prepare=prepare,
    contenders=(Contender(WEFT, weft_full), Contender(INCREMENT, weft_increment), Contender(BY_HAND_NAME, by_hand)),
    ratios=(Ratio(WEFT, BY_HAND_NAME, at_most=1.3), Ratio(WEFT, INCREMENT, at_least=4)),
    note="The new events have landed late: the run's clock stands still, so that no customer is touched by a window's edge alone.",
)
