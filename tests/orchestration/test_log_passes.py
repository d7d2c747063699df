"""The event log in the platform: landed by passes and by its sensor, checked, and told of by `weft status`."""

import json
from collections.abc import Callable
from datetime import datetime
from io import StringIO
from pathlib import Path

import dagster as dg
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console

from activation.embedded_redis import EmbeddedRedis
from ingestion.collector.log_metrics import LogMetrics
from ingestion.log_backlog import read_backlog
from ingestion.redis_log import RedisEventLog
from orchestration.event_log import opened_log
from orchestration.log_landing import OLDER_COPY, OLDER_WAREHOUSE
from orchestration.log_passes import land_the_log, last_log_landing, try_to_land_the_log
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.status import Status, read_status, status_json
from orchestration.status_tables import status_tables
from tests.orchestration.collected import call, rows, send

pytestmark = pytest.mark.usefixtures("manifest")


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


def test_a_log_that_is_not_landed_is_checked(platform: Platform, log_server: EmbeddedRedis) -> None:
    assert checked(platform, "the_log_has_landed").passed
    with log_server.client() as client:
        client.xadd("events.raw", {"k": "segment", "s": "web", "t": 1, "b": "{}"}, id="1000-0")
    behind = checked(platform, "the_log_has_landed")
    assert (behind.passed, behind.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert behind.metadata["requests_in_log"].value == 1
    down = Platform(load_settings(home=platform.settings.home, log_url="redis://127.0.0.1:1/0"))
    assert checked(down, "the_log_has_landed").severity == dg.AssetCheckSeverity.ERROR


def test_status_tells_of_the_log_and_of_one_that_is_down_and_waits_for_nobody(platform: Platform) -> None:
    platform.state.keys.create(source="web", now=datetime(2026, 3, 1))
    send(platform, call("1"), b"{broken")
    land_and_note = try_to_land_the_log(platform)
    assert land_and_note and not land_and_note.problem
    send(platform, call("2"))
    with platform.warehouse.writer():  # somebody writes
        current = read_status(platform)
        said = told(current)
    assert current.log and current.log.backlog and current.log.lag_seconds is not None
    assert "WEFT_LOG_URL: 1 request, waits since" in said
    assert "1 events, 0 seen before, 0 in conflict, 1 rejected (1 broken_json)" in said
    assert "write keys 1" in said
    shown = json.loads(status_json(current))["log"]
    assert (shown["backlog"]["entries"], shown["last_landing"]["rejected"]) == (1, {"broken_json": 1})
    down = Platform(load_settings(home=platform.settings.home, log_url="redis://user:secret@127.0.0.1:1/0"))
    said = told(read_status(down)) + status_json(read_status(down))
    assert said.startswith("The event log does not answer; is its Redis running?")
    assert "secret" not in said


def test_prometheus_is_told_how_the_log_stands_and_what_was_refused(platform: Platform) -> None:
    send(platform, call("1"), b"{broken")
    try_to_land_the_log(platform)
    send(platform, call("2"))
    registry = CollectorRegistry()
    with opened_log(platform.settings) as log:
        assert log
        registry.register(LogMetrics(log))
        said = generate_latest(registry).decode()
    assert "weft_log_requests 1.0" in said
    assert 'weft_log_normalised_total{outcome="broken_json",source="web"} 1.0' in said
    down = CollectorRegistry()
    down.register(LogMetrics(RedisEventLog("redis://127.0.0.1:1/0")))
    assert generate_latest(down) == b"", "a log that is down takes nothing else with it"


def told(current: Status) -> str:
    console = Console(width=80, record=True, file=StringIO())
    for part in status_tables(current):
        console.print(part)
    lines = console.export_text()
    assert max(map(len, lines.splitlines())) <= 80
    return " ".join(lines.split())
