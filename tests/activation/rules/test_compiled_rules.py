"""Every generated rule has the members on either warehouse that plain Python finds, and says of each why."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from activation.rules import Sources, Sql, compile_rule, parse_rule
from activation.rules.fragments import value
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.postgres_connection import PostgresConnection, connect
from orchestration.warehouse import Connection
from tests.activation.rules.generated import (
    AS_OF,
    AUDIENCES,
    COUNTS,
    KNOWN,
    NAMES,
    RULES,
    create,
    fill,
    populations,
    sequences,
    town,
)
from tests.activation.rules.oracle import Oracle


def others(name: str) -> Sql:
    return Sql("select customer_id from audiences.others where audience = " + value(name).text, (name,))


@pytest.fixture(scope="module")
def duckdb_connection() -> Iterator[Connection]:
    with duckdb.connect() as native:
        native.execute("set threads = 1")
        connection = DuckDBConnection(native)
        create(connection)
        yield connection


@pytest.fixture(scope="module")
def postgres_connection(module_postgres_url: str) -> Iterator[Connection]:
    with closing(connect(module_postgres_url)) as native:
        connection = PostgresConnection(native)
        create(connection)
        yield connection


def agree(connection: Connection, population: dict[str, list[dict[str, Any]]], rule: Any) -> None:
    """The warehouse has the members that the oracle finds, in `population`, which stands in it."""
    audiences: dict[str, set[str]] = {name: set() for name in AUDIENCES}
    for row in population["members"]:
        audiences[row["audience"]].add(row["customer_id"])
    expected = Oracle(population["profiles"], population["events"], audiences, AS_OF).members(rule)
    compiled = compile_rule(parse_rule(rule, KNOWN), Sources(others))
    members, reasons = compiled.members(), compiled.members_with_reasons()
    found = connection.rows(members.text, members.bound(AS_OF))
    assert sorted(customer for (customer,) in found) == sorted(expected)
    because = connection.rows(reasons.text, reasons.bound(AS_OF))
    assert sorted(customer for customer, _ in because) == sorted(expected)
    assert all(text and "@" not in text for _, text in because)


QUIETLY = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
VIEWED, _, ORDERED = NAMES
TOWN = town(customers=150, seed=5)


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def town_hall(request: pytest.FixtureRequest) -> Connection:
    """A warehouse with the town in it."""
    connection: Connection = request.getfixturevalue(f"{request.param}_connection")
    fill(connection, TOWN)
    return connection


@settings(max_examples=100, deadline=None, suppress_health_check=QUIETLY)
@given(rule=st.one_of(RULES, COUNTS, sequences()))
@example({"event": "Product Viewed", "at_least": 2, "within_last_days": 2})
@example({"attribute": "channels", "op": "has_any", "value": ["web"]})
@example({"attribute": "last_seen_at", "op": "within_last_days", "value": 2})
@example({"attribute": "predicted_on", "op": "lte", "value": "2026-03-30"})
@example({"none": [{"attribute": "country", "op": "eq", "value": "NL"}, {"audience": "vip"}]})
@example({"sequence": [{"event": VIEWED}, {"event": VIEWED, "not": True}, {"event": ORDERED, "within_days": 1}]})
@example({"sequence": [{"event": VIEWED}, {"event": VIEWED, "within_days": 1}, {"event": ORDERED, "within_hours": 1}]})
@example({"sequence": [{"event": VIEWED}, {"event": ORDERED, "within_days": 1, "not": True}], "within_last_days": 7})
@example({"sequence": [{"event": VIEWED}, {"event": VIEWED, "not": True}], "between": ["2026-03-01", "2026-03-30"]})
def test_a_rule_has_the_members_that_plain_python_finds(town_hall: Connection, rule: Any) -> None:
    agree(town_hall, TOWN, rule)


@settings(max_examples=60, deadline=None, suppress_health_check=QUIETLY)
@given(population=populations(), rule=RULES)
def test_and_so_it_has_of_any_few_customers(duckdb_connection: Connection, population: Any, rule: Any) -> None:
    fill(duckdb_connection, population)
    agree(duckdb_connection, population, rule)


@pytest.mark.nightly
@settings(max_examples=3_000, deadline=None, suppress_health_check=QUIETLY)
@given(rule=st.one_of(RULES, COUNTS, sequences()))
def test_thousands_of_rules(town_hall: Connection, rule: Any) -> None:
    agree(town_hall, TOWN, rule)
