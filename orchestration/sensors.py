"""What Weft notices by itself: an audience that changed, files put into the inbox, runs that failed or were killed."""

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from orchestration.alerts import remember_failure, tell_due
from orchestration.assets.activate import AUDIENCE_NAMES
from orchestration.consent_sweep import sweep_when_idle
from orchestration.errors import NothingServedError
from orchestration.log_sensor import log_grown
from orchestration.publishing import PROFILES, pending_versions, register_changes
from orchestration.registering import gate_problems
from orchestration.resources import Platform
from orchestration.runs import fail_dead_runs, unfinished_run
from orchestration.schedules import WRITING_JOBS, publish, refresh
from orchestration.state import utc_now
from orchestration.sync_sensor import syncs_due

PUBLISHED_NAMES = {PROFILES, *AUDIENCE_NAMES}
SETTLED_AFTER = timedelta(seconds=10)
"""A file in the inbox that was written to a moment ago may still be growing."""


@dg.sensor(
    job=publish,
    description="Publish every audience, and the profiles, whose content or definition changed; again those that failed.",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def audience_changed(
    context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Request one publication for every version registered since the cursor, and again for those that failed.

    First registers what changed without us, an analyst's own `dbt build` included. The cursor is the last version seen; the run
    key is audience, version and try, so that neither a restart nor a repeated tick publishes twice or skips one.
    """
    sweep_when_idle(platform)  # what a landing that was killed did not come to
    register_changes(platform.warehouse, platform.state, wait=False)
    for problem in gate_problems(platform.state).values():
        context.log.warning(problem)
    cursor = int(context.cursor or 0)
    pending = pending_versions(platform.state, after=cursor, now=utc_now())
    for version, attempt in pending:
        if version.audience not in PUBLISHED_NAMES:
            # its files came after this code location was loaded; it stays pending until that is reloaded
            context.log.warning(f"{version.audience} is new: reload the code location to publish it.")
            continue
        asset = dg.AssetKey(["redis", version.audience])
        yield dg.RunRequest(
            run_key=f"{version.audience}:{version.version}:{attempt}",
            asset_selection=[asset],
            run_config={
                "ops": {asset.to_python_identifier(): {"config": {"version": version.version, "attempt": attempt}}}
            },
            tags={"weft/audience": version.audience, "weft/version": str(version.version)},
        )
    if not pending:
        yield dg.SkipReason("No audience has changed.")
    context.update_cursor(str(max([cursor, *(version.seq for version, _ in pending)])))


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
