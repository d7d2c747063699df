"""What may be saved as a rule audience, what is kept of it, and the files that it is exported to."""

import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import HealthCheck, given, settings

from activation.api.settings import DefinedInSqlError, InvalidRuleError, UnknownAudienceError
from activation.rules import RuleError, Sources, Sql, compile_rule, parse_rule, write_json
from activation.rules.literals import written_out
from orchestration.audience_catalogue import audiences
from orchestration.audience_rules import Definition
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.errors import ExportError, RuleConflictError, UnknownRuleError
from orchestration.resources import Platform
from orchestration.rule_author import ApiAuthor, RuleAuthor
from orchestration.rule_definitions import read_definition, read_definition_file
from orchestration.rule_export import export_rule, write_export
from orchestration.settings import load_settings
from orchestration.state import State
from tests.activation.rules.generated import AS_OF as RULES_AS_OF
from tests.activation.rules.generated import KNOWN, RULES, create, fill, populations
from tests.activation.rules.payloads import payloads
from tests.orchestration.rule_shop import AS_OF, SQL_AUDIENCE, serve
from tests.orchestration.rule_shop import fill as fill_shop

NOW = datetime(2026, 4, 1)
SPENDERS = {"attribute": "net_revenue", "op": "gte", "value": 100}
WHOLE = {
    "name": "spenders",
    "rule": SPENDERS,
    "description": "Customers who spent 100.",
    "owner": "crm-team",
    "consent_purpose": "personalisation",
    "destinations": ["redis"],
    "guards": {"max_share": 0.5},
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, manifest: dict[str, Any]) -> Platform:
    platform = Platform(load_settings(home=tmp_path_factory.mktemp("home")))
    with platform.warehouse.writer() as connection:
        fill_shop(connection)
    serve(platform.warehouse, "a")
    return platform


def definition(name: str, rule: Any) -> Definition:
    return read_definition({**WHOLE, "name": name, "rule": rule})


def refused(call: Any, *arguments: Any) -> list[tuple[str, str]]:
    with pytest.raises(RuleError) as error:
        call(*arguments)
    return [(problem.path, problem.sentence) for problem in error.value.problems]


def test_who_needs_no_consent_says_why_and_a_life_time_is_one() -> None:
    needs_none = {**WHOLE, "consent_purpose": "none"}
    assert refused(read_definition, needs_none) == [
        ("$.legal_basis", "is missing: an audience that needs no consent says why, in a sentence.")
    ]
    whole = read_definition({**needs_none, "legal_basis": "to deliver what was ordered", "expires_after": "36 hours"})
    assert (whole.legal_basis, whole.expires_after) == ("to deliver what was ordered", "36 hours")
    assert [path for path, _ in refused(read_definition, {**WHOLE, "expires_after": "soon"})] == ["$.expires_after"]
    assert [path for path, _ in refused(read_definition, {**WHOLE, "legal_basis": 1})] == ["$.legal_basis"]


def test_every_mistake_of_a_definition_is_named_at_its_place() -> None:
    wrong = {
        **WHOLE,
        "name": "Spenders",
        "owner": " ",
        "description": "Read {{ env_var('X') }}",
        "consent_purpose": "personalization",
        "destinations": [],
        "guards": {"max_shar": 0.5},
        "ruel": 1,
    }
    found = dict(refused(read_definition, wrong))
    assert found.keys() == {
        "$",
        "$.name",
        "$.owner",
        "$.description",
        "$.consent_purpose",
        "$.destinations",
        "$.guards",
    }
    assert (
        "did you mean max_share" in found["$.guards"]
        and "did you mean rule?" in found["$"]
        and "did you mean personalisation?" in found["$.consent_purpose"]
    )
    assert {path for path, _ in refused(read_definition, {})} == {
        f"$.{member}" for member in ("name", "rule", "owner", "consent_purpose", "destinations")
    }
    for payload in payloads()[::10]:
        assert ("$.name", "takes 1 to 63 small letters, digits and _, beginning with a letter.") in refused(
            read_definition, {**WHOLE, "name": payload}
        )


