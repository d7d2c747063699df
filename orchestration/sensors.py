"""What Weft notices by itself: files put into the inbox, runs that failed or were killed; audiences: orchestration.audience_sensor."""

import hashlib
import json
from datetime import timedelta

import dagster as dg

from orchestration.alerts import remember_failure, tell_due
from orchestration.audience_sensor import audience_changed
from orchestration.errors import NothingServedError
from orchestration.log_sensor import log_grown
from orchestration.resources import Platform
from orchestration.runs import fail_dead_runs, unfinished_run
from orchestration.schedules import WRITING_JOBS, refresh
from orchestration.state import utc_now
from orchestration.sync_sensor import syncs_due

SETTLED_AFTER = timedelta(seconds=10)
"""A file in the inbox that was written to a moment ago may still be growing."""


@dg.sensor(
    job=refresh,
    description="Refresh when files in the inbox are new or have changed, once they have stopped growing.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def inbox_changed(
    context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
) -> dg.RunRequest | dg.SkipReason:
    """Request a refresh when files in the inbox are new or have changed, once they have stopped growing."""
    now = utc_now().timestamp()
    files = {
        str(path.relative_to(platform.settings.inbox)): (path.stat().st_size, path.stat().st_mtime)
        for path in sorted(platform.settings.inbox.glob("[!.]*/**/[!.]*"))
        if path.is_file()
    }
    listing = hashlib.sha256(json.dumps(files).encode()).hexdigest()
    if context.cursor is None and {_as_landed(path) for path in files} <= _landed(platform):
        context.update_cursor(listing)
        return dg.SkipReason("The inbox holds nothing that has not landed.")
    if not files or listing == context.cursor:
        return dg.SkipReason("The inbox holds nothing new.")
    if any(now - changed < SETTLED_AFTER.total_seconds() for _, changed in files.values()):
        return dg.SkipReason("A file in the inbox is still being written.")
    running = unfinished_run(context.instance, WRITING_JOBS)
    if running:
        return dg.SkipReason(
            f"A run of {running.job_name} is {running.status.value.lower()}; what is new comes after it."
        )
    context.update_cursor(listing)
    return dg.RunRequest(run_key=listing)


def _as_landed(path: str) -> str:
    """A file of the inbox as the books name it, whichever day's folder it lies in: mapping/name."""
    parts = path.split("/")
    return f"{parts[0]}/{parts[-1]}"


def _landed(platform: Platform) -> set[str]:
    """Files of the inbox, as `mapping/name`, that the served build has landed."""
    try:
        with platform.warehouse.open_served() as served:
            landed = served.rows("select mapping, origin from raw.landings")
            return {f"{mapping}/{origin}" for mapping, origin in landed}
    except NothingServedError:
        return set()


@dg.run_failure_sensor(
    name="run_failed",
    description="Remember every failed run, whoever started it, so that it is told once.",
    monitor_all_code_locations=True,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def run_failed(context: dg.RunFailureSensorContext, platform: dg.ResourceParam[Platform]) -> None:
    """See `description`; without WEFT_ALERT_WEBHOOK there is nobody to tell."""
    if platform.settings.alert_webhook:
        remember_failure(platform, context.dagster_run, list(context.get_step_failure_events()))


@dg.sensor(
    description="Say of runs whose process was killed that they failed, and tell WEFT_ALERT_WEBHOOK of failed runs.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def run_watch(context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]) -> dg.SkipReason:
    """Say of runs whose process was killed that they failed, and tell WEFT_ALERT_WEBHOOK of failed runs, with back-off."""
    dead = fail_dead_runs(context.instance)
    told = tell_due(platform)
    return dg.SkipReason(f"{len(dead)} runs had been killed. {told}")


SENSORS = [audience_changed, inbox_changed, log_grown, run_failed, run_watch, syncs_due]
