"""Whatever stands in a rule stays data or is refused with a sentence; the SQL of a rule depends on its shape alone."""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings

from activation.rules import RuleError, Sources, Sql, compile_rule, parse_rule, read_json, write_json
from activation.rules.fragments import value
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.warehouse import Connection
from tests.activation.rules.generated import AS_OF, KNOWN, RULES, create, fill
from tests.activation.rules.payloads import payloads

PAYLOADS = payloads()
SOURCES = Sources(
    lambda name: Sql(f"select customer_id from audiences.others where audience = {value(name).text}", (name,))
)
# places of a rule that take a name or a word of the language; {} is where the payload goes
WORD_PLACES = [
    {"attribute": "{}", "op": "eq", "value": 1},
    {"attribute": "country", "op": "{}", "value": "NL"},
    {"audience": "{}"},
    {"event": "Order Completed", "distinct": "{}"},
    {"event": "Order Completed", "where": [{"property": "{}", "op": "eq", "value": "p1"}]},
    {"event": "Order Completed", "where": [{"property": "category", "op": "{}", "value": "p1"}]},
    {"event": "Order Completed", "at_least": "{}"},
    {"event": "Order Completed", "within_last_days": "{}"},
    {"event": "Order Completed", "between": ["{}", "2026-01-31"]},
    {"sequence": [{"event": "A"}, {"event": "B", "within_days": "{}"}]},
    {"attribute": "order_count", "op": "gte", "value": "{}"},
    {"attribute": "last_seen_at", "op": "lt", "value": "{}"},
    {"attribute": "is_identified", "op": "eq", "value": "{}"},
    {"min_total_spend": "{}"},
    {"{}": [{"audience": "vip"}]},
]
VALUE_PLACES = [
    {"attribute": "country", "op": "eq", "value": "{}"},
    {"attribute": "country", "op": "in", "value": ["{}", "x"]},
    {"attribute": "country", "op": "contains", "value": "{}"},
    {"attribute": "country", "op": "starts_with", "value": "{}"},
    {"event": "{}"},
    {"event": ["{}", "x"], "at_least": 1},
    {"event": "Known", "where": [{"property": "category", "op": "eq", "value": "{}"}]},
    {
        "sequence": [
            {"event": "Known", "where": [{"property": "category", "op": "eq", "value": "{}"}]},
            {"event": "{}", "not": True},
        ]
    },
]


@pytest.fixture(scope="module")
def town() -> Iterator[Connection]:
    """Each customer lives in a country that is called as one payload, and did things that are called so."""
    with duckdb.connect() as native:
        native.execute("set threads = 1")
        connection = DuckDBConnection(native)
        create(connection)
        fill(connection, {"profiles": [], "events": [], "members": []})
        people = [[f"c{number}", text] for number, text in enumerate(PAYLOADS)]
        native.executemany("insert into audiences.profiles (customer_id, country) values (?, ?)", people)
        happened = [[2 * number, f"c{number}", text, "x"] for number, text in enumerate(PAYLOADS)]
        happened += [[2 * number + 1, f"c{number}", "Known", text] for number, text in enumerate(PAYLOADS)]
        yesterday = f"timestamp '{AS_OF}' - interval '1 day'"
        native.executemany(f"insert into customer_360.events select ?, ?, ?, {yesterday}, null, ?", happened)
        yield connection


def put(place: Any, payload: str) -> Any:
    """The rule with the payload in its place."""
    if isinstance(place, dict):
        return {put(key, payload): put(each, payload) for key, each in place.items()}
    if isinstance(place, list):
        return [put(each, payload) for each in place]
    return payload if place == "{}" else place


def test_payloads_are_a_thousand() -> None:
    assert len(set(PAYLOADS)) == len(PAYLOADS) == 1_000


def test_a_payload_for_a_name_or_a_word_is_refused_and_not_repeated_at_length() -> None:
    for number, payload in enumerate(PAYLOADS):
        place = WORD_PLACES[number % len(WORD_PLACES)]
        with pytest.raises(RuleError) as refused:
            parse_rule(put(place, payload), KNOWN)
        assert all(problem.sentence.isprintable() and len(problem.sentence) < 400 for problem in refused.value.problems)
    for place in WORD_PLACES:
        for payload in PAYLOADS[::50]:
            with pytest.raises(RuleError):
                parse_rule(put(place, payload), KNOWN)


def test_a_payload_as_a_value_stays_data(town: Connection) -> None:
    customers = {payload: f"c{number}" for number, payload in enumerate(PAYLOADS)}
    texts: dict[int, set[str]] = {}
    for number, payload in enumerate(PAYLOADS):
        place = number % len(VALUE_PLACES)
        compiled = compile_rule(parse_rule(put(VALUE_PLACES[place], payload), KNOWN), SOURCES).members_with_reasons()
        found = dict(town.rows(compiled.text, compiled.bound(AS_OF)))
        assert customers[payload] in found
        others = {other for other in PAYLOADS if payload in other} if place in (2, 3) else {payload}
        assert found.keys() <= {customers[other] for other in others}
        texts.setdefault(place, set()).add(compiled.text)
    assert [len(each) for each in texts.values()] == [1] * len(VALUE_PLACES)
    assert town.rows("select count(*) from audiences.profiles") == [(len(PAYLOADS),)]


