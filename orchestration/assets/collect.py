"""COLLECT: files in the inbox become rows of `raw`, and the run's clock is set."""

from datetime import datetime

import dagster as dg

from orchestration.clock import resolve_as_of, start_run
from orchestration.collecting import ensure_raw_tables, land_folder, remember_problems
from orchestration.resources import Platform
from orchestration.retrying import retried_when_transient
from orchestration.state import utc_now
from orchestration.turns import take_turn
from orchestration.warehouse import row_count

RAW = {
    "events": "One row per event (source, message_id), whatever its source.",
    "rejected_events": "One row per source row that could not be accepted, with its bytes and the reason.",
    "landings": "One row per landed file: the books.",
    "products": "One row per product of a source's catalogue.",
    "exchange_rates": "One row per currency and day from which a rate holds. Seeded with yearly averages from memory: import your own.",
}
CONTROL = {
    "current_run": "One row: the run's as-of instant and reporting currency.",
    "identifier_types": "One row per identifier type of the identity rules.",
    "feature_dates": "One row per date that features are made for.",
}


@dg.multi_asset(
    specs=[
        dg.AssetSpec(["raw", table], group_name="collect", description=text, kinds={"duckdb"}, skippable=True)
        for table, text in RAW.items()
    ],
)
@retried_when_transient
def landed_files(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Land every file of the inbox that has not landed yet: each event exactly once, rejects kept with their bytes."""
    with platform.warehouse.writer() as connection:
        ensure_raw_tables(connection)
        before = {table: row_count(connection, f"raw.{table}") for table in RAW}
        reports = []
        for report in land_folder(connection, folder=platform.settings.inbox, landed_at=utc_now()):
            (context.log.warning if report.problem else context.log.info)(report.sentence())
            reports.append(report)
        after = {table: row_count(connection, f"raw.{table}") for table in RAW}
    remember_problems(platform.state, reports)
    for table in RAW:
        metadata = {"dagster/row_count": after[table], "rows_landed": after[table] - before[table]}
        yield dg.MaterializeResult(asset_key=["raw", table], metadata=metadata)


class ClockConfig(dg.Config):
    """The instant that a run looks back from."""

    as_of: str | None = None
    """ISO instant in UTC; empty: the installation's pinned clock where there is one, else now."""


@dg.multi_asset(
    specs=[
        dg.AssetSpec(
            ["control", table], group_name="collect", description=text, deps=[["raw", "events"]], kinds={"duckdb"}
        )
        for table, text in CONTROL.items()
    ],
)
@retried_when_transient
def run_clock(context: dg.AssetExecutionContext, config: ClockConfig, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Set the run's clock: events known at or after it do not exist for this run. Waits for a pass in progress."""
    asked = datetime.fromisoformat(config.as_of) if config.as_of else None
    take_turn(platform.settings)
    as_of = resolve_as_of(platform.state, asked)
    with platform.warehouse.writer() as connection:
        dates = start_run(
            connection,
            run_id=context.run.run_id,
            as_of=as_of,
            settings=platform.settings,
            state=platform.state,
            rules=platform.rules,
        )
    metadata = {"as_of": as_of.isoformat(), "feature_dates": ", ".join(str(date.date()) for date in dates)}
    for table in CONTROL:
        yield dg.MaterializeResult(asset_key=["control", table], metadata=metadata)
