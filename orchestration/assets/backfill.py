"""Days as partitions: the files of a dated folder of the inbox, and the features of a day's midnight.

They stand beside the assets of a pass instead of partitioning those: an asset is partitioned for all its runs or for none,
and a pass lands whatever lies in the inbox and rebuilds what that touched, whichever days it belongs to.
"""

from datetime import date

import dagster as dg

from orchestration.backfilling import land_days, make_snapshots, snapshot_sizes
from orchestration.resources import Platform
from orchestration.retrying import retried_when_transient
from orchestration.settings import Settings

LANDED_DAYS = dg.AssetKey(["raw", "landed_days"])
SNAPSHOT_DAYS = dg.AssetKey(["features", "snapshot_days"])


def day_assets(settings: Settings) -> dg.AssetsDefinition:
    """Both assets, with one partition a day from WEFT_PARTITIONS_START on; a range of days is one run and one pass."""

    @dg.multi_asset(
        name="days",
        specs=[
            dg.AssetSpec(
                LANDED_DAYS,
                group_name="collect",
                description="The files of inbox/<mapping>/<day>/, landed in the tables of raw; a file that has landed is left alone.",
                skippable=True,
                kinds={"duckdb"},
            ),
            dg.AssetSpec(
                SNAPSHOT_DAYS,
                group_name="predict",
                description="The rows of features.customer_features at the day's midnight: only what was known before, tied by the "
                "identity known then. Later runs keep making them for WEFT_SNAPSHOT_RETENTION_DAYS.",
                deps=[LANDED_DAYS],
                skippable=True,
                kinds={"dbt"},
            ),
        ],
        partitions_def=dg.DailyPartitionsDefinition(start_date=settings.partitions_start.isoformat()),
        backfill_policy=dg.BackfillPolicy.single_run(),
        can_subset=True,
    )
    @retried_when_transient
    def days(context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]):  # type: ignore[no-untyped-def]
        """Land the files of the run's days, then make their snapshots with one pass of engine and models."""
        asked_for = sorted(date.fromisoformat(key) for key in context.partition_keys)
        if LANDED_DAYS in context.selected_asset_keys:
            reports = list(land_days(platform, asked_for))
            for report in reports:
                (context.log.warning if report.problem else context.log.info)(report.sentence())
            counts = {"files": len(reports), "refused_files": sum(report.problem is not None for report in reports)}
            landed = {**counts, "rows_landed": sum(report.accepted for report in reports)}
            yield dg.MaterializeResult(asset_key=LANDED_DAYS, metadata=landed)
        if SNAPSHOT_DAYS in context.selected_asset_keys:
            is_new = make_snapshots(platform, asked_for)
            rows = sum(snapshot_sizes(platform, asked_for).values())
            yield dg.MaterializeResult(
                asset_key=SNAPSHOT_DAYS, metadata={"dagster/row_count": rows, "was_built": is_new}
            )

    return days
