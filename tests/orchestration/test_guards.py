"""From a build to a real Redis through gate and guards: what readers have while a version is held back, and after somebody let it pass."""

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis

from activation.errors import NotPublishedError
from activation.reader import Reader
from activation.rollback import rollback_audience
from orchestration import registering
from orchestration.consent_sweep import sweep_refusals
from orchestration.errors import GateError
from orchestration.guards import Facts, approve, broken_guards, held_version
from orchestration.publishing import (
    HELD,
    PUBLISHED,
    Publication,
    online_store,
    pending_versions,
    publish,
    register_changes,
)
from orchestration.registering import gate_problems, register_again
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.state import utc_now
from orchestration.status import read_status
from orchestration.status_tables import status_tables
from tests.orchestration.gated_shop import ALL, Shop, opened_shop

NOW = datetime(2026, 3, 1, 12)
MANY = [f"c{number:03}" for number in range(400)]
BY = {"note": "looked at", "by": "eve", "now": NOW}


@pytest.fixture
def shop(tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    opened = opened_shop(Platform(load_settings(home=tmp_path, redis_url=redis_url)), monkeypatch)
    opened.consents = {name: dict(ALL) for name in MANY}
    yield opened


def publish_all(shop: Shop, *failed: str) -> dict[str, Publication]:
    """What the sensor and its runs do on one tick."""
    platform = shop.platform
    register_changes(platform.warehouse, platform.state)
    pending = pending_versions(platform.state, after=0, now=utc_now())
    given = (platform.settings, platform.warehouse, platform.state)
    return {v.audience: publish(*given, v, attempt=n, failed_checks=lambda _: failed) for v, n in pending}


def readers(shop: Shop, audience: str = "buyers") -> set[str]:
    with online_store(shop.platform.settings) as client:
        try:
            return set(Reader(client).members(audience))
        except NotPublishedError:
            return set()


def listed(shop: Shop, customer_id: str) -> list[str]:
    """The audiences in a customer's published profile."""
    with online_store(shop.platform.settings) as client:
        return list(Reader(client).profile("customer_id", customer_id, now=NOW).audiences)


def test_only_who_passes_the_gate_is_in_redis_and_in_the_profile_and_the_others_are_counted(shop: Shop) -> None:
    shop.consents["c000"]["advertising"] = False
    shop.audience("buyers", MANY[:5])
    shop.audience("contract", MANY[:2], consent_purpose="none", legal_basis="the order")
    shop.build()
    done = publish_all(shop)
    assert readers(shop) == set(MANY[1:5])
    assert dict(done["buyers"].withheld) == {"no_consent": 1}
    assert "withheld: 1 no consent for the purpose" in done["buyers"].sentence
    assert [listed(shop, each) for each in ("c000", "c001", "c005")] == [["contract"], ["buyers", "contract"], []]
    assert publish_all(shop) == {}


def test_nothing_is_read_on_a_tick_where_nothing_changed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.audience("buyers", MANY[:5])
    shop.build()
    publish_all(shop)
    with monkeypatch.context() as watched:
        watched.setattr(registering, "_register", lambda *_: pytest.fail("the served build was read"))
        assert register_changes(shop.platform.warehouse, shop.platform.state) == []
    shop.audience("buyers", MANY[:5], consent_purpose="sharing")
    assert register_changes(shop.platform.warehouse, shop.platform.state) == []
    shop.consents["c001"]["sharing"] = False
    shop.build()
    assert [each.audience for each in register_changes(shop.platform.warehouse, shop.platform.state)] == [
        "buyers",
        "profiles",
    ]


def test_an_exclusion_and_a_landed_refusal_reach_readers_without_a_build(shop: Shop) -> None:
    shop.audience("buyers", MANY[:5])
    shop.build()
    publish_all(shop)
    shop.platform.state.exclusions.add([("email", "mail-c001")], note="", made_by="eve", now=NOW)
    done = publish_all(shop)
    assert (readers(shop), done["buyers"].mode) == (set(MANY[:5]) - {"c001"}, "diff")
    with shop.platform.warehouse.writer() as connection:
        shop.land(connection, "u-c002", {"advertising": False})
        sweep_refusals(shop.platform, connection)
    assert {name: each.removed for name, each in publish_all(shop).items()}["buyers"] == 1
    assert readers(shop) == {"c000", "c003", "c004"}
    assert (listed(shop, "c002"), listed(shop, "c003")) == ([], ["buyers"])


def test_a_version_that_was_registered_is_gated_as_of_its_publication(shop: Shop) -> None:
    shop.audience("buyers", MANY[:5])
    shop.build()
    register_changes(shop.platform.warehouse, shop.platform.state)
    shop.platform.state.exclusions.add([("customer_id", "c001")], note="", made_by="eve", now=NOW)
    [version] = [v for v, _ in pending_versions(shop.platform.state, after=0, now=utc_now()) if v.audience == "buyers"]
    publish(shop.platform.settings, shop.platform.warehouse, shop.platform.state, version, attempt=1)
    assert readers(shop) == set(MANY[:5]) - {"c001"}


def test_a_jump_leaves_readers_the_last_good_version_until_that_one_version_is_approved(shop: Shop) -> None:
    state = shop.platform.state
    shop.audience("buyers", MANY[:50])
    shop.build()
    publish_all(shop)
    shop.audience("buyers", MANY[:300])
    shop.build()
    done = publish_all(shop)["buyers"]
    assert (done.status, readers(shop)) == (HELD, set(MANY[:50]))
    assert "grow from 50 to 300" in done.held
    assert (listed(shop, "c000"), listed(shop, "c200")) == (["buyers"], [])
    assert publish_all(shop) == {}, "it is not tried again while nothing changed"
    [told] = [each for each in read_status(shop.platform).audiences if each.audience == "buyers"]
    assert (told.held, told.is_pending) == (done.held, False)
    shown = [str(part) for part in status_tables(read_status(shop.platform))]
    assert any("is held back" in part and "weft audience approve buyers" in part for part in shown)

    approve(state, "buyers", **BY)
    register_again(state)
    assert {each.status for each in publish_all(shop).values()} == {PUBLISHED}
    assert (readers(shop), listed(shop, "c200")) == (set(MANY[:300]), ["buyers"])
    assert held_version(state, "buyers") is None
    with pytest.raises(GateError, match="No version of buyers is held back"):
        approve(state, "buyers", **BY)
    shop.audience("buyers", MANY[:20])
    shop.build()
    assert publish_all(shop)["buyers"].status == HELD, "one version was approved, not every one"
    assert readers(shop) == set(MANY[:300])


def test_who_may_no_longer_be_published_leaves_also_an_audience_that_is_held_back(shop: Shop) -> None:
    shop.audience("buyers", MANY[:200])
    shop.build()
    publish_all(shop)
    shop.audience("buyers", MANY[390:395])
    shop.build()
    assert publish_all(shop)["buyers"].status == HELD
    shop.platform.state.exclusions.add([("customer_id", "c007")], note="", made_by="eve", now=NOW)
    with shop.platform.warehouse.writer() as connection:
        shop.land(connection, "u-c008", {"advertising": False})
        sweep_refusals(shop.platform, connection)
    done = publish_all(shop)["buyers"]
    assert (done.status, done.removed, readers(shop)) == (HELD, 2, set(MANY[:200]) - {"c007", "c008"})
    assert [listed(shop, each) for each in ("c007", "c009", "c390")] == [[], ["buyers"], []]
    # what is held back is judged anew with the next build
    shop.audience("buyers", MANY[:210])
    shop.build()
    assert publish_all(shop)["buyers"].status == PUBLISHED
    assert readers(shop) == set(MANY[:210]) - {"c007", "c008"}


def test_a_mass_withdrawal_is_no_jump_and_an_audience_emptied_by_its_definition_is(shop: Shop) -> None:
    shop.audience("buyers", MANY)
    shop.audience("small", MANY[:3])
    shop.build()
    publish_all(shop)
    names = [("customer_id", each) for each in MANY[3:]]
    shop.platform.state.exclusions.add(names, note="", made_by="eve", now=NOW)
    assert publish_all(shop)["buyers"].status == PUBLISHED
    assert readers(shop) == set(MANY[:3])
    shop.platform.state.exclusions.remove(names, by="eve", now=NOW)
    shop.audience("small", [])
    shop.build()
    done = publish_all(shop)
    assert (done["small"].status, readers(shop, "small")) == (HELD, set(MANY[:3]))
    shop.audience("small", [], guards={"may_be_empty": True})
    shop.build()
    assert (publish_all(shop)["small"].status, readers(shop, "small")) == (PUBLISHED, set())


def test_a_failed_check_and_stale_inputs_hold_back_until_they_are_mended(shop: Shop) -> None:
    shop.audience("buyers", MANY[:5], guards={"max_age_hours": 3})
    shop.build()
    done = publish_all(shop, "customer_360.customers: unique")["buyers"]
    assert (done.status, readers(shop)) == (HELD, set())
    assert "customer_360.customers: unique" in done.held
    shop.build()
    assert publish_all(shop)["buyers"].status == PUBLISHED
    shop.audience("buyers", MANY[:6], guards={"max_age_hours": 1})
    shop.build()
    done = publish_all(shop)["buyers"]
    assert (done.status, "2 h old at the run's clock, more than max_age_hours 1" in done.held) == (HELD, True)
    assert readers(shop) == set(MANY[:5])


def test_an_audience_that_cannot_be_told_is_not_published_and_holds_up_no_other(shop: Shop) -> None:
    shop.audience("buyers", MANY[:5])
    shop.audience("wrong", MANY[:5], consent_purpose="advertizing")
    shop.build()
    assert set(publish_all(shop)) == {"buyers", "profiles"}
    assert "'advertizing'" in gate_problems(shop.platform.state)["wrong"]
    assert (readers(shop, "wrong"), listed(shop, "c000")) == (set(), ["buyers"])
    shop.audience("wrong", MANY[:5])
    assert set(publish_all(shop)) == {"wrong", "profiles"}
    assert json.loads(shop.platform.state.setting("gate_problems") or "") == {}


@pytest.mark.parametrize(
    ("guards", "facts", "said"),
    [
        ({}, Facts(400, None, 400), []),
        ({"max_share": 0.5}, Facts(201, 200, 400), ["50% of the customers, more than max_share 0.5"]),
        ({"max_share": 0.5}, Facts(200, 200, 400), []),
        ({}, Facts(501, 100, 9_000), ["grow from 100 to 501, more than max_growth 5"]),
        ({}, Facts(500, 100, 9_000), []),
        ({"max_growth": 1.1}, Facts(111, 100, 9_000), ["max_growth 1.1"]),
        ({}, Facts(19, 100, 9_000), ["shrink from 100 to 19, more than max_shrink 0.8"]),
        ({}, Facts(20, 100, 9_000), []),
        ({}, Facts(99, 3, 9_000), []),
        ({}, Facts(0, 1, 9_000), ["empty and had 1"]),
        ({}, Facts(0, 0, 9_000), []),
        ({"max_age_hours": 24}, Facts(9, 9, 9, timedelta(hours=25)), ["25 h old"]),
        ({"max_age_hours": 24}, Facts(9, 9, 9, timedelta(hours=24)), []),
        ({"max_age_hours": 24}, Facts(9, 9, 9), ["no event is known"]),
        ({}, Facts(9, 9, 9, None, ["a: b", "c: d"]), ["a: b", "c: d"]),
    ],
)
def test_a_guard_says_what_is_wrong_and_nothing_else(
    shop: Shop, guards: dict[str, float], facts: Facts, said: list[str]
) -> None:
    found = broken_guards(shop.audience("buyers", [], guards=guards), facts)
    assert len(found) == len(said)
    assert all(part in sentence for part, sentence in zip(said, found, strict=True))


def test_a_guard_that_there_is_not_is_refused(shop: Shop) -> None:
    for guards, said in (({"max_shares": 1}, "'max_shares' that there is not"), ({"max_share": "half"}, "'half'")):
        with pytest.raises(GateError, match=said):
            broken_guards(shop.audience("buyers", [], guards=guards), Facts(1, 1, 1))


def test_a_rollback_ends_where_it_would_keep_somebody_published_who_withdrew(shop: Shop) -> None:
    shop.audience("buyers", MANY[:5])
    shop.build()
    publish_all(shop)
    shop.audience("buyers", MANY[1:6])
    shop.build()
    publish_all(shop)
    with online_store(shop.platform.settings) as client:
        rollback_audience(client, "buyers", 1)
    shop.platform.state.exclusions.add([("customer_id", "c005")], note="", made_by="eve", now=NOW)
    publish_all(shop)
    assert readers(shop) == set(MANY[:5]), "nobody of the older version withdrew"
    shop.platform.state.exclusions.add(
        [("customer_id", "c000"), ("customer_id", "c001")], note="", made_by="eve", now=NOW
    )
    assert "its rollback was released, since 2 people" in publish_all(shop)["buyers"].sentence
    assert readers(shop) == set(MANY[2:5])
