"""`weft audience list|show|history|overlaps|why` on a served build: what they say, to people and to machines."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from orchestration.cli import app
from orchestration.consent_purposes import PURPOSES
from orchestration.errors import DecisionError, UnknownAudienceError, UnknownIdentifierError
from orchestration.memberships import settle_audiences
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.transform import prepare_manifest
from orchestration.warehouse import create_table
from tests.orchestration.member_shop import Shop, day

EMAIL = "ann.secret@example.com"
NODES = {
    "identifier_id": "varchar",
    "identifier_type": "varchar",
    "identifier_value": "varchar",
    "standing": "varchar",
    "customer_id": "varchar",
}
RUN = {"as_of": "timestamp"}
IDENTIFIED = {"identifier_type": "varchar", "identifier_value": "varchar", "customer_id": "varchar"}
PERIODS = {"known_to": "timestamp", "valid_from": "timestamp", "valid_to": "timestamp"}
CUSTOMERS = {"customer_id": "varchar", **{f"has_consent_{purpose}": "boolean" for purpose in PURPOSES}}
BUILDS = {"build_id": "varchar", "as_of": "timestamp", "completed_at": "timestamp"}


def serve(platform: Platform, shop: Shop, number: int, members: dict[str, dict[str, str | None]]) -> None:
    """One whole build, settled and served."""
    others: dict[str, dict[str, str | None]] = {"churn_risk": {"ben": None}, "lapsed_buyers": {}, "active_browsers": {}}
    shop.build(others | members)
    shop.connection.execute("delete from control.current_run")
    shop.connection.execute("insert into control.current_run values (?)", [day(number)])
    settle_audiences(shop.connection, platform.state)
    shop.connection.execute(
        "insert into control.builds values (?, ?, ?)", [f"b{number}", day(number), datetime(2027, 1, number + 1)]
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ann was a cart abandoner, merged with an older id of hers, and is of high value; Ben left; a kiosk is nobody's."""
    home = tmp_path_factory.mktemp("home")
    platform = Platform(load_settings(home=home))
    prepare_manifest(platform.settings)
    with platform.warehouse.writer() as connection:
        shop = Shop(connection)
        for table, columns in {
            "identity.nodes": NODES,
            "identity.memberships": IDENTIFIED | PERIODS,
            "customer_360.customers": CUSTOMERS,
            "control.current_run": RUN,
            "control.builds": BUILDS,
        }.items():
            create_table(connection, table, columns)
        for customer, consents in (("ann", True), ("ben", False)):
            values = [customer, *[consents] * len(PURPOSES)]
            connection.execute(f"insert into customer_360.customers values ({', '.join('?' * len(values))})", values)
        shop.people("ann", "ann-too", "ben")
        connection.execute(f"insert into identity.nodes values ('1', 'email', '{EMAIL}', 'member', 'ann')")
        connection.execute("insert into identity.nodes values ('2', 'device_id', 'kiosk', 'hot', null)")
        serve(
            platform,
            shop,
            0,
            {"high_value": {"ann-too": "expected 90", "ben": "expected 80"}, "cart_abandoners": {"ann": "left a cart"}},
        )
        shop.living["ann-too"] = "ann"
        serve(platform, shop, 1, {"high_value": {"ann": "expected 95"}, "cart_abandoners": {"ann": "left a cart"}})
        serve(platform, shop, 2, {"high_value": {"ann": "expected 99 [bold]"}, "cart_abandoners": {}})
    platform.warehouse.serve_newest_build()
    state = platform.state
    for content in ("published", "held"):
        state.register_version(
            audience="high_value",
            build_id="b2",
            definition_hash="d",
            content_hash=content,
            member_count=1,
            as_of=day(2),
        )
    state.record_publication("high_value", 1, 1, "published")
    state.record_publication("high_value", 2, 1, "held")
    state.approvals.hold("high_value", 2, sentence="it grew by half.", seen="b2", now=day(3))
    yield home


