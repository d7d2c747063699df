"""Dagster's runs as a person asks for them: the last one of every job, and those whose process is gone."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from orchestration.settings import Settings

PROCESS_TAG = "weft/process"
LOOKED_AT = 200
"""Runs that are looked through, newest first, for the last one of every job."""


@dataclass(frozen=True)
class LastRun:
    """The newest run of a job; `status` is Dagster's in lower case, or dead where its process was killed."""

    job: str
    run_id: str
    status: str
    created_at: datetime


def is_dead(run: dg.DagsterRun) -> bool:
    """Whether a pass was killed: Dagster shows it as running for ever."""
    process = run.tags.get(PROCESS_TAG)
    return run.status == dg.DagsterRunStatus.STARTED and bool(process) and not Path(f"/proc/{process}").exists()


def last_runs(settings: Settings) -> list[LastRun]:
    """The newest run of every job, by job; none where Dagster never ran here."""
    if not (settings.dagster_home / "dagster.yaml").exists():
        return []
    newest: dict[str, LastRun] = {}
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        for record in instance.get_run_records(limit=LOOKED_AT):
            run = record.dagster_run
            status = "dead" if is_dead(run) else run.status.value.lower()
            created_at = record.create_timestamp.astimezone(UTC).replace(tzinfo=None)
            newest.setdefault(run.job_name, LastRun(run.job_name, run.run_id, status, created_at))
    return [newest[job] for job in sorted(newest)]
