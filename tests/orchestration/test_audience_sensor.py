"""The sensor of audiences, evaluated in process: each change is noticed once, the rest confirmed, what is lost comes back."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest
import yaml

from activation import EmbeddedRedis, NotPublishedError, Reader
from orchestration import transform
from orchestration.publishable import no_checks
from orchestration.settings import load_settings
from orchestration.stuck_publications import stuck_publications
from tests.orchestration.audience_shop import Shop, shop_at

pytestmark = pytest.mark.usefixtures("manifest")
KNOWN, NEW = "high_value", "made_this_morning"


@pytest.fixture
def shop(tmp_path: Path, server: EmbeddedRedis, manifest: object) -> Iterator[Shop]:
    import orchestration.audience_sensor  # noqa: F401  (its assets are those of the project's own manifest)

    with server.client() as client:
        client.flushall()
    with dg.DagsterInstance.ephemeral() as instance, shop_at(tmp_path / "home", server, instance) as opened:
        opened.define(**{KNOWN: {}, NEW: {}})
        opened.customers = {"c1": 1, "c2": 2}
        yield opened


def kinds(keys: list[str]) -> list[str]:
    """Keys of runs without the hash of a confirmation."""
    return sorted("confirm" if key.startswith("confirm:") else key for key in keys)


def test_a_build_publishes_what_changed_and_confirms_the_rest_in_one_run(shop: Shop) -> None:
    shop.build(**{KNOWN: {"c1"}, NEW: {"c2"}})
    first = shop.tick()
    assert kinds(first) == [f"{KNOWN}:1:1", f"{NEW}:1:1", "profiles:1:1"]
    assert shop.tick() == []
    assert [shop.run(key) for key in first] == ["published"] * 3
    assert shop.tick() == []
    published_at = shop.as_of(NEW)
    instant = shop.build(**{KNOWN: {"c1", "c2"}})  # the profiles name their audiences, so they change as well
    keys = shop.tick()
    assert kinds(keys) == ["confirm", f"{KNOWN}:2:1", "profiles:2:1"]
    assert sorted(shop.run(key) for key in keys) == [f"confirmed {NEW}", "published", "published"]
    assert shop.as_of(NEW) == shop.as_of(KNOWN) == instant > published_at
    assert shop.published() == shop.members
    shop.later(hours=5)
    assert shop.tick() == []

    instant = shop.build()
    [key] = shop.tick()
    assert shop.run(key) == f"confirmed {KNOWN}, {NEW}, profiles"
    assert shop.as_of(KNOWN) == instant
    assert shop.tick() == []


def test_an_audience_that_came_after_the_code_was_loaded_is_a_partition(shop: Shop) -> None:
    shop.build(**{NEW: {"c1"}})
    result = shop.look()
    [asked] = [each for each in result.run_requests or [] if each.run_key == f"{NEW}:1:1"]
    assert (asked.job_name, asked.partition_key) == ("publish_other", NEW)
    assert [each.partition_keys for each in result.dynamic_partitions_requests or []] == [[NEW]]


def test_the_assets_that_the_sensor_asks_for_do_their_work(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    from orchestration.assets.activate import confirmations, other_audiences, publication_assets

    # asset checks are test_gate's; an asset that is materialised by itself belongs to no repository
    monkeypatch.setattr("orchestration.assets.activate.FailedUpstreamChecks", lambda *_: no_checks)
    monkeypatch.setattr(dg.AssetExecutionContext, "repository_def", SimpleNamespace(asset_graph=None))
    [of_its_own] = publication_assets([KNOWN])
    assets = {dg.AssetKey(["redis", KNOWN]): of_its_own, other_audiences.key: other_audiences}

    def in_dagster(key: str) -> bool:
        asked = shop.runs[key]
        [selected] = asked.asset_selection or []
        return dg.materialize(
            [assets.get(selected, confirmations)],
            instance=shop.instance,
            resources={"platform": shop.platform},
            run_config=asked.run_config,
            partition_key=asked.partition_key,
        ).success

    shop.instance.add_dynamic_partitions("other_audiences", [NEW])
    shop.build(**{KNOWN: {"c1"}, NEW: {"c2"}})
    assert all(in_dagster(key) for key in shop.tick() if not key.startswith("profiles"))
    assert shop.published() == shop.members
    instant = shop.build()
    assert all(in_dagster(key) for key in shop.tick() if key.startswith("confirm:"))
    assert (shop.as_of(KNOWN), shop.as_of(NEW)) == (instant, instant)


def test_confirmations_survive_a_kill_of_the_sensor_or_of_their_run_and_are_not_repeated(shop: Shop) -> None:
    shop.build(**{KNOWN: {"c1"}, NEW: {"c2"}})
    shop.settle()
    instant = shop.build()
    shop.keep(shop.look(), launched=0)  # killed after it was written down, before there was a run
    assert shop.tick() == []
    shop.later(seconds=61)
    [key] = shop.tick()
    assert shop.run(key, killed_at="begin") == "killed"
    assert shop.tick() == []
    shop.later(seconds=61)
    [again] = shop.tick()
    assert again != key
    shop.run(again)
    assert shop.as_of(KNOWN) == instant
    shop.later(hours=1)
    assert shop.tick() == []


def test_a_publication_whose_process_was_killed_is_asked_for_again_within_two_minutes(shop: Shop) -> None:
    shop.build(**{KNOWN: {"c1"}})
    for number, step in enumerate(("begin", "staged", "switched")):
        shop.build(**{KNOWN: {"c1", f"c{number + 5}"}})
        [key] = [key for key in shop.tick() if key.startswith(KNOWN)][-1:]
        assert shop.run(key, killed_at=step) == "killed"
        began = shop.now
        while not [again for again in shop.tick() if again.startswith(key.rpartition(":")[0])]:
            shop.later(seconds=30)
            assert shop.now - began <= timedelta(seconds=120)
        shop.settle()
        assert shop.published()[KNOWN] == shop.members[KNOWN]


def test_a_slow_publication_is_not_asked_for_again_while_it_goes_on(shop: Shop) -> None:
    shop.build(**{KNOWN: {"c1"}})
    keys = shop.tick()
    shop.later(minutes=10)
    assert shop.tick() == []
    assert {shop.run(key) for key in keys} == {"published"}


def test_what_an_emptied_redis_lost_is_published_again_without_a_change(shop: Shop) -> None:
    shop.build(**{KNOWN: {"c1"}, NEW: {"c2"}})
    shop.settle()
    with shop.server.client() as client:
        client.flushall()
        began = shop.now
        shop.settle()
        assert shop.now - began < timedelta(minutes=5)
        assert Reader(client).profile("email", "c1@shop.example") is not None
        # one set alone, which the sensor does not look for: the next build's confirmation finds it
        client.delete(f"weft:audience:{NEW}:v1")
    assert shop.tick() == []
    shop.build()
    shop.settle()
    assert shop.published() == shop.members


def test_a_changed_life_time_reaches_redis_without_a_build_and_one_that_passed_is_not_undone(shop: Shop) -> None:
    shop.build(**{KNOWN: {"c1"}})
    shop.define(**{KNOWN: {}})
    shop.settle()
    shop.define(**{KNOWN: {"expires_after": "36 hours"}})
    [key] = shop.tick()
    shop.run(key)
    with shop.server.client() as client:
        reader = Reader(client)
        assert reader.audience(KNOWN).expires_after == timedelta(hours=36)
        assert 0 < client.pttl(f"weft:audience:{KNOWN}:v1") <= 36 * 3_600_000
        shop.define(**{KNOWN: {"expires_after": "soon"}})
        assert shop.tick() == []  # a warning, and what holds goes on holding
        shop.define(**{KNOWN: {"expires_after": "36 hours"}})
        for name in client.keys("weft:audience:*"):
            client.delete(name)
        shop.later(hours=37)
        assert shop.tick() == []
        with pytest.raises(NotPublishedError):
            reader.audience(KNOWN)
        shop.build()
        shop.settle()
        assert shop.published() == shop.members


def test_what_a_guard_would_hold_back_is_not_confirmed(shop: Shop) -> None:
    shop.define(**{KNOWN: {}, NEW: {"guards": {"max_age_hours": 1}}})
    shop.known_at = shop.now
    published_at = shop.build(**{KNOWN: {"c1"}, NEW: {"c2"}})
    shop.settle()
    shop.later(hours=2)
    instant = shop.build()
    [key] = shop.tick()
    assert shop.run(key) == f"confirmed {KNOWN}, profiles"
    assert (shop.as_of(KNOWN), shop.as_of(NEW)) == (instant, published_at)
    shop.later(hours=1)
    assert shop.tick() == []
    shop.known_at = shop.now
    instant = shop.build()
    shop.settle()
    assert shop.as_of(NEW) == instant


def test_a_version_whose_build_is_no_longer_kept_is_published_from_a_newer_one_that_holds_it(shop: Shop) -> None:
    shop.build(**{KNOWN: {"c1"}})
    shop.settle()
    shop.build(**{KNOWN: {"c2"}})
    [key] = [key for key in shop.tick() if key.startswith(KNOWN)]
    for _ in range(5):
        instant = shop.build()
        shop.tick()
    assert not (shop.platform.settings.served / "build-2.duckdb").exists()
    assert shop.run(key) == "published"
    assert shop.published()[KNOWN] == {"c2"}
    assert shop.as_of(KNOWN) == instant


def test_a_publication_that_fails_is_tried_for_ever_with_pauses(shop: Shop) -> None:
    shop.build(**{KNOWN: {"c1"}})
    shop.define(**{KNOWN: {"expires_after": "never"}})
    for attempt in range(1, 7):
        [key] = [key for key in shop.tick() if key.startswith(KNOWN)]
        assert key == f"{KNOWN}:1:{attempt}"
        with pytest.raises(ValueError, match="such as 36 hours"):
            shop.run(key)
        shop.later(seconds=20)
        assert [key for key in shop.tick() if key.startswith(KNOWN)] == []
        shop.later(minutes=10)
    told = stuck_publications(shop.platform.state, shop.now)[KNOWN]
    assert "could not be published in 6 tries; the last one said: expires_after of the audience" in told
    shop.define(**{KNOWN: {}})
    shop.settle()
    assert shop.published()[KNOWN] == {"c1"}
    assert stuck_publications(shop.platform.state, shop.now) == {}


def test_files_that_cannot_be_read_while_somebody_edits_them_stop_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half_written() -> None:
        raise yaml.YAMLError("could not find expected ':'")

    settings = load_settings(home=tmp_path)
    monkeypatch.setattr(transform, "write_exposures", half_written)
    assert transform.last_good_manifest(settings) == transform.manifest_path()
    monkeypatch.setattr(transform, "manifest_path", lambda: tmp_path / "none.json")
    with pytest.raises(yaml.YAMLError):
        transform.last_good_manifest(settings)
