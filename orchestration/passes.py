"""One whole pass in this process: Dagster's own job, then the sensor and the publications that it asks for."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import dagster as dg

from orchestration import definitions
from orchestration.assets.activate import AUDIENCE_NAMES, other_names
from orchestration.assets.dbt_models import STAGE_OF_SCHEMA
from orchestration.audience_catalogue import audiences
from orchestration.errors import PassError
from orchestration.resources import Platform
from orchestration.runs import PROCESS_TAG, fail_dead_runs
from orchestration.schedules import confirm
from orchestration.turns import end_turn

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
STAGES = ("collect", "unify", "predict", "activate")
SENSOR_CURSOR = "audience_changed_cursor"


@dataclass
class PassReport:
    """What a pass did: seconds and materialised assets by stage, metadata by asset key, publications in order."""

    run_id: str
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))
    metadata: dict[str, dict[str, Any]] = field(default_factory=dict)
    published: list[str] = field(default_factory=list)
    failed_checks: list[str] = field(default_factory=list)


def run_pass(platform: Platform, *, as_of: datetime | None) -> PassReport:
    """Collect, unify, predict, activate, then publish what changed through the sensor. Raises PassError with one sentence."""
    with _tools_write_to(platform), dg.DagsterInstance.get() as instance:
        fail_dead_runs(instance)
        job = definitions.defs.resolve_job_def("whole_pass")
        config = {"ops": {"run_clock": {"config": {"as_of": as_of.isoformat() if as_of else None}}}, **QUIET}
        try:
            result = job.execute_in_process(
                run_config=config, instance=instance, raise_on_error=False, tags={PROCESS_TAG: str(os.getpid())}
            )
        finally:
            end_turn(platform.settings)
        report = _report(result)
        if not result.success:
            raise PassError(_what_failed(result))
        publish_changes(platform, instance, report)
    return report


def publish_changes(platform: Platform, instance: dg.DagsterInstance, report: PassReport) -> None:
    """Evaluate the sensor until it asks for nothing more, running each publication it asks for."""
    state = platform.state
    # evaluated here, the sensor's own request for new partitions comes after its runs were looked at
    others = [each.name for each in audiences(state) if each.name not in AUDIENCE_NAMES]
    instance.add_dynamic_partitions(str(other_names.name), others)
    while True:
        cursor = state.setting(SENSOR_CURSOR)
        sensor = definitions.defs.resolve_sensor_def("audience_changed")
        with (
            dg.build_sensor_context(
                instance=instance, cursor=cursor, resources={"platform": platform}, definitions=definitions.defs
            ) as context,
            dg.partition_loading_context(dynamic_partitions_store=instance),
        ):
            tick = sensor.evaluate_tick(context)
        for request in tick.run_requests or []:
            job = definitions.defs.resolve_job_def(request.job_name or "publish")
            result = job.execute_in_process(
                run_config={**request.run_config, **QUIET},
                asset_selection=request.asset_selection,
                tags=dict(request.tags),
                partition_key=request.partition_key,
                instance=instance,
                raise_on_error=False,
            )
            for stage, seconds in _report(result).seconds.items():
                report.seconds[stage] += seconds
            if not result.success:
                raise PassError(_what_failed(result))
            if request.job_name != confirm.name:
                report.published.append(_publication(result))
        if tick.cursor:
            state.remember(SENSOR_CURSOR, tick.cursor)
        if not tick.run_requests:
            return


@contextmanager
def _tools_write_to(platform: Platform) -> Iterator[None]:
    """What dbt prints goes to WEFT_HOME/logs/pass.log: a person who waits for a pass wants to see its outcome."""
    log = platform.settings.home / "logs" / "pass.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf-8") as file, redirect_stdout(file):
        yield


def _report(result: dg.ExecuteInProcessResult) -> PassReport:
    report = PassReport(result.run_id)
    stages: dict[str, str] = {}
    for event in result.get_asset_materialization_events():
        key = event.asset_key
        assert key is not None
        stage = STAGE_OF_SCHEMA.get(key.path[0], "activate")
        if key.path == ["control", "audience_versions"]:
            stage = "activate"
        stages.setdefault(event.step_key or "", stage)
        materialization = event.step_materialization_data.materialization
        report.metadata["/".join(key.path)] = {name: value.value for name, value in materialization.metadata.items()}
    for event in result.filter_events(lambda event: event.is_step_success):
        seconds = event.step_success_data.duration_ms / 1000
        report.seconds[stages.get(event.step_key or "", "activate")] += seconds
    for evaluation in result.get_asset_check_evaluations():
        if not evaluation.passed:
            report.failed_checks.append(f"{'/'.join(evaluation.asset_key.path)}: {evaluation.check_name}")
    return report


def _publication(result: dg.ExecuteInProcessResult) -> str:
    [event] = result.get_asset_materialization_events()
    made = event.step_materialization_data.materialization
    shown = {name: value.value for name, value in made.metadata.items()}
    name = made.partition or made.asset_key.path[-1]
    withheld = f"; {shown['withheld']:,} withheld" if shown.get("withheld") else ""
    held = f"; held back: {shown['held']}" if shown.get("held") else ""
    return (
        f"{name} v{shown['version']}: {shown['dagster/row_count']:,} in all, "
        f"{shown['rows_touched']:,} written or removed ({shown['mode']}){withheld}{held}"
    )


def _what_failed(result: dg.ExecuteInProcessResult) -> str:
    """The failed step and the reason that was nearest to the cause, in one sentence."""
    for event in result.filter_events(lambda event: event.is_step_failure):
        error = event.step_failure_data.error
        while error is not None and error.cause is not None:
            error = error.cause
        reason = " ".join((error.message if error else "no reason given").split())[:600]
        return f"The step {event.step_key} failed: {reason}"
    return "The run failed before its first step; look at it in the Dagster UI."
