"""Features at 12 dates: Weft's models, in full and an hour and 1 % new events later, beside one hand-written statement."""

import hashlib
import shutil
from pathlib import Path
from typing import Final

import duckdb

from bench.comparison import Comparison, Ratio
from bench.dbt_models import run_models
from bench.features_by_hand import BY_HAND
from bench.harness import Clock, Contender, Facts, Run
from bench.staged_shop import AS_OF, EVENTS_PER_CUSTOMER, stage_shop
from ml.schema import FEATURES

DATES: Final = 12
UPSTREAM: Final = (
    "stg_exchange_rates",
    "tag:customers,+order_versions",
    "tag:customers,+refund_versions",
    "touched_customers,tag:customers",
    "tag:customers,+touched_customers",
)
MODELS: Final = ("path:models/features",)
NOT_FEATURES: Final = ("channel_labels", "customer_labels")
STAGED: Final = ("staging.stg_events", "identity.event_evidence")

FEATURE_DATES: Final = f"""
    delete from control.feature_dates;
    insert into control.feature_dates by name
    select cast(as_of as date) as as_of_date, as_of, number > 0 as is_training_date
    from (select number, {AS_OF} - interval (30 * number) day as as_of from range({DATES}) as t (number));
    -- an identifier is a customer's from its first event on
    update identity.memberships set known_from = identifiers.first_seen_at
    from identity.identifiers where identifiers.identifier_id = memberships.identifier_id;
"""
AN_HOUR_LATER: Final = f"""
    delete from control.standing_dates;
    insert into control.standing_dates select as_of_date, as_of from control.feature_dates where as_of < {AS_OF};
    update control.feature_dates set as_of = as_of + interval 1 hour where as_of = {AS_OF};
    update control.current_run set
        run_seq = 2, as_of = {AS_OF} + interval 1 hour, since_run_seq = 1, since_as_of = {AS_OF}, since_landed_seq = {{newest}} - 1;
"""


def prepare(run: Run) -> Facts:
    """Two warehouses: one with orders and refunds and no features, one with features of all but the newest 1 % of events, which
    have landed since; orders and refunds are those of now in both. An hour has passed in the second."""
    fresh, built = run.inputs / "fresh.duckdb", run.inputs / "built.duckdb"
    events = run.size * EVENTS_PER_CUSTOMER
    with duckdb.connect(str(fresh)) as native:
        stage_shop(native, events=events, per_customer=EVENTS_PER_CUSTOMER)
        native.execute(FEATURE_DATES)
    shutil.copyfile(fresh, built)
    newest = events * 99 // 100
    with duckdb.connect(str(built)) as native:
        for table in STAGED:
            native.execute(f"create table {table}_of_today as from {table} where landed_seq >= {newest}")
            native.execute(f"delete from {table} where landed_seq >= {newest}")
    run_models(built, run.scratch, Clock(), [*UPSTREAM, *MODELS], exclude=NOT_FEATURES)
    with duckdb.connect(str(built)) as native:
        for table in STAGED:
            native.execute(f"insert into {table} from {table}_of_today")
            native.execute(f"drop table {table}_of_today")
        native.execute(AN_HOUR_LATER.format(newest=newest))
    for warehouse in (fresh, built):
        run_models(warehouse, run.scratch, Clock(), UPSTREAM)
    with duckdb.connect(str(built)) as native:
        touched = native.execute(
            "select (select count(*) from customer_360.touched_customers) / "
            "(select count(distinct customer_id) from identity.memberships)"
        ).fetchone()
    assert touched
    return {"share of customers touched by the new events and the hour": f"{touched[0]:.0%}"}


def weft_full(run: Run) -> Facts:
    """All features at all dates."""
    return _weft(run, "fresh.duckdb")


def weft_increment(run: Run) -> Facts:
    """The features of who was touched at all dates, and of everybody at the run's own."""
    return {f"{name}, an hour later": value for name, value in _weft(run, "built.duckdb").items()}


def _weft(run: Run, inputs: str) -> Facts:
    warehouse = run.scratch / inputs
    shutil.copyfile(run.inputs / inputs, warehouse)
    print(*run_models(warehouse, run.scratch, run.clock, MODELS, exclude=NOT_FEATURES), sep="\n")
    return _facts(warehouse, "features.customer_features")


def by_hand(run: Run) -> Facts:
    """One statement over the same tables, committed to the same file."""
    warehouse = run.scratch / "fresh.duckdb"
    shutil.copyfile(run.inputs / "fresh.duckdb", warehouse)
    with duckdb.connect(str(warehouse)) as native, run.clock.running():
        native.execute(BY_HAND)
    return _facts(warehouse, "by_hand")


def _facts(warehouse: Path, table: str) -> Facts:
    """Rows and dates, and every feature added up: to the thousandth, because sums of doubles depend on the order of their parts."""
    sums = [f"round(sum({feature.name}), 3)" for feature in FEATURES]
    with duckdb.connect(str(warehouse)) as native:
        found = native.execute(
            f"select count(*), count(distinct as_of_date), {', '.join(sums)} from {table}"
        ).fetchone()
    assert found
    rows, dates, *totals = found
    digest = [f"{feature.name} {float(total or 0):.6g}" for feature, total in zip(FEATURES, totals, strict=True)]
    return {"rows": rows, "dates": dates, "features": _hash_of(digest)}


def _hash_of(lines: list[str]) -> str:
    """A short name for what was found; the lines themselves go to stdout, for who wants to see where two contenders differ."""
    print(*lines, sep="\n")
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:12]


WEFT, INCREMENT, BY_HAND_NAME = "Weft, all dates", "Weft, an hour and 1 % new events later", "one statement by hand"

COMPARISON = Comparison(
    title="Features at 12 dates",
    unit="customers",
    prepare=prepare,
    contenders=(Contender(WEFT, weft_full), Contender(INCREMENT, weft_increment), Contender(BY_HAND_NAME, by_hand)),
    ratios=(Ratio(WEFT, BY_HAND_NAME, at_most=1.3), Ratio(WEFT, INCREMENT)),
    note=f"{EVENTS_PER_CUSTOMER} events each, one in 24 an order.",
)
