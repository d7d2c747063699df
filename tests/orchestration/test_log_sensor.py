"""The sensor that has the event log landed, and the job that it asks for."""

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance

from orchestration.log_passes import land_the_log
from orchestration.resources import Platform
from orchestration.settings import DAGSTER_CONFIG
from tests.orchestration.collected import call, rows, send

pytestmark = pytest.mark.usefixtures("manifest")


@pytest.fixture
def own_instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    """A Dagster with the configuration that Weft writes."""
    (tmp_path / "dagster.yaml").write_text(DAGSTER_CONFIG, encoding="utf-8")
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        yield instance


def tick(platform: Platform, instance: DagsterInstance, cursor: str | None = None) -> dg.RunRequest | str:
    from orchestration.definitions import defs

    sensor = defs.resolve_sensor_def("log_grown")
    with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": platform}) as context:
        evaluated = sensor.evaluate_tick(context)
    requests = evaluated.run_requests or []
    return requests[0] if requests else evaluated.skip_message or ""


def started(request: dg.RunRequest | str, instance: DagsterInstance, status: dg.DagsterRunStatus) -> dg.DagsterRun:
    """The run that Dagster makes of a request."""
    assert isinstance(request, dg.RunRequest)
    run = dg.DagsterRun("landing", tags=dict(request.tags), status=status)
    instance.add_run(run)
    return run


def test_the_sensor_asks_for_one_run_a_position_and_again_where_it_was_killed(
    platform: Platform, own_instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration import log_sensor

    assert tick(platform, own_instance) == "All of the event log has landed."
    send(platform, call("1"))
    first, again = tick(platform, own_instance), tick(platform, own_instance, cursor="of another time")
    assert isinstance(first, dg.RunRequest)
    assert isinstance(again, dg.RunRequest)
    assert first.run_key == again.run_key, "a tick that is repeated asks for the same run"
    assert first.run_config == {"ops": {"landed": {"config": {"files": False}}}}
    run = started(first, own_instance, dg.DagsterRunStatus.STARTED)
    assert "A run of landing is started" in str(tick(platform, own_instance))
    own_instance.report_run_failed(run)
    assert "the next try is at" in str(tick(platform, own_instance))
    later = log_sensor.utc_now() + timedelta(minutes=1)
    monkeypatch.setattr(log_sensor, "utc_now", lambda: later)
    retried = tick(platform, own_instance)
    assert isinstance(retried, dg.RunRequest)
    assert retried.run_key != first.run_key
    land_the_log(platform)
    assert tick(platform, own_instance) == "All of the event log has landed."
    send(platform, call("2"))
    next_one = tick(platform, own_instance)
    assert isinstance(next_one, dg.RunRequest)
    assert next_one.run_key not in (first.run_key, retried.run_key)


def test_the_sensor_leaves_a_writing_run_alone_and_a_refresh_does_not_wait_for_a_landing(
    platform: Platform, own_instance: DagsterInstance
) -> None:
    from orchestration.definitions import defs
    from orchestration.schedules import WRITES, WRITING_JOBS

    send(platform, call("1"))
    own_instance.add_run(dg.DagsterRun("refresh", status=dg.DagsterRunStatus.STARTING))
    assert tick(platform, own_instance) == "A run of refresh is starting; what is in the log comes after it."
    assert "landing" not in WRITING_JOBS
    assert WRITES.items() <= defs.resolve_job_def("landing").tags.items()


def test_landings_that_went_well_do_not_fill_the_disk(
    platform: Platform, own_instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration import log_sensor

    monkeypatch.setattr(log_sensor, "KEPT_RUNS", 2)
    states = [dg.DagsterRunStatus.FAILURE, *[dg.DagsterRunStatus.SUCCESS] * 4]
    runs = [dg.DagsterRun("landing", status=state) for state in states] + [dg.DagsterRun("refresh", status=states[1])]
    for run in runs:
        own_instance.add_run(run)
        own_instance.report_engine_event("it went on", run)
    files = set(Path(own_instance.root_directory).rglob("*-*-*-*-*.db"))
    assert {file.stem for file in files} == {run.run_id for run in runs}
    send(platform, call("1"))
    assert isinstance(tick(platform, own_instance), dg.RunRequest)
    left = {run.run_id for run in own_instance.get_runs()}
    assert left == {runs[at].run_id for at in (0, 3, 4, 5)}
    assert {file.stem for file in files if file.exists()} == left


def test_the_job_lands_the_log_alone_and_says_what_came(platform: Platform, tmp_path: Path) -> None:
    from orchestration.definitions import defs

    inbox = platform.settings.inbox / "segment"
    inbox.mkdir(parents=True)
    (inbox / "a.ndjson").write_text(json.dumps(call("file", timestamp="2026-02-01T00:00:00Z")) + "\n")
    send(platform, call("1"), b"{broken")
    job = defs.resolve_job_def("landing")
    alone = {"ops": {"landed": {"config": {"files": False}}}}

    def run(config: dict[str, object]) -> dict[str, dict[str, object]]:
        with dg.DagsterInstance.ephemeral() as instance:
            result = job.execute_in_process(run_config=config, instance=instance, resources={"platform": platform})
        assert result.success
        assert {each.check_name: each.passed for each in result.get_asset_check_evaluations()} == {
            "the_log_has_landed": True,
            "the_log_is_read_from_where_it_was_left": True,
        }
        return {
            event.asset_key.path[-1]: {k: v.value for k, v in event.materialization.metadata.items()}
            for event in result.get_asset_materialization_events()
            if event.asset_key
        }

    said = run(alone)
    assert rows(platform, "select message_id from raw.events") == [("1",)]
    assert "exchange_rates" not in said
    position = said["log_positions"]
    assert (position["events"], position["rejected"], position["requests_left_in_log"]) == (1, {"broken_json": 1}, 0)
    assert "ann@" not in str(said)
    said = run({})
    assert said["events"]["rows_landed"] == 1
    assert sorted(rows(platform, "select message_id from raw.events")) == [("1",), ("file",)]
