"""Who may be published now: consent of the newest build and refusals since, lists, holdouts; on a warehouse of its own on both targets."""

import hashlib
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from orchestration.consent_sweep import sweep_refusals, sweep_when_idle
from orchestration.errors import GateError
from orchestration.gate import (
    EXCLUDED,
    NO_CONSENT,
    NO_PURPOSE,
    REFUSED_SINCE,
    UNKNOWN,
    gate,
    gate_revision,
    withheld_reason,
)
from orchestration.resources import Platform
from orchestration.settings import load_settings
from tests.orchestration.gated_shop import ALL, AS_OF, Shop, opened_shop

NOW = datetime(2026, 3, 1, 12)
NONE = dict.fromkeys(ALL, False)


@pytest.fixture(params=["duckdb", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    given = {"postgres_url": request.getfixturevalue("postgres_url")} if request.param == "postgres" else {}
    return opened_shop(Platform(load_settings(home=tmp_path, target=request.param, **given)), monkeypatch)


@pytest.fixture
def duckdb_shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return opened_shop(Platform(load_settings(home=tmp_path)), monkeypatch)


def test_only_who_consented_to_every_purpose_asked_passes_and_what_withheld_the_others_is_counted(shop: Shop) -> None:
    shop.consents = {"yes": ALL, "no": NONE, "not_shared": ALL | {"sharing": False}}
    audience = shop.audience("buyers", ["yes", "no", "not_shared", "stranger"])
    shop.build()
    gated = shop.gated(audience)
    assert set(gated.members["customer_id"].to_pylist()) == {"yes", "not_shared"}
    assert gated.withheld == {UNKNOWN: 1, NO_CONSENT: 1}
    assert shop.passing(audience, purposes=["sharing"]) == {"yes"}
    with shop.platform.warehouse.open_served() as served:
        assert gate(served, shop.platform.state, audience, purposes=("sharing", "analytics")).withheld_count == 3
        asked = (served, shop.platform.state, audience)
        assert [withheld_reason(*asked, each) for each in ("yes", "no", "nobody")] == [None, NO_CONSENT, UNKNOWN]


def test_an_audience_without_purpose_publishes_nobody_unless_it_names_a_legal_basis(duckdb_shop: Shop) -> None:
    shop = duckdb_shop
    shop.consents = {"yes": ALL, "no": NONE}
    silent = shop.audience("silent", ["yes"], consent_purpose=None)
    baseless = shop.audience("baseless", ["yes"], consent_purpose="none", legal_basis=" ")
    contract = shop.audience(
        "contract", ["yes", "no"], consent_purpose="none", legal_basis="to deliver what was ordered"
    )
    wrong = shop.audience("wrong", ["yes"], consent_purpose="advertizing")
    shop.build()
    assert shop.gated(silent).withheld == shop.gated(baseless).withheld == {NO_PURPOSE: 1}
    assert shop.passing(contract) == {"yes", "no"}
    assert shop.passing(contract, purposes=["sharing"]) == {"yes"}, "a destination's own purpose is asked all the same"
    with pytest.raises(GateError, match="'advertizing'; a purpose is one of analytics"):
        shop.gated(wrong)
    with pytest.raises(GateError, match="'selling'"):
        shop.gated(contract, purposes=["selling"])


def test_a_build_without_the_columns_of_consent_is_an_error_and_not_a_yes(duckdb_shop: Shop) -> None:
    shop = duckdb_shop
    shop.consents = {"yes": ALL}
    audience = shop.audience("buyers", ["yes"])
    with shop.platform.warehouse.writer() as connection:
        shop.write(connection)
        connection.execute("alter table customer_360.customers drop column has_consent_advertising")
    shop.platform.warehouse.serve_newest_build()
    with pytest.raises(GateError, match="cannot be told"):
        shop.gated(audience)


def test_a_refusal_that_landed_is_obeyed_before_the_next_build_and_let_go_by_the_build_that_contains_it(
    shop: Shop,
) -> None:
    shop.consents = {"a": dict(ALL), "b": dict(ALL), "c": dict(ALL)}
    audience = shop.audience("buyers", ["a", "b", "c"])
    shop.build()
    state = shop.platform.state
    with shop.platform.warehouse.writer() as connection:
        shop.land(connection, "u-a", {"advertising": False, "sharing": True})
        shop.land(connection, None, {"advertising": "true"}, anonymous_id=" cookie-b ")
        shop.land(connection, "u-c", {"advertising": None, "sharing": False, "colour": False})
        before = gate_revision(state)
        assert sweep_refusals(shop.platform, connection) == 3
        assert gate_revision(state) != before
        assert (sweep_refusals(shop.platform, connection), gate_revision(state)) == (0, gate_revision(state))
    assert shop.passing(audience) == {"c"}
    assert shop.gated(audience).withheld == {REFUSED_SINCE: 2}
    assert shop.passing(audience, purposes=["sharing"]) == set()
    assert "cookie-b" not in str(state.refusals.list())

    shop.as_of = AS_OF + timedelta(minutes=5)  # the refusals were known at this very instant: not before it
    shop.build()
    assert shop.passing(audience) == {"c"}, "this build looks back from before the refusals"
    shop.as_of += timedelta(minutes=1)
    shop.consents["a"]["advertising"] = False
    shop.build()
    assert state.refusals.list() == []
    assert shop.passing(audience) == {"b", "c"}
    with shop.platform.warehouse.writer() as connection:
        assert sweep_refusals(shop.platform, connection) == 0


def test_a_build_that_looks_back_from_an_earlier_instant_brings_no_withdrawn_consent_back(duckdb_shop: Shop) -> None:
    shop = duckdb_shop
    shop.consents = {"a": dict(ALL)}
    audience = shop.audience("buyers", ["a"])
    shop.build()
    with shop.platform.warehouse.writer() as connection:
        shop.land(connection, "u-a", {"advertising": False})
    shop.as_of += timedelta(hours=1)
    shop.consents["a"]["advertising"] = False
    shop.build()
    assert sweep_when_idle(shop.platform) == 0, "the build contains it"
    shop.as_of, shop.consents["a"]["advertising"] = AS_OF, True
    shop.build()
    assert sweep_when_idle(shop.platform) == 1
    assert shop.passing(audience) == set()


def test_a_sweep_that_was_killed_before_its_end_is_made_up_for_by_the_next(
    duckdb_shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = duckdb_shop
    shop.consents = {"a": dict(ALL)}
    audience = shop.audience("buyers", ["a"])
    shop.build()
    with shop.platform.warehouse.writer() as connection:
        shop.land(connection, "u-a", {"advertising": False})
        with monkeypatch.context() as broken:
            broken.setattr("orchestration.refusals.bump", _killed)
            with pytest.raises(KeyboardInterrupt):
                sweep_refusals(shop.platform, connection)
        assert shop.platform.state.refusals.list() == []
        assert shop.platform.state.refusals.cursor() is None, "the cursor moves with what was read"
        assert sweep_when_idle(shop.platform) == 0, "somebody writes"
    assert sweep_when_idle(shop.platform) == 1
    assert shop.passing(audience) == set()


def test_exclusions_hold_for_customer_ids_and_identifiers_through_merges_and_for_their_own_list_only(
    shop: Shop,
) -> None:
    shop.consents = {name: dict(ALL) for name in "abcdef"}
    buyers, others = shop.audience("buyers", "abcdef"), shop.audience("others", "abcdef")
    shop.build()
    lists, common = shop.platform.state.exclusions, {"note": "asked for it", "made_by": "eve", "now": NOW}
    before = gate_revision(shop.platform.state)
    assert lists.add([("customer_id", "a"), ("email", "mail-b")], **common) == 2
    assert lists.add([("customer_id", "a")], **common) == 0
    lists.add([("customer_id", "c")], where=("audience", "buyers"), **common)
    lists.add([("user_id", "u-d")], where=("destination", "meta"), **common)
    assert gate_revision(shop.platform.state) != before
    assert (shop.passing(buyers), shop.passing(others)) == (set("def"), set("cdef"))
    assert shop.passing(others, destination="meta") == set("cef")
    shop.redirects = {"a": "e", "b": "f"}  # the excluded are now part of older customers
    shop.build()
    assert shop.passing(others) == set("cd")
    assert shop.gated(others).withheld == {EXCLUDED: 2}
    assert lists.remove([("customer_id", "a"), ("customer_id", "zzz")], by="eve", now=NOW) == 1
    assert shop.passing(others) == set("cde")
    [told] = [each for each in lists.list(with_withdrawn=True) if each.withdrawn_at]
    assert (told.note, told.made_by, told.made_at, told.withdrawn_by) == ("asked for it", "eve", NOW, "eve")


def test_a_version_of_an_older_build_is_judged_by_both_builds_and_a_refusal_in_either_counts(duckdb_shop: Shop) -> None:
    shop = duckdb_shop
    shop.consents = {"always": dict(ALL), "then": dict(ALL), "now": dict(NONE), "merged": dict(ALL), "old": dict(ALL)}
    audience = shop.audience("buyers", list(shop.consents))
    old = shop.build()
    shop.consents["then"], shop.consents["now"] = dict(NONE), dict(ALL)
    shop.redirects = {"merged": "then"}
    shop.build()
    warehouse, state = shop.platform.warehouse, shop.platform.state
    with warehouse.open_served(old) as served, warehouse.open_served() as newest:
        gated = gate(served, state, audience, newest=newest)
    assert set(gated.members["customer_id"].to_pylist()) == {"always", "old"}
    assert gated.withheld == {UNKNOWN: 1, NO_CONSENT: 2}


def test_what_the_sql_hash_of_an_identifier_is_the_hash_that_was_kept_is(shop: Shop) -> None:
    from orchestration.refusals import HASH_IN_SQL, identifier_hash

    shop.build()
    with shop.platform.warehouse.open_served() as served:
        named = "(select 'email' as identifier_type, 'zoë@example.com' as identifier_value) as named"
        [(found,)] = served.rows(f"select {HASH_IN_SQL[served.dialect]} from {named}", ["key"])
    assert found == identifier_hash("key", "email", "zoë@example.com")
    assert found == hashlib.sha256("keyemail:zoë@example.com".encode()).hexdigest()


def _killed(*_given: object) -> None:
    raise KeyboardInterrupt
