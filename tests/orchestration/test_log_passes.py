"""The event log in the platform: landed by passes and by its sensor, checked, and told of by `weft status`."""

import asyncio
import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster import DagsterInstance

from activation.embedded_redis import EmbeddedRedis
from ingestion.event_log import Received
from ingestion.redis_log_writer import RedisLogWriter
from orchestration.event_log import opened_log
from orchestration.log_backlog import read_backlog
from orchestration.log_landing import OLDER_COPY, OLDER_WAREHOUSE
from orchestration.log_passes import land_the_log, last_log_landing, try_to_land_the_log
from orchestration.resources import Platform
from orchestration.settings import DAGSTER_CONFIG, load_settings

pytestmark = pytest.mark.usefixtures("manifest")
RECEIVED_AT = int(datetime(2026, 3, 1).timestamp() * 1000)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("log"), maxmemory_mb=64) as running:
        yield running


@pytest.fixture
def platform(server: EmbeddedRedis, tmp_path: Path) -> Platform:
    """An installation with a log of its own, which is empty."""
    with server.client() as client:
        client.flushall()
    return Platform(load_settings(home=tmp_path / "home", log_url=server.url))


def call(id_: str, **changes: object) -> dict[str, object]:
    return {"messageId": id_, "type": "track", "event": "Product Viewed", "userId": "u", **changes}


def send(platform: Platform, *calls: dict[str, object] | bytes, kind: str = "segment") -> None:
    """One request for each call, as the collector appends it."""
    assert platform.settings.log_url is not None
    url = platform.settings.log_url.get_secret_value()

    async def append() -> None:
        writer = RedisLogWriter(url)
        for body in calls:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            await writer.append(Received(kind, "web", RECEIVED_AT, content, {"path": "track"}))
        await writer.close()

    asyncio.run(append())


def rows(platform: Platform, query: str) -> list[tuple[object, ...]]:
    with platform.warehouse.writer() as connection:
        return connection.rows(query)


def test_a_pass_lands_the_log_also_what_no_normaliser_came_to(platform: Platform) -> None:
    send(platform, call("1"), call("2"), b"{broken", call("1"))
    [report] = land_the_log(platform)
    assert (report.rows_read, report.accepted, report.duplicates, report.rejected) == (4, 2, 1, {"broken_json": 1})
    assert land_the_log(platform) == []
    with opened_log(platform.settings) as log:
        assert log is not None
        backlog = read_backlog(log)
    assert (backlog.is_waiting, backlog.entries, backlog.waiting_since) == (False, 0, None)


def test_where_there_never_was_a_log_nothing_is_started(tmp_path: Path) -> None:
    platform = Platform(load_settings(home=tmp_path / "home"))
    assert land_the_log(platform) == []
    assert try_to_land_the_log(platform) is None
    assert not platform.settings.log_folder.exists()


def test_a_log_that_is_down_is_remembered_in_one_sentence(tmp_path: Path) -> None:
    platform = Platform(load_settings(home=tmp_path / "home", log_url="redis://user:secret@127.0.0.1:1/0"))
    landing = try_to_land_the_log(platform)
    assert landing and landing.problem == "The event log does not answer; is its Redis running?"
    assert last_log_landing(platform.state) == landing
    assert "secret" not in str(landing)


def test_events_that_come_while_the_log_is_landed_are_the_next_runs(platform: Platform) -> None:
    send(platform, call("1"))
    sent: list[str] = []

    def one_more(step: str) -> None:
        if step == "after_read":
            sent.append(f"late-{len(sent)}")
            send(platform, call(sent[-1]))

    [report] = land_the_log(platform, on_step=one_more)
    assert (report.accepted, sent) == (1, ["late-0"])
    assert [report.accepted for report in land_the_log(platform)] == [1]


