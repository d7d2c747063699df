"""A failed run is told once, by the sensors themselves and to a real receiver; a killed one too."""

import os
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster import DagsterInstance

from orchestration.resources import Platform, build_platform
from orchestration.runs import PROCESS_TAG, fail_dead_runs, is_dead, unfinished_run
from orchestration.state import utc_now
from tests.orchestration.test_webhooks import receiver

CANARY = "jane.doe@example.com"


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as ephemeral:
        yield ephemeral


def platform_at(home: Path, url: str | None) -> Platform:
    return build_platform(home=home, alert_webhook=url, allow_private_webhooks=True)


@dg.op
def reads_a_row() -> None:
    raise ValueError(f"Could not convert '{CANARY}'")


@dg.job
def refreshing() -> None:
    reads_a_row()


def evaluate(name: str, instance: DagsterInstance, platform: Platform, cursor: str | None = None) -> str | None:
    from orchestration.sensors import SENSORS

    [sensor] = [sensor for sensor in SENSORS if sensor.name == name]
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": platform}) as context:
        return sensor.evaluate_tick(context).cursor


@pytest.mark.usefixtures("manifest")
def test_a_failed_run_is_told_once_however_often_the_sensors_look(
    instance: DagsterInstance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with receiver(500, 503, 200) as (url, taken):
        platform = platform_at(tmp_path, url)
        before = evaluate("run_failed", instance, platform)
        run = refreshing.execute_in_process(instance=instance, raise_on_error=False)
        for cursor in (before, before):  # the second as after a kill between the outbox and the cursor
            evaluate("run_failed", instance, platform, cursor)
        for minutes in range(5):
            now = utc_now() + timedelta(minutes=minutes)
            monkeypatch.setattr("orchestration.alerts.utc_now", lambda now=now: now)
            evaluate("run_watch", instance, platform)
    assert [post["code"] for post in taken] == [500, 503, 200]
    bodies = [post["body"] for post in taken]
    assert (
        bodies[0]
        == bodies[-1]
        == {
            "job": "refreshing",
            "run_id": run.run_id,
            "failed_step": "reads_a_row",
            "sentence": "refreshing failed in the step reads_a_row (ValueError).",
            "link": f"http://127.0.0.1:3000/runs/{run.run_id}",
        }
    )
    assert CANARY not in str(taken)


def test_tries_wait_longer_and_longer_up_to_an_hour(tmp_path: Path) -> None:
    outbox, now = platform_at(tmp_path, None).state.alerts, utc_now()
    outbox.add("run", {"job": "refresh"}, now=now)
    waits = []
    for _ in range(12):
        [alert] = outbox.due(now)
        outbox.not_told(alert, now=now)
        waited = next(seconds for seconds in range(1, 4000) if outbox.due(now + timedelta(seconds=seconds)))
        waits.append(waited)
        now += timedelta(seconds=waited)
    assert waits == [30, 60, 120, 240, 480, 960, 1920, *[3600] * 5]
    [alert] = outbox.due(now)
    outbox.told(alert)
    outbox.add("run", {"job": "refresh"}, now=now)
    assert outbox.due(now + timedelta(days=365)) == []


@pytest.mark.usefixtures("manifest")
def test_without_a_webhook_nothing_is_kept(instance: DagsterInstance, tmp_path: Path) -> None:
    platform = platform_at(tmp_path, None)
    cursor = evaluate("run_failed", instance, platform)
    refreshing.execute_in_process(instance=instance, raise_on_error=False)
    evaluate("run_failed", instance, platform, cursor)
    assert platform.state.alerts.due(utc_now()) == []


def ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def started_run(instance: DagsterInstance, *, tags: dict[str, str]) -> dg.DagsterRun:
    return instance.create_run_for_job(refreshing, status=dg.DagsterRunStatus.STARTED, tags=tags)


def test_a_killed_run_becomes_failed_and_holds_up_nobody(instance: DagsterInstance) -> None:
    jobs = {"refreshing"}
    dead = started_run(instance, tags={PROCESS_TAG: str(ended_process())})
    assert is_dead(instance, dead)
    assert unfinished_run(instance, jobs) is None
    alive = started_run(instance, tags={PROCESS_TAG: str(os.getpid())})
    found: Any = unfinished_run(instance, jobs)
    assert found.run_id == alive.run_id
    assert unfinished_run(instance, {"another job"}) is None
    assert [run.run_id for run in fail_dead_runs(instance)] == [dead.run_id]
    assert fail_dead_runs(instance) == []
    status = {run.run_id: run.status for run in instance.get_runs()}
    assert status == {dead.run_id: dg.DagsterRunStatus.FAILURE, alive.run_id: dg.DagsterRunStatus.STARTED}


def test_the_process_of_a_run_that_dagster_launched_is_read_from_its_events(instance: DagsterInstance) -> None:
    from dagster._core.events import EngineEventData

    run = started_run(instance, tags={})
    assert not is_dead(instance, run)
    instance.report_engine_event("Started process", run, EngineEventData.in_process(ended_process()))
    assert is_dead(instance, run)
