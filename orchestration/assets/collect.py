"""COLLECT: files in the inbox and the event log become rows of `raw`, and the run's clock is set."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import dagster as dg

from orchestration.clock import resolve_as_of, start_run
from orchestration.collecting import ensure_raw_tables, land_folder, landing_target, remember_problems
from orchestration.consent_sweep import sweep_refusals
from orchestration.errors import PassError
from orchestration.log_landing import standing_position
from orchestration.log_passes import LogLanding, try_to_land_the_log
from orchestration.resources import Platform
from orchestration.retrying import retried_when_transient
from orchestration.state import utc_now
from orchestration.turns import take_turn
from orchestration.warehouse import row_count

RAW = {
    "events": "One row per event (source, message_id), whatever its source.",
    "rejected_events": "One row per source row that could not be accepted, with its bytes and the reason.",
    "landings": "One row per landed file, and per source of a landed piece of the event log: the books.",
    "products": "One row per product of a source's catalogue.",
    "exchange_rates": "One row per currency and day from which a rate holds. Seeded with yearly averages from memory: import your own.",
    "rejected_requests": "One row per request to the collector that has a refused part: what `weft replay` reads that from.",
    "privacy_requests": "One row per request of a person (or a shop) to be erased, or told what is stored.",
    "log_positions": "One row: how far the event log has landed, and when that last had to begin again.",
}
CONTROL = {
    "current_run": "One row: the run's as-of instant and reporting currency.",
    "identifier_types": "One row per identifier type of the identity rules.",
    "feature_dates": "One row per date that features are made for.",
    "label_horizons": "One row per number of days that labels look ahead.",
}


class LandingConfig(dg.Config):
    """What a run lands."""

    files: bool = True
    """Files of the inbox and the event log; off: the log alone, and then a log that cannot be landed fails the run."""


@dg.multi_asset(
    name="landed",
    specs=[
        dg.AssetSpec(["raw", table], group_name="collect", description=text, kinds={"duckdb"}, skippable=True)
        for table, text in RAW.items()
    ],
)
@retried_when_transient
def landed(context: dg.AssetExecutionContext, config: LandingConfig, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
    """Land every file of the inbox that has not landed yet, and what the event log holds: each event exactly once, rejects kept with
    their bytes. A file or a log that cannot be landed holds up nothing else: it is remembered, and a check says so."""
    if not config.files:
        yield from _landed_log(context, platform)
        return
    with platform.warehouse.writer() as connection:
        ensure_raw_tables(connection)
        before = {table: row_count(connection, f"raw.{table}") for table in RAW}
        reports = []
        for report in land_folder(connection, folder=platform.settings.inbox, landed_at=utc_now()):
            (context.log.warning if report.problem else context.log.info)(report.sentence())
            reports.append(report)
        sweep_refusals(platform, connection)
    remember_problems(platform.state, reports)
    log = try_to_land_the_log(platform)
    if log and log.problem:
        context.log.warning(f"The event log was not landed: {log.problem}")
    with platform.warehouse.writer() as connection:
        after = {table: row_count(connection, f"raw.{table}") for table in RAW}
    for table in RAW:
        metadata = {"dagster/row_count": after[table], "rows_landed": after[table] - before[table]}
        metadata |= _of_the_log(platform, log) if log and table == "log_positions" else {}
        yield dg.MaterializeResult(asset_key=["raw", table], metadata=metadata)


def _landed_log(context: dg.AssetExecutionContext, platform: Platform) -> Iterator[dg.MaterializeResult[None]]:
    """Land the log alone, without counting tables that may be large. Raises PassError where not all of it could be landed."""
    log = try_to_land_the_log(platform)
    if log is None:
        context.log.info("There is no event log yet.")
        return
    if log.problem:
        raise PassError(log.problem)
    metadata = _of_the_log(platform, log)
    for table in RAW:
        if table != "exchange_rates":  # nobody sends those
            yield dg.MaterializeResult(
                asset_key=["raw", table], metadata=metadata if table == "log_positions" else {"from_log": True}
            )


def _of_the_log(platform: Platform, log: LogLanding) -> dict[str, Any]:
    """What came of landing the log, for people."""
    with platform.warehouse.writer() as connection:
        ensure_raw_tables(connection)
        with landing_target(connection) as target:
            position = standing_position(target)
    found = {
        "events": log.events,
        "duplicates": log.duplicates,
        "conflicts": log.conflicts,
        "rejected": log.rejected,
        "waited_seconds": log.waited_seconds,
        "requests_left_in_log": log.requests_left,
        "epoch": position and position.epoch,
        "restarted_at": position and position.restarted_at and position.restarted_at.isoformat(),
        "restart_reason": position and position.restart_reason,
        "problem": log.problem,
    }
    return {name: value for name, value in found.items() if value is not None}


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
