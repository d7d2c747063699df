"""Customer 360 from staged events: Weft's models, in full and after 1 % new events, beside one hand-written statement."""

import os
import shutil
from contextlib import ExitStack
from pathlib import Path

import duckdb
from dbt.cli.main import dbtRunner
from dbt_common.events.base_types import EventMsg

from bench.comparison import Comparison, Ratio
from bench.customer360_by_hand import BY_HAND
from bench.harness import BenchError, Clock, Contender, Facts, Run
from bench.staged_shop import AS_OF, EVENTS, EVENTS_PER_CUSTOMER, IDENTITY
from identity.rules import load_rules
from identity.tables import MEMBERSHIPS
from orchestration.clock import BUILDS, CURRENT_RUN, DATES
from orchestration.collecting import ensure_raw_tables
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.transform import DBT_PROJECT, PASS_VARS
from orchestration.warehouse import SQL_TYPES, create_table, write_table

MODELS = ("stg_exchange_rates", "tag:customers,+customers")
"""customer_360.customers and all that it is made of, from the owners of evidence on."""
TYPES = {"identifier_type": "varchar", "priority": "integer", "is_strong": "boolean"}

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
        connection = DuckDBConnection(native)
        ensure_raw_tables(connection)
        for schema in ("staging", "identity"):
            native.execute(f"create schema {schema}")
        create_table(connection, "identity.memberships", {f.name: SQL_TYPES[f.type] for f in MEMBERSHIPS})
        for table, columns in {
            "current_run": CURRENT_RUN,
            "builds": BUILDS,
            "feature_dates": DATES,
            "standing_dates": DATES,
        }.items():
            create_table(connection, f"control.{table}", columns)
        write_table(connection, "control.identifier_types", load_rules(None).types_table(), TYPES)
        native.execute(
            f"insert into control.current_run by name select {AS_OF} as as_of, 'EUR' as reporting_currency, 1 as run_seq"
        )
        native.execute(EVENTS.format(size=run.size, per_customer=EVENTS_PER_CUSTOMER))
        native.execute(IDENTITY)
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
    """Run the models in this process; the clock runs while a model does (its own time as dbt takes it), not while dbt starts or parses."""
    os.environ["WEFT_DUCKDB_PATH"] = str(warehouse)  # noqa: TID251  (dbt reads it; the harness gave this process an environment of its own)
    folders = [
        "--project-dir",
        str(DBT_PROJECT),
        "--profiles-dir",
        str(DBT_PROJECT),
        "--target-path",
        str(scratch / "target"),
    ]
    arguments = ["--quiet", "--log-level-file", "none", "run", "--select", *MODELS, "--vars", PASS_VARS, *folders]
    models = _ModelClock(clock)
    result = dbtRunner(callbacks=[models.hear]).invoke(arguments)
    if not result.success:
        raise BenchError(f"dbt could not build Customer 360: {result.exception or 'see its output'}.")
    print(*models.seconds, sep="\n")


class _ModelClock:
    """Adds the time between dbt's start of a model and its commit to a clock; one model runs at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running = ExitStack()
        self.seconds: list[tuple[str, float]] = []

    def hear(self, event: EventMsg) -> None:
        """What dbt tells."""
        if event.info.name == "NodeStart":
            self._before = self._clock.seconds
            self._running.enter_context(self._clock.running())
        elif event.info.name == "NodeFinished":
            self._running.close()
            self.seconds.append((event.data.node_info.node_name, round(self._clock.seconds - self._before, 3)))


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
