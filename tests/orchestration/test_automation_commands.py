"""`weft automation`, and automations in Dagster: the sensor of syncs asks for their destination, the asset runs them."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from orchestration import sync_sensor
from orchestration.assets.sync import destination_syncs
from orchestration.cli import main
from orchestration.resources import Platform
from tests.orchestration.automated_shop import Fans, codes, fans

FILE = """
automations:
  - {name: welcome, audience: fans, when: entered, destination: hook, coupon: {pool: spring}}
  - {name: goodbye, audience: fans, when: left, destination: hook, enabled: false}
"""


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Fans, Any]]:
    home = tmp_path / "home"
    monkeypatch.setenv("WEFT_HOME", str(home))
    for module in ("orchestration.automations_file", "orchestration.syncing"):
        monkeypatch.setattr(f"{module}.prepare_manifest", lambda settings: None)
    with fans(home, monkeypatch) as (shop, vendor):
        (home / "automations.yml").write_text(FILE, encoding="utf-8")
        shop.clock.seconds += 0
        yield shop, vendor


def test_the_command_line_lists_runs_shows_and_loads(
    told: tuple[Fans, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, vendor = told

    def said(*words: str, group: str = "automation") -> str:
        monkeypatch.setattr(sys, "argv", ["weft", group, *words])
        try:
            main()
        except SystemExit as end:
            said.code = end.code  # type: ignore[attr-defined]
        return capsys.readouterr().out

    shop.build("a")
    assert "welcome has never run" in said("dry-run", "welcome")
    assert "welcome: 0 new" in said("run", "welcome")
    shop.build("a", "b", "c")
    looked = said("dry-run", "welcome")
    assert "2 changes to look at; 2 to tell" in looked and "  b  at 2026-" in looked
    file = tmp_path / "codes.txt"
    file.write_text("S1\n", encoding="utf-8")
    assert "1 new codes in spring, 0 were there before." in said("coupons", "load", "spring", str(file))
    assert "welcome: 2 new; 1 told" in said("run")
    assert codes(vendor) == {"b": "S1"}
    file.write_text("S1\nS2\n", encoding="utf-8")
    assert "1 new codes in spring, 1 were there before." in said("coupons", "load", "spring", str(file))
    assert "spring" in said("coupons", "list")
    said("run")
    assert codes(vendor) == {"b": "S1", "c": "S2"}
    [welcome, goodbye] = json.loads(said("list", "--json"))["automations"]
    assert (welcome["told"], welcome["open"], welcome["waiting"], goodbye["state"]) == (2, 0, 0, "off")
    assert "entered fans" in said("list")
    shown = said("show", "welcome")
    assert "2 told" in shown and "S1" not in shown
    assert len(json.loads(said("show", "welcome", "--json"))["occurrences"]) == 2
    [ledger] = json.loads(said("list", "--json", group="sync"))["syncs"]
    assert (ledger["sync"], ledger["type"], ledger["held"]) == ("automation.welcome", "automation", 2)
    assert "goes on after change 3" in said("restart", "welcome")
    assert "0 occurrences of welcome" in said("retry", "welcome")
    assert "automations.yml has no automation 'hello'; it has welcome, goodbye." in said("show", "hello")
    assert said.code == 2  # type: ignore[attr-defined]
    file.write_text("two words\n", encoding="utf-8")
    assert "Line 1 is no code" in said("coupons", "load", "spring", str(file))


def test_the_sensor_asks_for_a_destination_that_only_automations_use(told: tuple[Fans, Any]) -> None:
    shop, vendor = told
    platform: Platform = shop.platform
    platform.state.automations.load("spring", ["S1", "S2"], shop.shop.as_of)
    vendor.clock.seconds = 0.0
    job = dg.Definitions(
        assets=[destination_syncs], executor=dg.in_process_executor, resources={"platform": platform}
    ).resolve_implicit_global_asset_job_def()
    shop.build("a")
    with dg.DagsterInstance.ephemeral() as instance:
        cursor: str | None = None

        def tick() -> list[dg.RunRequest]:
            nonlocal cursor
            with dg.build_sensor_context(instance=instance, cursor=cursor, resources={"platform": platform}) as context:
                result = sync_sensor.syncs_due(context)
            assert isinstance(result, dg.SensorResult), result
            for change in result.dynamic_partitions_requests or ():
                if isinstance(change, dg.AddDynamicPartitionsRequest):
                    instance.add_dynamic_partitions("destinations", list(change.partition_keys))
            cursor = result.cursor
            return list(result.run_requests or ())

        def run() -> dg.ExecuteInProcessResult:
            import time

            vendor.clock.seconds = time.time()
            return job.execute_in_process(instance=instance, partition_key="hook", raise_on_error=False)

        [first] = tick()
        assert (first.partition_key, first.run_key) == ("hook", "hook:1")
        assert run().success
        assert tick() == []
        shop.build("a", "b")
        assert [request.run_key for request in tick()] == ["hook:2"]
        good = run()
        assert good.success
        [event] = good.get_asset_materialization_events()
        assert event.step_materialization_data.materialization.metadata["accepted"].value == 1
        assert codes(vendor) == {"b": "S1"}
        assert tick() == []
        file = platform.settings.automations_file
        file.write_text(
            FILE.replace("audience: fans, when: entered", "audience: foes, when: entered"), encoding="utf-8"
        )
        shop.build("a", "b", "c")
        assert not run().success
        file.write_text(FILE, encoding="utf-8")
        assert run().success
        assert codes(vendor) == {"b": "S1", "c": "S2"}