def weft(home: Path, *arguments: str) -> str:
    """What a command says that ends well."""
    result = CliRunner().invoke(app, ["audience", *arguments], env={"WEFT_HOME": str(home)}, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_list_tells_who_answers_for_an_audience_who_is_in_and_what_was_registered(home: Path) -> None:
    found: list[dict[str, Any]] = json.loads(weft(home, "list", "--json"))
    by_name = {each["audience"]: each for each in found}
    assert by_name["high_value"] == {
        "audience": "high_value",
        "kind": "sql",
        "owner": "crm-team",
        "consent_purpose": "personalisation",
        "destinations": ["redis"],
        "members": 1,
        "standing": {
            "published_version": 1,
            "published_members": 1,
            "published_as_of": "2026-01-03T00:00:00Z",
            "newest_version": 2,
            "status": "held",
            "held": "it grew by half.",
        },
    }
    assert by_name["cart_abandoners"]["members"] == 0
    assert by_name["cart_abandoners"]["standing"]["newest_version"] is None
    table = weft(home, "list")
    assert all(each["audience"] in table for each in found)


def test_an_installation_without_a_build_lists_its_audiences_without_numbers(tmp_path: Path) -> None:
    assert {each["members"] for each in json.loads(weft(tmp_path, "list", "--json"))} == {None}


def test_show_says_the_definition_the_last_changes_and_what_redis_does_not_have(home: Path) -> None:
    said = " ".join(weft(home, "show", "high_value").split())
    assert "owner crm-team" in said
    assert "members 1 by the definition" in said
    assert "2026-01-02 00:00: 1 entered, 2 left, 1 in" in said
    assert "Redis holds no whole version" in said


def test_history_has_every_change_with_its_reason_and_of_a_customer_those_of_merged_ids_too(home: Path) -> None:
    lines = weft(home, "history", "high_value").splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["7", "6", "5", "4", "3"]
    of_ann = weft(home, "history", "high_value", "--customer", "ann-too")
    assert "merged into ann" in of_ann
    assert "ben" not in of_ann


def test_overlaps_of_one_audience_and_of_all(home: Path) -> None:
    assert "No customer is in two audiences." in weft(home, "overlaps")
    assert "No customer of high_value is in another audience." in weft(home, "overlaps", "high_value")


@pytest.mark.parametrize("asked", ["ann", "ann-too", "customer_id:ann-too", f"email:{EMAIL.upper()}"])
def test_why_finds_the_living_customer_and_says_since_when_and_why(home: Path, asked: str) -> None:
    said = weft(home, "why", asked)
    assert "Customer ann, as of 2026-01-03 00:00; 1 merged ids lead to it." in said
    assert "high_value: in since 2026-01-01 00:00: expected 99 [bold]" in said
    assert "when they came in: expected 90" in said
    assert "cart_abandoners: not in, left 2026-01-03 00:00: no longer matches" in said
    assert "Never in: active_browsers" in said
    assert EMAIL not in said.lower()


def test_why_names_what_withholds_somebody_and_where_the_publication_stands(home: Path) -> None:
    of_ann, of_ben = weft(home, "why", "ann", "high_value"), weft(home, "why", "ben")
    assert "nothing withholds them from publication" in of_ann
    assert "v1 of 1 is published" in of_ann
    assert "v2 is held: it grew by half." in of_ann
    assert "not published: no consent for the purpose" in of_ben
    assert (
        json.loads(weft(home, "why", "ben", "churn_risk", "--json"))["audiences"][0]["withheld"]
        == "no consent for the purpose"
    )


def test_why_about_one_audience_has_the_whole_history_also_for_machines(home: Path) -> None:
    assert "2026-01-01 00:00 (merged) to now as ann: expected 90" in " ".join(
        weft(home, "why", "ann", "high_value").split()
    )
    found = json.loads(weft(home, "why", "ben", "high_value", "--json"))
    [high_value] = found["audiences"]
    assert (high_value["is_in"], high_value["stretches"][0]["left_because"]) == (False, "no longer matches")
    assert high_value["stretches"][0]["left_at"] == "2026-01-02T00:00:00Z"


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        (("why", "nobody"), UnknownIdentifierError, "has the id 'nobody'"),
        (("why", "email:x@example.com"), UnknownIdentifierError, "No event of the served build"),
        (("why", "device_id:kiosk"), UnknownIdentifierError, "is no single customer's"),
        (("why", "shoe_size:42"), DecisionError, "There is no identifier type"),
        (("why", "ann", "nothing"), UnknownAudienceError, "There is no audience 'nothing'"),
        (("history", "nothing"), UnknownAudienceError, "There is no audience 'nothing'"),
        (("overlaps", "nothing"), UnknownAudienceError, "There is no audience 'nothing'"),
    ],
)
def test_a_mistake_gets_one_sentence(home: Path, arguments: tuple[str, ...], error: type[Exception], said: str) -> None:
    result = CliRunner().invoke(app, ["audience", *arguments], env={"WEFT_HOME": str(home)})
    assert isinstance(result.exception, error)
    assert said in str(result.exception)