def test_a_file_holds_a_rule_or_a_whole_definition_and_options_win() -> None:
    said = {"owner": "me", "consent_purpose": "analytics", "destinations": ["redis"]}
    alone = read_definition_file(b'{"min_total_spend": 5}', "some", said)
    assert (alone.rule, alone.owner, alone.guards) == ({"min_total_spend": 5}, "me", {})
    whole = read_definition_file(_json(WHOLE), "spenders", {"owner": "me"})
    assert (whole.owner, whole.consent_purpose, whole.guards) == ("me", "personalisation", {"max_share": 0.5})
    assert refused(read_definition_file, _json(WHOLE), "other", {})[0][0] == "$.name"


def _json(given: Any) -> bytes:
    return write_json(given).encode()


@pytest.mark.parametrize(
    "name", [SQL_AUDIENCE, "profiles", "customers", "rule_members", "memberships", "select", "high_value"]
)
def test_a_name_that_is_taken_is_refused(shop: Platform, name: str) -> None:
    [(path, sentence)] = refused(lambda: RuleAuthor(shop).save(definition(name, SPENDERS), by="test"))
    assert path == "$.name" and sentence.startswith(f"{name} is a")


def test_no_rule_may_ask_for_its_own_members_through_others(shop: Platform) -> None:
    author = RuleAuthor(shop)
    author.save(definition("one", SPENDERS), by="test")
    author.save(definition("two", {"any": [{"audience": "one"}, {"audience": SQL_AUDIENCE}]}), by="test")
    author.save(definition("three", {"none": [{"audience": "two"}]}), by="test")
    [(path, sentence)] = refused(lambda: author.save(definition("one", {"all": [{"audience": "three"}]}), by="test"))
    assert path == "$.rule.all[0].audience" and "one -> three -> two -> one" in sentence
    [(path, _)] = refused(lambda: author.save(definition("one", {"audience": "one"}), by="test"))
    assert path == "$.rule.audience"
    with pytest.raises(RuleConflictError, match="two asks for the members of one"):
        author.delete("one", by="test")
    author.delete("three", by="test")
    assert [each.name for each in audiences(shop.state) if each.kind == "rule"] == ["one", "two"]
    with pytest.raises(UnknownRuleError):
        author.delete("three", by="test")


def test_revisions_are_kept_and_the_same_definition_makes_none(state: State) -> None:
    first = state.rules.save(read_definition(WHOLE), by="ann", now=NOW)
    again = state.rules.save(read_definition(WHOLE), by="bob", now=NOW + timedelta(days=1))
    assert again == first and first.revision == 1
    changed = state.rules.save(read_definition({**WHOLE, "consent_purpose": "analytics"}), by="bob", now=NOW)
    assert changed.revision == 2 and changed.definition_hash != first.definition_hash
    seq = state.rules.newest_seq()
    assert state.rules.delete("spenders", by="bob", now=NOW) and not state.rules.delete("spenders", by="bob", now=NOW)
    assert state.rules.newest_seq() > seq and state.rules.current() == [] and state.rules.get("spenders") is None
    assert state.rules.save(read_definition(WHOLE), by="ann", now=NOW).revision == 4
    assert [(each.revision, each.saved_by) for each in state.rules.history("spenders")] == [
        (1, "ann"),
        (2, "bob"),
        (4, "ann"),
    ]
    assert state.rules.current()[0].meta == {
        key: WHOLE[key] for key in ("owner", "consent_purpose", "destinations", "guards")
    }