def test_a_run_that_was_killed_before_it_told_the_log_is_made_good_by_the_next(platform: Platform) -> None:
    class Killed(Exception):
        pass

    def kill(step: str) -> None:
        if step == "committed":
            raise Killed

    send(platform, call("1"))
    with pytest.raises(Killed):
        land_the_log(platform, on_step=kill)
    with opened_log(platform.settings) as log:
        assert log and read_backlog(log).is_waiting
    assert land_the_log(platform) == []
    with opened_log(platform.settings) as log:
        assert log and not read_backlog(log).is_waiting


def forget_the_warehouse(platform: Platform) -> None:
    """The warehouse from a backup of before anything had landed."""
    with platform.warehouse.writer() as connection:
        for table in ("raw.events", "raw.log_positions", "raw.landings"):
            connection.execute(f"delete from {table}")


def forget_the_newest(platform: Platform) -> None:
    """The log from a backup in which its newest entries are missing."""
    with platform.warehouse.writer() as connection:
        connection.execute("update raw.log_positions set position = '9999999999999-0'")


@pytest.mark.parametrize(
    ("restore", "reason"), [(forget_the_warehouse, OLDER_WAREHOUSE), (forget_the_newest, OLDER_COPY)]
)
def test_log_and_warehouse_of_different_times_are_an_alarm_and_what_is_there_lands(
    platform: Platform, restore: Callable[[Platform], None], reason: str
) -> None:
    send(platform, call("1"))
    land_the_log(platform)
    assert checked(platform, "the_log_is_read_from_where_it_was_left").passed
    restore(platform)
    send(platform, call("2"))
    for _ in range(2):
        land_the_log(platform)
        assert rows(platform, "select restart_reason from raw.log_positions") == [(reason,)]
    assert ("2",) in rows(platform, "select message_id from raw.events")
    result = checked(platform, "the_log_is_read_from_where_it_was_left")
    assert not result.passed
    assert result.severity == dg.AssetCheckSeverity.ERROR
    assert result.metadata["reason"].value == reason


def checked(platform: Platform, name: str) -> dg.AssetCheckResult:
    from orchestration import log_checks

    result = getattr(log_checks, name)(platform)
    assert isinstance(result, dg.AssetCheckResult)
    return result


def test_what_is_refused_in_conflict_or_waits_for_an_answer_is_checked(platform: Platform) -> None:
    many = [call(str(n)) for n in range(15)]
    send(platform, *many, b"{broken")
    send(platform, b'{"customer": {"id": 1, "email": "ann@example.com"}, "shop_id": 5}', kind="shopify")
    land_the_log(platform)
    refused = checked(platform, "few_rows_are_rejected")
    assert (refused.passed, refused.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert refused.metadata["web"].value["broken_json"] == 1
    assert checked(platform, "few_keys_have_two_bodies").passed
    send(platform, call("3", properties={"other": True}))
    land_the_log(platform)
    assert not checked(platform, "few_keys_have_two_bodies").passed
    assert checked(platform, "no_privacy_request_waits").passed
    with platform.warehouse.writer() as connection:
        connection.execute(
            "insert into raw.privacy_requests values ('web', 'm', 'customers/redact', '{}', now()::timestamp - interval 21 days, "
            "now()::timestamp, 'held')"
        )
    waiting = checked(platform, "no_privacy_request_waits")
    assert (waiting.passed, waiting.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert waiting.metadata["web: customers/redact"].value == 1


def test_a_log_that_is_not_landed_is_checked(platform: Platform, server: EmbeddedRedis) -> None:
    assert checked(platform, "the_log_has_landed").passed
    with server.client() as client:
        client.xadd("events.raw", {"k": "segment", "s": "web", "t": 1, "b": "{}"}, id="1000-0")
    behind = checked(platform, "the_log_has_landed")
    assert (behind.passed, behind.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert behind.metadata["requests_in_log"].value == 1
    down = Platform(load_settings(home=platform.settings.home, log_url="redis://127.0.0.1:1/0"))
    assert checked(down, "the_log_has_landed").severity == dg.AssetCheckSeverity.ERROR


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
