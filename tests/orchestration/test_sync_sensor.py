"""Syncs in Dagster, and their ledger in the warehouse."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from orchestration import sync_sensor
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.sync_copies import copy_syncs
from tests.orchestration.synced_shop import Receiver, SyncedShop, exclude, opened_synced_shop, url


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SyncedShop:
    """Four customers, two audiences, no destination."""
    return opened_synced_shop(Platform(load_settings(home=tmp_path)), monkeypatch)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    made = Receiver()
    with made.serving() as made.url:  # type: ignore[attr-defined]
        yield made


def test_the_sensor_asks_once_for_each_reason_and_a_failed_destination_fails_its_own_run_only(
    shop: SyncedShop, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.assets.sync import destination_syncs, syncs

    platform = shop.shop.platform
    shop.sent_to("crm", url(receiver), "vip")
    shop.sent_to("broken", url(receiver), "vip", secrets=[{"env": "NOT_SET"}])
    defs = dg.Definitions(
        assets=[destination_syncs],
        jobs=[syncs],
        sensors=[sync_sensor.syncs_due],
        executor=dg.in_process_executor,
        resources={"platform": platform},
    )
    job, sensor = defs.resolve_job_def("syncs"), defs.resolve_sensor_def("syncs_due")
    with dg.instance_for_test() as instance:
        cursor: str | None = None

        def tick() -> list[dg.RunRequest]:
            nonlocal cursor
            with dg.build_sensor_context(
                instance=instance,
                instance_ref=instance.get_ref(),
                cursor=cursor,
                resources={"platform": platform},
                definitions=defs,
            ) as context:
                result = sensor.evaluate_tick(context)
            for change in result.dynamic_partitions_requests or ():
                if isinstance(change, dg.AddDynamicPartitionsRequest):
                    instance.add_dynamic_partitions("destinations", list(change.partition_keys))
            cursor = result.cursor
            return list(result.run_requests or ())

        def materialised(request: dg.RunRequest) -> dg.ExecuteInProcessResult:
            return job.execute_in_process(
                instance=instance, partition_key=request.partition_key, tags=dict(request.tags), raise_on_error=False,
            )  # fmt: skip

        asked = {request.partition_key: request for request in tick()}
        assert asked.keys() == {"crm", "broken"}
        assert {request.tags["weft/destination"] for request in asked.values()} == {"crm", "broken"}
        assert not materialised(asked["broken"]).success
        good = materialised(asked["crm"])
        assert good.success
        [event] = good.get_asset_materialization_events()
        metadata = event.step_materialization_data.materialization.metadata
        assert (metadata["dagster/row_count"].value, metadata["accepted"].value) == (3, 3)
        assert tick() == [], "a sync that failed waits for its time, one that was done for a change"
        exclude(shop, "cy")
        again = [request for request in tick() if request.partition_key == "crm"]
        assert [request.run_key for request in again] == ["crm:2"]
        assert materialised(again[0]).success
        assert receiver.holds == {"ann", "bob"}
        shop.shop.build()
        assert {request.partition_key for request in tick()} == {"crm", "broken"}


@pytest.mark.parametrize("target", ["duckdb", "postgres"])
def test_analysts_find_the_ledger_in_the_warehouse_without_personal_data(
    target: str, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, receiver: Receiver
) -> None:
    given = {"postgres_url": request.getfixturevalue("postgres_url")} if target == "postgres" else {}
    shop = opened_synced_shop(Platform(load_settings(home=tmp_path, target=target, **given)), monkeypatch)
    platform = shop.shop.platform
    shop.sent_to("crm", url(receiver), "all_of_them")
    receiver.unwanted = {"bob"}

    def copied() -> list[tuple[object, ...]]:
        with platform.warehouse.writer() as connection:
            copy_syncs(connection, platform)
            return connection.rows(
                "select customer_id, operation, status, is_held from control.sync_records order by customer_id"
            )

    with platform.warehouse.writer() as connection:
        assert copy_syncs(connection, platform) == 0
    shop.run("crm")
    assert copied() == [
        ("ann", "upsert", "accepted", True), ("bob", "upsert", "refused", False), ("cy", "upsert", "accepted", True),
        ("dee", "upsert", "accepted", True),
    ]  # fmt: skip
    shop.shop.members["all_of_them"] = ["ann", "bob", "cy"]
    shop.shop.build()
    shop.run("crm")
    assert copied()[-1] == ("dee", "remove", "accepted", False)
    platform.state.syncs.forget("dee")
    assert [row[0] for row in copied()] == ["ann", "bob", "cy"]
    with platform.warehouse.writer() as connection:
        assert copy_syncs(connection, platform) <= 3
        runs = connection.rows("select planned, accepted, refused, pending from control.sync_runs order by started_at")
        assert runs == [(4, 3, 1, 0), (1, 1, 0, 0)]
        [words] = connection.rows("select words from control.sync_records where status = 'refused'")
    assert words == ("not wanted: [hidden]",)