def other_values(node: Any, key: str = "") -> Any:
    """The same shape with other values everywhere."""
    if isinstance(node, dict):
        kept = ("attribute", "property", "op", "distinct", "audience", "not")
        return {name: each if name in kept else other_values(each, name) for name, each in node.items()}
    if isinstance(node, list):
        return [other_values(each, key) for each in node]
    if isinstance(node, bool):
        return not node
    if isinstance(node, str):
        if key == "between":
            return "2026-02-02"
        is_time = re.match(r"\d{4}-", node)
        return "2026-02-02T02:02:02Z" if is_time else "'; drop table audiences.profiles; -- ?"
    return Decimal("7") if isinstance(node, Decimal) else 7


@settings(max_examples=150, deadline=None)
@given(rule=RULES)
def test_the_text_depends_on_the_shape_alone(rule: Any) -> None:
    one = compile_rule(parse_rule(rule, KNOWN), SOURCES)
    other = compile_rule(parse_rule(other_values(rule), KNOWN), SOURCES)
    assert one.members().text == other.members().text
    assert one.members_with_reasons().text == other.members_with_reasons().text
    assert "drop" not in other.members_with_reasons().text


HOSTILE = {
    "deep lists": ("[" * 100_000 + "]" * 100_000, "bytes"),
    "deep lists that are not big": ("[" * 99_999, "deeper"),
    "a deep rule": ('{"all":[' * 30 + "{}" + "]}" * 30, "deeper"),
    "groups": ('{"all":[' * 9 + '{"audience": "vip"}' + "]}" * 9, "deep in each other"),
    "ten thousand groups": ('{"none":[' * 10_000, "deeper"),
    "big": ('{"event": "' + "a" * 200_000 + '"}', "bytes"),
    "many values": (json.dumps({"attribute": "country", "op": "in", "value": [1] * 20_000}), "values"),
    "a key twice": ('{"event": "A", "event": "B"}', "twice"),
    "NaN": ('{"min_total_spend": NaN}', "no number"),
    "Infinity": ('{"min_total_spend": -Infinity}', "no number"),
    "1e999": ('{"min_total_spend": 1e999}', "larger"),
    "1e-999": ('{"min_total_spend": 1e-999}', "nearer"),
    "many digits": ('{"min_total_spend": ' + "9" * 5_000 + "}", "digits"),
    "half a surrogate pair": ('{"event": "\\ud800"}', "surrogate"),
    "half a pair in a key": ('{"\\udfff": 1}', "surrogate"),
    "NUL": ('{"event": "a\\u0000b"}', "NUL"),
    "a long text": (json.dumps({"event": "a" * 5_000}), "characters"),
    "no UTF-8": (b'{"event": "\xff"}', "UTF-8"),
    "no JSON": ("{'event': 1}", "not JSON"),
    "two documents": ("{} {}", "not JSON"),
    "nothing": ("", "not JSON"),
    "null": ("null", "object"),
    "a list": ("[]", "object"),
    "empty": ("{}", "none of them"),
    "an open bracket in a text": ('{"event": "' + "[" * 900 + '", "x": 1}', "means nothing"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_json_is_refused_with_a_sentence(name: str) -> None:
    content, word = HOSTILE[name]
    with pytest.raises(RuleError) as refused:
        parse_rule(content, KNOWN)
    assert len(refused.value.problems) <= 10
    [first, *_] = refused.value.problems
    assert word in first.sentence and first.sentence.endswith(".") and len(first.sentence) < 300


def test_an_object_that_somebody_else_read_is_held_to_the_same_limits() -> None:
    deep: Any = {"audience": "vip"}
    for _ in range(10_000):
        deep = {"all": [deep]}
    numbers: list[Any] = [{"min_total_spend": each} for each in (float("nan"), float("inf"), 10**50)]
    for rule in (deep, *numbers, {"event": "\ud800"}, {"event": "a\x00"}, {1: 2}):
        with pytest.raises(RuleError):
            parse_rule(rule, KNOWN)


@settings(max_examples=100, deadline=None)
@given(rule=RULES)
def test_a_rule_written_and_read_again_is_the_same(rule: Any) -> None:
    text = write_json(rule)
    assert write_json(read_json(text)) == text
    assert (
        compile_rule(parse_rule(text, KNOWN), SOURCES).members()
        == compile_rule(parse_rule(rule, KNOWN), SOURCES).members()
    )
