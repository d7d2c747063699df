"""Rules on a warehouse: their members in a build, previews within limits, and why somebody is in."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from activation.rules import RuleError
from orchestration.audience_catalogue import audiences
from orchestration.audience_rules import Definition
from orchestration.registering import built_in
from orchestration.resources import Platform
from orchestration.rule_audiences import build_rule_members, explain, explain_leaving, preview
from orchestration.rule_author import RuleAuthor
from orchestration.settings import load_settings
from orchestration.state import utc_now
from orchestration.warehouse import Connection
from tests.orchestration.rule_shop import AS_OF, CUSTOMERS, SQL_AUDIENCE, fill, serve, write_profiles

SPENDERS = {"attribute": "net_revenue", "op": "gte", "value": 100}
NOT_ORDERED = {"event": "Order Completed", "exactly": 0, "within_last_days": 30}
VIEWED_ONLY = {
    "sequence": [
        {"event": "Product Viewed", "where": [{"property": "product_id", "op": "eq", "value": "p1"}]},
        {"event": "Order Completed", "within_days": 7, "not": True},
    ]
}


@pytest.fixture(params=["duckdb", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, manifest: dict[str, Any]) -> Platform:
    """An installation whose warehouse is filled and served."""
    target: dict[str, Any] = {"home": tmp_path / "home"}
    if request.param == "postgres":
        target |= {"target": "postgres", "postgres_url": request.getfixturevalue("postgres_url")}
    platform = Platform(load_settings(**target))
    with platform.warehouse.writer() as connection:
        fill(connection)
    serve(platform.warehouse, "a")
    return platform


def saved(platform: Platform, name: str, rule: Any) -> None:
    platform.state.rules.save(Definition(name, rule, "Some.", "crm", "personalisation"), by="test", now=utc_now())


@contextmanager
def built(platform: Platform) -> Iterator[Connection]:
    with platform.warehouse.writer() as connection:
        build_rule_members(connection, platform.state, AS_OF)
        yield connection


def members(connection: Connection) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for audience, customer, because in connection.rows("select * from audiences.rule_members"):
        found.setdefault(audience, {})[customer] = because
    return found


def test_a_build_has_the_members_of_every_rule_and_why(shop: Platform) -> None:
    saved(shop, "spenders", SPENDERS)
    saved(shop, "quiet_spenders", {"all": [{"audience": "spenders"}, NOT_ORDERED]})
    saved(shop, "lookers", VIEWED_ONLY)
    saved(shop, "not_lapsed", {"none": [{"audience": SQL_AUDIENCE}, {"attribute": "country", "op": "is_null"}]})
    saved(shop, "short_form", {"min_total_spend": 100, "days_since_last_event": 30})
    with built(shop) as connection:
        assert members(connection) == {
            "spenders": {
                "ada": "net revenue 120.50 (at least 100)",
                "dee": "net revenue 300.00 (at least 100)",
            },
            "quiet_spenders": {
                customer: "in spenders; Order Completed: 0 in the last 30 days (exactly 0)"
                for customer in ("ada", "dee")
            },
            "lookers": {
                customer: "Product Viewed (product id is p1), then no Order Completed within 7 days: " + day
                for customer, day in (("ada", "2026-02-19"), ("cid", "2026-03-22"), ("dee", "2026-03-01"))
            },
            "not_lapsed": {
                "bob": "not in lapsed_buyers; not: country is missing",
                "dee": "not in lapsed_buyers; not: country is missing",
            },
            "short_form": {
                "ada": "net revenue 120.50 (at least 100); last seen at 2026-02-19 (at least 30 days ago)",
                "dee": "net revenue 300.00 (at least 100); last seen at 2026-03-01 (at least 30 days ago)",
            },
        }


def test_a_changed_rule_is_built_anew_and_a_deleted_one_is_gone(shop: Platform) -> None:
    saved(shop, "spenders", SPENDERS)
    saved(shop, "lookers", VIEWED_ONLY)
    with built(shop) as connection:
        assert members(connection).keys() == {"spenders", "lookers"}
    saved(shop, "spenders", {**SPENDERS, "value": 200})
    shop.state.rules.delete("lookers", by="test", now=utc_now())
    with built(shop) as connection:
        assert {name: set(found) for name, found in members(connection).items()} == {"spenders": {"dee"}}
        [built_row] = connection.rows("select * from audiences.rule_builds")
        assert built_row == ("spenders", 2, 1, None)


def test_a_rule_that_fits_no_longer_keeps_its_members_who_are_still_customers_and_holds_up_no_other(
    shop: Platform,
) -> None:
    saved(shop, "spenders", SPENDERS)
    saved(shop, "friends", {"audience": "spenders"})
    with built(shop) as connection:
        assert set(members(connection)["friends"]) == {"ada", "dee"}
    saved(shop, "identified", {"attribute": "is_identified", "op": "eq", "value": True})
    with shop.warehouse.writer() as connection:
        write_profiles(connection, CUSTOMERS[1:])
        connection.execute("alter table audiences.profiles rename column net_revenue to revenue")
        found = build_rule_members(connection, shop.state, AS_OF)
        assert set(found.problems) == {"spenders", "friends"}
        assert "there is no attribute 'net_revenue'" in found.problems["spenders"]
        assert {name: set(each) for name, each in members(connection).items()} == {
            "spenders": {"dee"},
            "friends": {"dee"},
            "identified": {"bob", "dee"},
        }


def test_a_preview_counts_and_names_ids_alone_and_sees_rules_as_they_are_now(shop: Platform) -> None:
    saved(shop, "spenders", SPENDERS)
    found = RuleAuthor(shop).preview({"all": [{"audience": "spenders"}, NOT_ORDERED]})
    assert (found.size, found.share, found.sample, found.as_of) == (2, 0.5, ("ada", "dee"), AS_OF)
    nobody = RuleAuthor(shop).preview({"attribute": "order_count", "op": "gt", "value": 99})
    assert (nobody.size, nobody.share, nobody.sample) == (0, 0.0, ())


def test_every_clause_is_told_with_the_customers_value_but_no_personal_one(shop: Platform) -> None:
    rule = {
        "any": [
            {"attribute": "email", "op": "eq", "value": "ada@example.com"},
            {"none": [SPENDERS]},
            NOT_ORDERED,
            VIEWED_ONLY,
        ]
    }
    with shop.warehouse.open_served() as served:
        told = explain(rule, served, "bob", state=shop.state)
        assert [(clause.path, clause.holds, clause.value) for clause in told] == [
            ("$.any[0]", False, None),
            ("$.any[1].none[0]", True, "99.99"),
            ("$.any[2]", False, "1"),
            ("$.any[3]", False, None),
        ]
        assert told[0].words == "email meets its condition"
        assert explain(rule, served, "nobody", state=shop.state) == []
        assert not any("@" in clause.words for clause in told)


def test_who_left_is_told_which_conditions_do_not_hold(shop: Platform) -> None:
    saved(shop, "spenders", {"all": [SPENDERS, {"attribute": "email", "op": "contains", "value": "ada@"}]})
    with built(shop) as connection:
        [audience] = [each for each in _catalogue(shop) if each.name == "spenders"]
        told = explain_leaving(shop.state, AS_OF)(connection, audience, ["ada", "bob", "gone"])
        assert told == {"bob": "net revenue 99.99 (at least 100); email meets its condition"}


def test_a_rule_that_names_what_there_is_not_is_refused_with_all_of_its_mistakes(shop: Platform) -> None:
    wrong = {"all": [{"attribute": "net_revnue", "op": "gte", "value": 1}, {"audience": "spender"}]}
    with shop.warehouse.open_served() as served, pytest.raises(RuleError) as refused:
        preview(served, wrong, AS_OF, state=shop.state)
    assert [problem.path for problem in refused.value.problems] == ["$.all[0].attribute", "$.all[1].audience"]
    assert "did you mean net_revenue?" in str(refused.value)


def _catalogue(platform: Platform) -> Any:
    from orchestration.audience_catalogue import audiences

    return audiences(platform.state)


def test_a_rule_that_no_build_knows_is_not_registered_as_an_audience_of_nobody(shop: Platform) -> None:
    saved(shop, "built_before", {"min_total_spend": 0})
    with built(shop) as build:
        before = {each.name for each in built_in(build, audiences(shop.state))}
        assert "built_before" in before
        saved(shop, "saved_since", {"min_total_spend": 0})
        assert "saved_since" in {each.name for each in audiences(shop.state)}
        assert {each.name for each in built_in(build, audiences(shop.state))} == before
