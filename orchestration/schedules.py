"""The jobs and their rhythm."""

from collections.abc import Collection
from typing import Any

import dagster as dg

from orchestration.assets.activate import CONFIRMED, OTHER_AUDIENCES
from orchestration.assets.backfill import LANDED_DAYS, SNAPSHOT_DAYS
from orchestration.assets.crm import CRM_CONTACTS
from orchestration.assets.link_proposals import LINK_PROPOSALS
from orchestration.assets.sync import DESTINATIONS
from orchestration.errors import SettingsError
from orchestration.runs import unfinished_run
from orchestration.settings import Settings

REDIS = dg.AssetSelection.key_prefixes(["redis"])
DAYS = dg.AssetSelection.assets(LANDED_DAYS, SNAPSHOT_DAYS)
PROPOSALS = dg.AssetSelection.assets(LINK_PROPOSALS)
PULLS = dg.AssetSelection.assets(CRM_CONTACTS)
SYNCS = dg.AssetSelection.assets(DESTINATIONS)
RAW = dg.AssetSelection.key_prefixes(["raw"]) & dg.AssetSelection.groups("collect") - DAYS
PASS = dg.AssetSelection.all() - REDIS - DAYS - PROPOSALS - PULLS - SYNCS
TRAINING = dg.AssetSelection.assets(["predictions", "model_versions"])
PREDICTION = dg.AssetSelection.groups("predict")

WRITES = {"weft/writes": "warehouse", "dagster/retry_strategy": "ALL_STEPS"}
"""Runs with this tag go on one at a time (dagster.yaml); one whose process was killed starts again from its first step."""

landing = dg.define_asset_job(
    "landing",
    # checks of whole tables are made by the next refresh
    (RAW.without_checks() | dg.AssetSelection.checks_for_assets(["raw", "log_positions"])),
    tags=WRITES,
    description="Land the inbox and the event log, and build nothing. Asked for by the sensor of the log, it leaves the inbox alone.",
)
whole_pass = dg.define_asset_job(
    "whole_pass", PASS, tags=WRITES, description="All four stages once; the sensor publishes what changed."
)
refresh = dg.define_asset_job(
    "refresh",
    PASS - PREDICTION,
    tags=WRITES,
    description="Land what is new, stitch it, rebuild the 360 and the audiences with the scores at hand.",
)
predictions = dg.define_asset_job(
    "predictions",
    PASS - TRAINING,
    tags=WRITES,
    description="Refresh, and score every customer with the champion models.",
)
backfill = dg.define_asset_job(
    "backfill",
    DAYS,
    tags=WRITES,
    description="Land the files of past days and make their feature snapshots: a range of days in one run.",
)
link_proposals = dg.define_asset_job(
    "link_proposals",
    PROPOSALS,
    description="Match the served customers and propose links between them; waits for no pass and holds none up.",
)
OTHER = dg.AssetSelection.assets(OTHER_AUDIENCES)
CONFIRMATIONS = dg.AssetSelection.assets(CONFIRMED)
ASKED_AGAIN = {"dagster/max_retries": "0"}
"""The sensor itself asks again for what failed or was killed: tries are counted in the operator state."""
publish = dg.define_asset_job(
    "publish",
    REDIS - OTHER - CONFIRMATIONS,
    tags=ASKED_AGAIN,
    description="Publish one version of one audience to Redis.",
)
publish_other = dg.define_asset_job(
    "publish_other",
    OTHER,
    tags=ASKED_AGAIN,
    description="Publish one version of an audience that was defined after this code was loaded, such as a rule.",
)
confirm = dg.define_asset_job(
    "confirm",
    CONFIRMATIONS,
    tags=ASKED_AGAIN,
    description="Tell readers that what is in Redis is as of a newer build too.",
)

JOBS = [landing, whole_pass, refresh, predictions, backfill, link_proposals, publish, publish_other, confirm]
ADHOC = "__ASSET_JOB"
"""Dagster's name of the job behind the UI's button Materialize."""
WRITING_JOBS = frozenset({whole_pass.name, refresh.name, predictions.name, backfill.name, ADHOC})
"""Passes that build. A landing alone is none of them: it is short and frequent, and a schedule that left out its tick for one would
hardly ever refresh; its runs queue with the others by their tag."""


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The three schedules. Raises SettingsError where a cron cannot be used."""
    return [
        _schedule(
            "hourly_refresh",
            refresh,
            ("WEFT_HOURLY_CRON", settings.hourly_cron),
            waits_for=WRITING_JOBS,
            description="Refresh (WEFT_HOURLY_CRON), unless something writes already: that or the next tick brings what is new.",
        ),
        _schedule(
            "daily_predictions",
            predictions,
            ("WEFT_DAILY_CRON", settings.daily_cron),
            waits_for={predictions.name, whole_pass.name},
            description="Refresh and score (WEFT_DAILY_CRON), after a refresh that goes on; not beside another scoring.",
        ),
        _schedule(
            "weekly_training",
            whole_pass,
            ("WEFT_WEEKLY_CRON", settings.weekly_cron),
            waits_for={whole_pass.name},
            description="Refresh, train and score (WEFT_WEEKLY_CRON), after a run that goes on; not beside another training.",
        ),
    ]


def _schedule(
    name: str, job: Any, cron: tuple[str, str], *, waits_for: Collection[str], description: str
) -> dg.ScheduleDefinition:
    setting, expression = cron
    try:

        @dg.schedule(
            name=name,
            job=job,
            cron_schedule=expression,
            description=description,
            default_status=dg.DefaultScheduleStatus.RUNNING,
        )
        def tick(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
            running = unfinished_run(context.instance, waits_for)
            if running:
                return dg.SkipReason(
                    f"A run of {running.job_name} is {running.status.value.lower()} ({running.run_id})."
                )
            return dg.RunRequest()
    except dg.DagsterInvalidDefinitionError:
        raise SettingsError(
            f"The setting {setting} is no cron expression; write five fields such as 0 * * * *."
        ) from None
    return tick
