"""Schedules, freshness and retries, and that everything in the Dagster UI says what it is."""

import errno
from datetime import timedelta
from pathlib import Path

import dagster as dg
import duckdb
import pytest
from dagster import DagsterInstance

from orchestration import retrying
from orchestration.errors import BuildError, SettingsError
from orchestration.freshness import freshness_policies, longest_gap
from orchestration.retrying import retried_when_transient
from orchestration.settings import DAGSTER_CONFIG, Settings

pytestmark = pytest.mark.usefixtures("manifest")


@pytest.fixture
def own_instance(tmp_path: Path) -> DagsterInstance:
    """A Dagster with the configuration that Weft writes."""
    (tmp_path / "dagster.yaml").write_text(DAGSTER_CONFIG, encoding="utf-8")
    return DagsterInstance.from_config(str(tmp_path))


def ticked(name: str, instance: DagsterInstance) -> str:
    from orchestration.definitions import defs

    schedule = defs.resolve_schedule_def(name)
    with dg.build_schedule_context(instance=instance) as context:
        tick = schedule.evaluate_tick(context)
    return tick.skip_message or f"{len(tick.run_requests or [])} requested"


def test_a_refresh_does_not_pile_up_and_a_training_is_not_left_out_for_one(own_instance: DagsterInstance) -> None:
    from orchestration.definitions import defs

    with own_instance as instance:
        assert ticked("hourly_refresh", instance) == "1 requested"
        refresh = defs.resolve_job_def("refresh")
        run = instance.create_run_for_job(refresh, status=dg.DagsterRunStatus.STARTING)
        assert ticked("hourly_refresh", instance) == f"A run of refresh is starting ({run.run_id})."
        assert ticked("daily_predictions", instance) == "1 requested"
        assert ticked("weekly_training", instance) == "1 requested"
        instance.create_run_for_job(defs.resolve_job_def("whole_pass"), status=dg.DagsterRunStatus.STARTED)
        assert "whole_pass is started" in ticked("daily_predictions", instance)
        assert "whole_pass is started" in ticked("weekly_training", instance)


def test_crons_come_from_settings_and_a_wrong_one_is_one_sentence() -> None:
    from orchestration.schedules import schedules

    made = schedules(Settings(hourly_cron="*/7 * * * *"))
    assert {schedule.name: schedule.cron_schedule for schedule in made} == {
        "hourly_refresh": "*/7 * * * *",
        "daily_predictions": "30 4 * * *",
        "weekly_training": "30 3 * * 0",
    }
    with pytest.raises(SettingsError, match="WEFT_DAILY_CRON"):
        schedules(Settings(daily_cron="every day"))


def test_versions_wait_for_the_memberships_and_those_for_every_member() -> None:
    from orchestration.assets.activate import AUDIENCE_NAMES
    from orchestration.definitions import defs

    graph = defs.resolve_asset_graph()
    members, versions = dg.AssetKey(["audiences", "memberships"]), dg.AssetKey(["control", "audience_versions"])
    assert members in graph.get(versions).parent_keys
    names = {key.path[-1] for key in graph.get(members).parent_keys}
    assert {"rule_members", *AUDIENCE_NAMES} <= names


def test_writing_jobs_go_on_one_at_a_time_and_nothing_uses_a_pool(own_instance: DagsterInstance) -> None:
    from orchestration.definitions import defs
    from orchestration.schedules import WRITES

    for name in ("whole_pass", "refresh", "predictions", "backfill"):
        assert WRITES.items() <= defs.resolve_job_def(name).tags.items()
    with own_instance as instance:
        limits = instance.get_concurrency_config().run_queue_config
        assert limits is not None
        assert list(limits.tag_concurrency_limits) == [
            {"key": "weft/writes", "limit": 1},
            {"key": "weft/destination", "limit": 1, "value": {"applyLimitPerUniqueValue": True}},
        ]
        assert not instance.run_retries_retry_on_asset_or_op_failure
    graph = defs.resolve_asset_graph()
    assert {pool for key in graph.get_all_asset_keys() for pool in graph.get(key).pools or ()} == set()


@pytest.mark.parametrize(
    ("cron", "hours"), [("0 * * * *", 1), ("30 4 * * *", 24), ("0 9 * * 1-5", 72), ("30 3 * * 0", 168)]
)
def test_a_table_may_be_as_old_as_its_schedule_lets_it_get(cron: str, hours: int) -> None:
    assert longest_gap(cron) == timedelta(hours=hours)


def test_what_people_rely_on_has_a_freshness_policy() -> None:
    from orchestration.definitions import defs

    graph = defs.resolve_asset_graph()
    policies = {
        key: graph.get(key).freshness_policy_or_from_metadata
        for key in graph.get_all_asset_keys()
        if graph.get(key).freshness_policy_or_from_metadata
    }
    assert policies == freshness_policies(Settings())
    assert {key.path[0] for key in policies} == {"raw", "customer_360", "audiences", "control", "predictions"}


def test_everything_in_dagster_says_what_it_is() -> None:
    from orchestration.definitions import defs

    repository, graph = defs.get_repository_def(), defs.resolve_asset_graph()
    silent = [
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if graph.get(key).is_materializable and not graph.get(key).description
    ]
    silent += [job.name for job in repository.get_all_jobs() if not job.description and not job.name.startswith("__")]
    silent += [schedule.name for schedule in repository.schedule_defs if not schedule.description]
    silent += [sensor.name for sensor in repository.sensor_defs if not sensor.description]
    silent += [
        f"{check.asset_key.to_user_string()}: {check.name}"
        for check in (graph.get_check_spec(key) for key in graph.asset_check_keys)
        if not check.description
    ]
    assert silent == []


def step_that_raises(*errors: Exception) -> dg.AssetsDefinition:
    left = list(errors)

    @dg.asset
    @retried_when_transient
    def step(context: dg.AssetExecutionContext) -> None:
        if left:
            raise left.pop(0)

    return step


BUSY = [
    duckdb.IOException("IO Error: Could not set lock on file"),
    OSError(errno.EBUSY, "Device or resource busy"),
    dg.Failure("dbt: Could not set lock on file"),
]


def test_what_goes_away_by_itself_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrying, "FIRST_WAIT_SECONDS", 0.0)
    result = dg.materialize([step_that_raises(*BUSY)])
    assert result.success
    assert [event.event_type_value for event in result.all_events].count("STEP_UP_FOR_RETRY") == 3


@pytest.mark.parametrize(
    "mistake", [ValueError("a user's"), BuildError("a test failed"), dg.Failure("dbt test failed")]
)
def test_a_mistake_fails_at_once(mistake: Exception) -> None:
    result = dg.materialize([step_that_raises(mistake)], raise_on_error=False)
    assert not result.success
    assert "STEP_UP_FOR_RETRY" not in [event.event_type_value for event in result.all_events]
