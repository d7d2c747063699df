"""Every generated rule has the members on either warehouse that plain Python finds, and says of each why."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings

from activation.rules import Sources, Sql, compile_rule, parse_rule
from activation.rules.fragments import value
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.postgres_connection import PostgresConnection, connect
from orchestration.warehouse import Connection
from tests.activation.rules.generated import AS_OF, AUDIENCES, KNOWN, RULES, create, fill, populations
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
    fill(connection, population)
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


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(population=populations(), rule=RULES)
def test_a_rule_has_the_members_that_plain_python_finds(
    duckdb_connection: Connection, population: Any, rule: Any
) -> None:
    agree(duckdb_connection, population, rule)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(population=populations(), rule=RULES)
def test_and_so_it_has_on_postgresql(postgres_connection: Connection, population: Any, rule: Any) -> None:
    agree(postgres_connection, population, rule)


@pytest.mark.nightly
@settings(
    max_examples=4_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(population=populations(), rule=RULES)
def test_thousands_of_rules(duckdb_connection: Connection, population: Any, rule: Any) -> None:
    agree(duckdb_connection, population, rule)
