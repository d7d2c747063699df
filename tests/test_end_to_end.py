"""The main job on a small simulated shop: Dagster and dbt in process, a real DuckDB and a real Redis."""

import json
import subprocess
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from activation.errors import PublicationError
from activation.reader import Reader
from orchestration.build_status import QualityStatus, read_build
from orchestration.publishing import (
    FAILED,
    PUBLISHED,
    online_store,
    pending_versions,
    publish,
    register_changes,
)
from orchestration.resources import Platform
from orchestration.settings import export_for_tools
from orchestration.state import utc_now
from orchestration.status import read_status
from orchestration.transform import DBT, DBT_PROJECT, audience_definitions, read_manifest
from orchestration.warehouse import first_row, row_count, scalar

pytestmark = pytest.mark.slow

EVENTS = 20_000


@dataclass(frozen=True)
class Shop:
    """An installation after its first pass, and what that pass reported."""

    platform: Platform
    simulated: Path
    report: Any


@pytest.fixture(scope="module")
def shop(home: Path, redis_url: str) -> Shop:
    from ingestion.simulator import Difficulty, SimulationConfig
    from orchestration.demo import put_into_inbox, simulate_once
    from orchestration.resources import build_platform
    from orchestration.truth import load_truth

    platform = build_platform()
    export_for_tools(platform.settings)
    config = SimulationConfig(events=EVENTS, seed=11, difficulty=Difficulty.named("easy"))
    folder = home / "simulated" / "shop"
    simulate_once(config, folder)
    put_into_inbox(folder, platform.settings.inbox)
    unknown = platform.settings.inbox / "nobody"
    unknown.mkdir()
    (unknown / "a.csv").write_text("id\n1\n", encoding="utf-8")
    with platform.warehouse.writer() as connection:
        load_truth(connection, folder / "truth")
    from orchestration.passes import run_pass

    return Shop(platform, folder, run_pass(platform, as_of=config.end))


def test_every_simulated_event_is_in_the_warehouse_once_and_bad_rows_are_kept_with_their_bytes(shop: Shop) -> None:
    with shop.platform.warehouse.open_served() as served:
        events, keys = first_row(served, "select count(*), count(distinct (source, message_id)) from raw.events") or (
            0,
            0,
        )
        owned = pq.read_table(shop.simulated / "truth" / "event_owners.parquet").num_rows
        rejected = served.rows("select source, reason, payload from raw.rejected_events")
    bad = pq.read_table(shop.simulated / "truth" / "bad_rows.parquet").to_pylist()
    assert events == keys == owned
    assert sorted((source, reason) for source, reason, _ in rejected) == sorted((b["source"], b["reason"]) for b in bad)
    assert all(payload for _, _, payload in rejected)


def test_the_books_of_landing_balance(shop: Shop) -> None:
    with shop.platform.warehouse.open_served() as served:
        read, accepted, rest = first_row(
            served,
            "select sum(rows_read), sum(accepted), sum(rejected + duplicates + conflicts) from raw.landings",
        ) or (0, 0, 0)
        landed = row_count(served, "raw.events") + row_count(served, "raw.products")
    assert read == accepted + rest
    assert accepted == landed


def test_identity_never_joins_bots_to_people_and_every_identifier_has_one_customer(shop: Shop) -> None:
    with shop.platform.warehouse.open_served() as served:
        doubled = scalar(
            served,
            "select count(*) from (select identifier_id from identity.memberships "
            "where known_to is null and valid_from is null group by identifier_id having count(*) > 1)",
        )
        found = {row["method"]: row for row in served.arrow("select * from identity.quality").to_pylist()}
        shown = read_build(served).identity_quality
    assert doubled == 0
    assert found["weft"]["pairwise_precision"] > 0.995
    assert found["weft"]["pairwise_recall"] > 0.96
    assert found["weft"]["exact_share"] > 0.96
    assert found.keys() == {"weft", "last_login_wins", "one_hop", "components"}
    for simple in ("last_login_wins", "one_hop"):
        assert found[simple]["pairwise_f1"] < found["weft"]["pairwise_f1"]
    assert shown == QualityStatus(**{name: found["weft"][name] for name in vars(shown)})


def test_revenue_of_customers_adds_up_to_the_orders_minus_the_refunds(shop: Shop) -> None:
    with shop.platform.warehouse.open_served() as served:
        customers = scalar(served, "select sum(net_revenue) from customer_360.customers")
        orders = scalar(served, "select sum(net_amount) from customer_360.orders where customer_id is not null")
        refunds = scalar(served, "select sum(net_amount) from customer_360.refunds where customer_id is not null")
        days = scalar(served, "select sum(net_revenue) from customer_360.daily_metrics")
        everything = scalar(served, "select sum(net_amount) from customer_360.orders") - scalar(
            served, "select sum(net_amount) from customer_360.refunds"
        )
    assert customers == orders - refunds
    assert days == everything


