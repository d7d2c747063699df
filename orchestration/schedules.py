"""The jobs and their rhythm."""

import dagster as dg

REDIS = dg.AssetSelection.key_prefixes(["redis"])
TRAINING = dg.AssetSelection.assets(["predictions", "model_versions"])
PREDICTION = dg.AssetSelection.groups("predict")

whole_pass = dg.define_asset_job(
    "whole_pass",
    dg.AssetSelection.all() - REDIS,
    description="All four stages once; the sensor publishes what changed.",
)
refresh = dg.define_asset_job(
    "refresh",
    dg.AssetSelection.all() - REDIS - PREDICTION,
    description="Land what is new, stitch it, rebuild the 360 and the audiences with the scores at hand.",
)
predictions = dg.define_asset_job(
    "predictions",
    dg.AssetSelection.all() - REDIS - TRAINING,
    description="Refresh, and score every customer with the champion models.",
)
publish = dg.define_asset_job("publish", REDIS, description="Publish one version of one audience to Redis.")

JOBS = [whole_pass, refresh, predictions, publish]

SCHEDULES = [
    dg.ScheduleDefinition(
        name="hourly_refresh", job=refresh, cron_schedule="0 * * * *", default_status=dg.DefaultScheduleStatus.RUNNING
    ),
    dg.ScheduleDefinition(
        name="daily_predictions",
        job=predictions,
        cron_schedule="30 4 * * *",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    ),
    dg.ScheduleDefinition(
        name="weekly_training",
        job=whole_pass,
        cron_schedule="30 3 * * 0",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    ),
]
