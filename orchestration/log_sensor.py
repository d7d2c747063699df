"""The sensor that has the event log landed: a run when something is behind the warehouse's position, and again where one was killed."""

from datetime import timedelta

import dagster as dg

from ingestion.event_log import LogError
from ingestion.log_backlog import Backlog, read_backlog
from orchestration.event_log import has_log, opened_log
from orchestration.resources import Platform
from orchestration.runs import forget_runs, unfinished_run
from orchestration.schedules import WRITING_JOBS, landing
from orchestration.state import utc_now

INTERVAL_SECONDS = 60
"""A run takes some eight seconds of a core before it lands anything, to load Dagster and the project."""
KEPT_RUNS = 200
"""Of landings that went well; each takes some 250 kB of Dagster's storage."""
PATIENCE_SECONDS = 3.0
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=15)
"""After a run that left the position where it was, as one does that failed; twice as long after each further one."""
POSITION_TAG = "weft/log_position"
LOG_ALONE = {"ops": {"landed": {"config": {"files": False}}}}


@dg.sensor(
    job=landing,
    description="Land the event log when the collector took something that has not landed; the next refresh builds with it.",
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def log_grown(
    context: dg.SensorEvaluationContext, platform: dg.ResourceParam[Platform]
) -> dg.RunRequest | dg.SkipReason:
    """Request a landing of the log where something is behind the position that has landed.

    The run key is that position and the count of runs that began there: a tick that is repeated asks for the same run, a run that was
    killed or failed is asked for again, and what comes later has a run of its own. The cursor is the last entry that was seen; nothing
    depends on it.
    """
    backlog = _backlog(platform)
    if isinstance(backlog, str):
        return dg.SkipReason(backlog)
    context.update_cursor(f"{backlog.epoch}:{backlog.last_received}")
    if not backlog.is_waiting:
        return dg.SkipReason("All of the event log has landed.")
    running = unfinished_run(context.instance, {*WRITING_JOBS, landing.name})
    if running:
        return dg.SkipReason(
            f"A run of {running.job_name} is {running.status.value.lower()}; what is in the log comes after it."
        )
    position = f"{backlog.epoch}:{backlog.position}"
    before = context.instance.get_run_records(dg.RunsFilter(tags={POSITION_TAG: position}))
    failed = [record for record in before if record.dagster_run.status != dg.DagsterRunStatus.SUCCESS]
    if failed:
        wait = min(FIRST_WAIT * 2 ** min(len(failed) - 1, 10), LONGEST_WAIT)
        due = max(record.create_timestamp.replace(tzinfo=None) for record in failed) + wait
        if utc_now() < due:
            return dg.SkipReason(f"The last landing of the log failed; the next try is at {due:%H:%M:%S} UTC.")
    forget_runs(context.instance, landing.name, kept=KEPT_RUNS)
    return dg.RunRequest(run_key=f"{position}:{len(before)}", run_config=LOG_ALONE, tags={POSITION_TAG: position})


def _backlog(platform: Platform) -> Backlog | str:
    """How the log stands, or one sentence that says why it cannot be asked."""
    if not has_log(platform.settings):
        return "There is no event log yet."
    try:
        with opened_log(platform.settings, start=False, patience_seconds=PATIENCE_SECONDS) as log:
            return read_backlog(log) if log else "The event log does not run; `weft up` starts it."
    except LogError as error:
        return str(error)