def test_readers_in_redis_see_what_the_warehouse_built(shop: Shop) -> None:
    with online_store(shop.platform.settings) as client, shop.platform.warehouse.open_served() as served:
        reader = Reader(client)
        published: dict[str, set[str]] = {}
        for definition in audience_definitions(read_manifest()):
            consent = f"has_consent_{definition.meta['consent_purpose']}"
            members = f"select customer_id from audiences.{definition.name}"
            allowed = served.rows(
                f"select customer_id from customer_360.customers where {consent} and customer_id in ({members})"
            )
            published[definition.name] = {row[0] for row in allowed}
            assert set(reader.members(definition.name)) == published[definition.name]
            assert 0 < len(allowed) < len(served.rows(members)), "some of the simulator's people refuse"
        rows = served.arrow("select * from audiences.profiles").to_pylist()
        for row in rows[:50]:
            profile = reader.profile("customer_id", row["customer_id"])
            assert profile is not None
            assert set(profile.audiences) == {name for name, ids in published.items() if row["customer_id"] in ids}
            assert profile.fields.get("order_count") == str(row["order_count"])
        known = served.rows(
            "select identifier_type, identifier_value, customer_id from identity.nodes "
            "where customer_id is not null and identifier_type in ('email', 'phone', 'anonymous_id') limit 60"
        )
        for kind, value, customer_id in known:
            found = reader.profile(kind, value)
            assert found is not None
            assert found.customer_id == customer_id


def test_every_stage_says_what_it_did(shop: Shop) -> None:
    metadata = shop.report.metadata
    assert metadata["raw/events"]["rows_landed"] > 0
    assert metadata["customer_360/customers"]["dagster/row_count"] > 0
    assert metadata["identity/memberships"]["customers"] > 0
    assert (
        "churn_metrics" in metadata["predictions/model_versions"] or "churn" in metadata["predictions/model_versions"]
    )
    assert len(shop.report.published) == 1 + len(audience_definitions(read_manifest()))


def test_status_tells_of_the_pass_and_of_the_file_that_it_could_not_land(shop: Shop) -> None:
    status = read_status(shop.platform)
    runs = {run.job: run.status for run in status.last_runs}
    assert (runs["whole_pass"], runs["publish"]) == ("success", "success")
    assert list(status.inbox_problems) == ["nobody/a.csv"]
    assert [check for check in shop.report.failed_checks if "every_inbox_file_landed" in check]
    assert {audience.audience for audience in status.audiences} > {"active_browsers", "profiles"}
    assert all(audience.published_at and not audience.is_pending for audience in status.audiences)


def test_a_second_pass_lands_nothing_and_publishes_nothing(shop: Shop) -> None:
    from orchestration.passes import run_pass

    with shop.platform.warehouse.open_served() as served:
        before = {
            table: row_count(served, table) for table in ("raw.events", "raw.rejected_events", "identity.customer_ids")
        }
    again = run_pass(shop.platform, as_of=None if shop.report is None else _as_of(shop))
    with shop.platform.warehouse.open_served() as served:
        after = {table: row_count(served, table) for table in before}
    assert again.metadata["raw/events"]["rows_landed"] == 0
    assert after == before
    assert again.published == []


def _as_of(shop: Shop) -> Any:
    with shop.platform.warehouse.open_served() as served:
        return scalar(served, "select as_of from control.current_run")


def test_an_analysts_own_dbt_build_is_served_and_noticed_by_the_sensor(shop: Shop, tmp_path: Path) -> None:
    from ingestion.mappings import load_mapping
    from orchestration.collecting import land_file

    settings, state, warehouse = shop.platform.settings, shop.platform.state, shop.platform.warehouse
    as_of = _as_of(shop)
    with warehouse.open_served() as served:
        cookie, customer_id = first_row(
            served,
            "select identifier_value, customer_id from identity.nodes where identifier_type = 'anonymous_id' and customer_id is not null "
            "and customer_id not in (select customer_id from audiences.active_browsers) "
            "and customer_id in (select customer_id from customer_360.customers where has_consent_personalisation) "
            "and customer_id not in (select customer_id from customer_360.customers where order_count_30d > 0) order by 1 limit 1",
        ) or ("", "")
    views = [
        {
            "messageId": f"analyst-{number}",
            "type": "track",
            "event": "Product Viewed",
            "anonymousId": cookie,
            "properties": {"product_id": f"p{number}", "category": "Home"},
            "timestamp": (as_of - timedelta(hours=number + 1)).isoformat() + "Z",
        }
        for number in range(3)
    ]
    file = tmp_path / "views.ndjson"
    file.write_text("\n".join(json.dumps(view) for view in views), encoding="utf-8")
    with warehouse.writer() as connection:
        assert land_file(connection, path=file, mapping=load_mapping("segment"), landed_at=utc_now()).accepted == 3

    build_before = warehouse.served_build()
    newest_before = state.newest_version("active_browsers")
    result = subprocess.run(
        [DBT, "build", "--exclude-resource-type", "unit_test"],
        cwd=DBT_PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-3000:]

    registered = {version.audience for version in register_changes(warehouse, state)}
    assert warehouse.served_build() != build_before
    assert {"active_browsers", "profiles"} <= registered
    assert newest_before is not None
    newest = state.newest_version("active_browsers")
    assert newest is not None
    assert newest.version == newest_before.version + 1
    pending = {(version.audience, version.version) for version, _ in pending_versions(state, after=0, now=utc_now())}
    assert ("active_browsers", newest.version) in pending
    with online_store(settings) as client:
        assert not Reader(client).is_member("active_browsers", customer_id)
        report = publish(settings, warehouse, state, newest, attempt=1)
        assert report.mode == "diff"
        assert report.changed == 1
        assert Reader(client).is_member("active_browsers", customer_id)