def test_the_api_previews_saves_and_deletes_in_its_own_words(shop: Platform) -> None:
    author = ApiAuthor(shop)
    shown = author.preview({"name": "x", "rule": SPENDERS})
    assert (shown.size, shown.share, shown.sample) == (2, 0.5, ("ada", "dee"))
    assert (
        author.save({**WHOLE, "name": "from_api"}, by="key")
        == author.save({**WHOLE, "name": "from_api"}, by="key")
        == 1
    )
    with pytest.raises(InvalidRuleError) as wrong:
        author.preview({"rule": {"attribute": "net_revenue", "op": "gte", "value": "x"}})
    assert wrong.value.problems == ("$.rule.value: net_revenue takes a number, not a text.",)
    with pytest.raises(DefinedInSqlError):
        author.delete(SQL_AUDIENCE)
    with pytest.raises(UnknownAudienceError):
        author.rebuild("nobody_knows", by="key")


def rendered(text: str, events: str = "customer_360.events") -> str:
    """What dbt makes of the templates that an export may hold; any other brace is left as it is."""
    text = re.sub(r"\{\{ ref\('profiles'\) \}\}", "audiences.profiles", text)
    text = re.sub(r"\{\{ ref\('events'\) \}\}", events, text)
    text = re.sub(r"\{\{ ref\('(\w+)'\) \}\}", r"audiences.\1", text)
    text = text.replace("{{ as_of() }}", f"timestamp '{AS_OF}'")
    return re.sub(
        r"\{\{ minus_days\(as_of\(\), (\d+)\) \}\}", rf"(timestamp '{AS_OF}' - interval '1 day' * (\1))", text
    )


def test_an_export_is_an_audience_in_sql_with_the_same_members(shop: Platform, tmp_path: Path) -> None:
    author, name = RuleAuthor(shop), "exported"
    inner = {"any": [SPENDERS, {"attribute": "country", "op": "eq", "value": "{{ env_var('HOME') }}'; --\n{# x"}]}
    author.save(definition("inner_rule", inner), by="test")
    rule = {
        "all": [
            {"audience": "inner_rule"},
            {"none": [{"audience": SQL_AUDIENCE}]},
            {"event": "Order Completed", "within_last_days": 90},
        ]
    }
    author.save(definition(name, rule), by="test")
    with shop.warehouse.open_served() as served:
        exported = export_rule(served, shop.state, name)
        assert served.rows(rendered(exported.sql)) == [
            ("dee", "in inner_rule; not in lapsed_buyers; Order Completed: 1 in the last 90 days (at least 1)")
        ]
        with pytest.raises(UnknownRuleError):
            export_rule(served, shop.state, "unknown")
    templates = re.findall(r"\{[{%#].*?[}%#]\}", exported.sql, re.DOTALL)
    assert {each.partition("(")[0] for each in templates} == {"{{ ref", "{{ as_of", "{{ minus_days"}
    [model] = yaml.safe_load(exported.yml)["models"]
    assert model["name"] == name and model["meta"]["audience"]["consent_purpose"] == "personalisation"
    paths = write_export(exported, name, tmp_path)
    assert (
        [path.name for path in paths]
        == ["exported.sql", "exported.yml"]
        == [path.name for path in write_export(exported, name, tmp_path)]
    )
    paths[0].write_text("mine", encoding="utf-8")
    with pytest.raises(ExportError, match="says something else"):
        write_export(exported, name, tmp_path)
    assert paths[0].read_text(encoding="utf-8") == "mine"


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(population=populations(), rule=RULES)
def test_a_rule_written_out_has_the_members_that_its_bound_form_has(population: Any, rule: Any) -> None:
    sources = Sources(
        lambda name: Sql("select customer_id from audiences.others where audience = cast(? as varchar)", (name,))
    )
    query = compile_rule(parse_rule(rule, KNOWN), sources).members_with_reasons()
    with duckdb.connect() as native:
        connection = DuckDBConnection(native)
        create(connection)
        fill(connection, population)
        written = written_out(query, lambda days: f"timestamp '{RULES_AS_OF}' - interval '1 day' * {days}")
        assert sorted(connection.rows(written)) == sorted(connection.rows(query.text, query.bound(RULES_AS_OF)))
