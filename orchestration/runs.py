"""Dagster's runs as a person asks for them: the last one of every job, those that are not over, those whose process is gone."""

import os
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage

from orchestration.settings import Settings

PROCESS_TAG = "weft/process"
LOOKED_AT = 200
"""Runs that are looked through, newest first, for the last one of every job."""
FORGOTTEN_AT_ONCE = 20
NOT_OVER = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
STARTS_WITHIN = timedelta(seconds=90)
"""A run that was launched so long ago and has no process yet never got one."""
KILLED = "The process of this run was killed; a new run does the rest."


@dataclass(frozen=True)
class LastRun:
    """The newest run of a job; `status` is Dagster's in lower case, or dead where its process was killed."""

    job: str
    run_id: str
    status: str
    created_at: datetime


def is_dead(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run was killed: Dagster alone would show it as running for ever."""
    if run.status not in (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED):
        return False
    process = _process(instance, run)
    return process is not None and not _is_alive(process)


def fail_dead_runs(instance: dg.DagsterInstance) -> list[dg.DagsterRun]:
    """Say of runs whose process was killed that they failed; returns them."""
    started = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED]))
    dead = [run for run in started if is_dead(instance, run)]
    for run in dead:
        instance.report_run_failed(run, message=KILLED)
    return dead


def unfinished_run(instance: dg.DagsterInstance, jobs: Collection[str]) -> dg.DagsterRun | None:
    """A run of one of these jobs that waits or goes on; None where there is none, or only such as were killed."""
    runs = instance.get_runs(dg.RunsFilter(statuses=NOT_OVER))
    return next((run for run in runs if run.job_name in jobs and not is_dead(instance, run)), None)


def goes_on(instance: dg.DagsterInstance, tags: Mapping[str, str]) -> bool | None:
    """Whether the newest run with these tags waits or has a process that lives; None where there is none."""
    records = instance.get_run_records(dg.RunsFilter(tags=dict(tags)), limit=1)
    return _goes_on(instance, records[0]) if records else None


def runs_going_on(instance: dg.DagsterInstance, jobs: Collection[str]) -> list[dg.DagsterRun]:
    """Runs of these jobs that wait in the queue or have a process that lives; one whose process never came is none of them."""
    records = instance.get_run_records(dg.RunsFilter(statuses=NOT_OVER))
    return [each.dagster_run for each in records if each.dagster_run.job_name in jobs and _goes_on(instance, each)]


def _goes_on(instance: dg.DagsterInstance, record: dg.RunRecord) -> bool:
    run = record.dagster_run
    if run.status not in NOT_OVER:
        return False
    if run.status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED):
        return True
    process = _process(instance, run)
    if process is None:
        return datetime.now(UTC) - record.update_timestamp.astimezone(UTC) < STARTS_WITHIN
    return _is_alive(process)


def forget_runs(instance: dg.DagsterInstance, job: str, *, kept: int) -> None:
    """Forget the oldest runs of a job that ends well again and again, all but the newest `kept` and those that failed.

    Dagster keeps a file a run, for ever; a job that runs every minute would fill the disk with them. A few are forgotten at a time.
    """
    good = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.SUCCESS])
    for record in instance.get_run_records(good, limit=kept + FORGOTTEN_AT_ONCE)[kept:]:
        run_id = record.dagster_run.run_id
        instance.delete_run(run_id)
        # what it deletes are rows: the run's file keeps its size, and its logs stay
        shutil.rmtree(Path(instance.storage_directory()) / run_id, ignore_errors=True)
        events = instance.event_log_storage
        if isinstance(events, SqliteEventLogStorage):
            for part in ("", "-wal", "-shm"):
                Path(f"{events.path_for_shard(run_id)}{part}").unlink(missing_ok=True)


def last_runs(settings: Settings) -> list[LastRun]:
    """The newest run of every job, by job; none where Dagster never ran here."""
    if not (settings.dagster_home / "dagster.yaml").exists():
        return []
    newest: dict[str, LastRun] = {}
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        for record in instance.get_run_records(limit=LOOKED_AT):
            run = record.dagster_run
            status = "dead" if is_dead(instance, run) else run.status.value.lower()
            created_at = record.create_timestamp.astimezone(UTC).replace(tzinfo=None)
            newest.setdefault(run.job_name, LastRun(run.job_name, run.run_id, status, created_at))
    return [newest[job] for job in sorted(newest)]


def _process(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """The process a run goes on in: a pass says it in a tag, Dagster's own launcher in its events."""
    if tagged := run.tags.get(PROCESS_TAG):
        return int(tagged)
    process = None
    for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        if event and "pid" in event.engine_event_data.metadata:
            process = int(str(event.engine_event_data.metadata["pid"].value))
    return process


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True