def test_a_dead_redis_fails_the_publication_and_the_next_try_completes_it(shop: Shop) -> None:
    settings, state, warehouse = shop.platform.settings, shop.platform.state, shop.platform.warehouse
    version = state.newest_version("high_value")
    assert version is not None
    state.register_version(
        audience="high_value",
        build_id=version.build_id,
        definition_hash="changed by this test",
        content_hash=version.content_hash,
        member_count=version.member_count,
        as_of=version.as_of,
    )
    newest = state.newest_version("high_value")
    assert newest is not None
    dead = settings.model_copy(update={"redis_url": "redis://:secret@127.0.0.1:1/0"})
    with pytest.raises(PublicationError) as failure:
        publish(dead, warehouse, state, newest, attempt=1)
    assert "secret" not in str(failure.value)
    attempt, status, _ = state.last_publication("high_value", newest.version) or (0, "", None)
    assert (attempt, status) == (1, FAILED)
    with online_store(settings) as client:
        assert Reader(client).audience("high_value").version == version.version

    later = utc_now() + timedelta(minutes=5)
    [(again, attempt)] = [(v, a) for v, a in pending_versions(state, after=newest.seq, now=later) if v == newest]
    assert attempt == 2
    assert publish(settings, warehouse, state, again, attempt=attempt).status == PUBLISHED
    with online_store(settings) as client:
        assert Reader(client).audience("high_value").version == newest.version


def test_the_warehouse_admits_one_writer_and_readers_never_wait(shop: Shop) -> None:
    warehouse = shop.platform.warehouse
    with warehouse.writer(), warehouse.open_served() as served:
        assert row_count(served, "customer_360.customers") > 0
        build = warehouse.served_build()
        register_changes(warehouse, shop.platform.state, wait=False)
        assert warehouse.served_build() == build


def test_no_personal_value_is_in_metadata_or_logs_of_a_pass(shop: Shop) -> None:
    with shop.platform.warehouse.open_served() as served:
        values = [
            row[0]
            for row in served.rows(
                "select identifier_value from identity.nodes where identifier_type in ('email', 'phone')"
            )
        ]
    shown = (
        json.dumps(shop.report.metadata, default=str) + (shop.platform.settings.home / "logs" / "pass.log").read_text()
    )
    assert values
    assert [value for value in values if value in shown] == []


def test_predictions_cover_every_customer_with_features_and_stay_in_bounds(shop: Shop) -> None:
    with shop.platform.warehouse.open_served() as served:
        if not row_count(served, "predictions.churn_scores"):
            pytest.skip("20,000 events were too few to train on")
        buyers = scalar(
            served,
            "select count(*) from features.customer_features where as_of_date = (select max(as_of_date) from control.feature_dates)",
        )
        low, high, rows = first_row(
            served, "select min(churn_probability), max(churn_probability), count(*) from predictions.churn_scores"
        ) or (0, 0, 0)
    assert rows == buyers
    assert 0 <= low <= high <= 1


def test_features_of_a_past_date_add_up_to_the_orders_known_by_then(shop: Shop) -> None:
    with shop.platform.warehouse.open_served() as served:
        [(date, as_of)] = served.rows("select as_of_date, as_of from control.feature_dates order by as_of_date limit 1")
        orders = served.rows(
            "select count(*), coalesce(sum(net_amount), 0) from customer_360.orders as o "
            "join features.known_evidence as e on o.evidence_id = e.evidence_id and e.as_of = ? "
            "where o.known_at < ? and o.ordered_at < ?",
            [as_of, as_of, as_of],
        )[0]
        features = served.rows(
            "select coalesce(sum(order_count), 0), coalesce(sum(net_revenue + refund_share * average_order_value * order_count), 0) "
            "from features.customer_features where as_of_date = ?",
            [date],
        )[0]
    assert features[0] == orders[0]
    assert float(features[1]) == pytest.approx(float(orders[1]), rel=1e-6)
