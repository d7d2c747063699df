"""Rule audiences in the history of membership: the clauses that hold when somebody enters, and those that fail when they leave."""

from pathlib import Path
from typing import Any

import pytest

from orchestration.audience_catalogue import audiences
from orchestration.audience_explaining import explain_audiences, lines
from orchestration.audience_rules import Definition
from orchestration.audience_standing import clauses_of
from orchestration.memberships import settle_audiences
from orchestration.resources import Platform
from orchestration.rule_audiences import build_rule_members
from orchestration.settings import load_settings
from orchestration.state import utc_now
from tests.orchestration.member_shop import Shop
from tests.orchestration.rule_shop import AS_OF, CUSTOMERS, fill, write_profiles

RULE = {
    "all": [
        {"attribute": "net_revenue", "op": "gte", "value": 100},
        {"none": [{"attribute": "country", "op": "eq", "value": "BE"}]},
        {"attribute": "email", "op": "is_not_null"},
    ]
}


@pytest.fixture
def platform(where: str, tmp_path: Path, manifest: dict[str, Any]) -> Platform:
    target: dict[str, Any] = {"home": tmp_path / "home"}
    target |= {"target": "postgres", "postgres_url": where} if "://" in where else {}
    return Platform(load_settings(**target))


def test_the_history_names_the_clauses_and_why_names_them_all(platform: Platform) -> None:
    definition = Definition("spenders", RULE, "Who spends.", "crm", "personalisation")
    platform.state.rules.save(definition, by="test", now=utc_now())
    with platform.warehouse.writer() as connection:
        fill(connection)
        shop = Shop(connection)
        shop.people("ada", "bob", "cid", "dee")
        shop.build({})
        connection.execute("drop table audiences.rule_members")
        assert build_rule_members(connection, platform.state, AS_OF).problems == {}
        settle_audiences(connection, platform.state)
        assert shop.current() >= {("spenders", "ada"), ("spenders", "dee")}

        # ada gave back what she had bought
        write_profiles(
            connection, [(*each[:5], "20.0000" if each[0] == "ada" else each[5], *each[6:]) for each in CUSTOMERS]
        )
        build_rule_members(connection, platform.state, AS_OF)
        settled = settle_audiences(connection, platform.state)
        assert settled.left == {"spenders": 1}
        [(customer, left_because)] = shop.rows(
            "customer_id, left_because where left_seq is not null and audience = 'spenders'"
        )
        assert customer == "ada"
        assert "20" in left_because
        assert "BE" not in left_because, "that clause still holds"

        wanted = [each for each in audiences(platform.state) if each.name == "spenders"]
        of_ada = explain_audiences(connection, "ada", wanted, clauses=clauses_of(connection, platform.state))
        [spenders] = of_ada.audiences
        assert not spenders.is_in
        assert [clause[:3].strip() for clause in spenders.clauses] == ["no", "yes", "yes"]
        said = "\n".join(lines(of_ada, is_about_one=True))
        assert f"spenders: not in, left {AS_OF:%Y-%m-%d %H:%M}: {left_because}" in said
        assert "ada@example.com" not in said

        platform.state.rules.delete("spenders", by="test", now=utc_now())
        build_rule_members(connection, platform.state, AS_OF)
        settle_audiences(connection, platform.state)
        assert shop.rows("left_kind where customer_id = 'dee' and audience = 'spenders'") == [("withdrawn",)]
