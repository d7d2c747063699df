"""identity.quality: every measure is that of an implementation which looks at every pair, on what the warehouse holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import timedelta
from random import Random

import dagster as dg
import duckdb
import jinja2
import pyarrow as pa
import pytest

from identity.quality import JUDGED_IDENTIFIERS, METHODS
from identity.rules import load_rules
from orchestration.checks import judged_precision
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.quality import judge
from orchestration.stitching import ENGINE_TABLES
from orchestration.transform import DBT_PROJECT
from orchestration.warehouse import SQL_TYPES, Connection, create_table, write_table
from tests.identity.histories import day, identifier_id
from tests.identity.quality_oracle import measures

Row = dict[str, object]


def compiled(change: Callable[[str], str] = lambda text: text) -> str:
    """The model as dbt would compile it."""
    model = (DBT_PROJECT / "models" / "identity" / "quality.sql").read_text(encoding="utf-8")
    macro = (DBT_PROJECT / "macros" / "harmonic_mean.sql").read_text(encoding="utf-8")
    template = jinja2.Environment(autoescape=False).from_string(change(macro + model))
    return template.render(source=lambda _, table: f"identity.{table}")


@pytest.fixture
def connection() -> Iterator[DuckDBConnection]:
    with duckdb.connect() as native:
        yield DuckDBConnection(native)


def random_rows(random: Random) -> list[Row]:
    """Judged identifiers: parts that belong to people, and per method clusters that hold parts of several and lose some of them."""
    part_of = {part: str(random.randint(1, 4)) for part in range(random.randint(1, 7))}
    cluster_of = {method: {part: random.randint(1, 7) for part in part_of} for method in METHODS}
    losses = {method: random.choice([0.0, 0.3]) for method in METHODS}
    rows: list[Row] = []
    for number in range(random.randint(1, 16)):
        part = random.choice(list(part_of))
        row: Row = {"identifier_id": str(number), "person_id": part_of[part], "reachable": part}
        for method in METHODS:
            lost = random.random() < losses[method]
            row[method] = random.randint(1, 12) if lost else cluster_of[method][part]
        rows.append(row)
    return rows


def agrees(connection: Connection, query: str, rows: list[Row]) -> None:
    table = pa.Table.from_pylist(rows, schema=JUDGED_IDENTIFIERS)
    columns = {field.name: SQL_TYPES[field.type] for field in JUDGED_IDENTIFIERS}
    write_table(connection, "identity.judged_identifiers", table, columns)
    found = {row.pop("method"): row for row in connection.arrow(query).to_pylist()}
    assert found.keys() == (set(METHODS) if rows else set())
    for method, row in found.items():
        by_hand = measures(rows, method)
        assert row.keys() == by_hand.keys()
        assert {name: row[name] for name, value in by_hand.items() if not _is_same(row[name], value)} == {}, method


def _is_same(one: object, other: float | int | None) -> bool:
    if one is None or other is None:
        return one is other
    assert isinstance(one, int | float)
    return type(one) is type(other) and math.isclose(one, other, rel_tol=1e-12)


def agree_on_many(connection: Connection, query: str) -> None:
    for seed in range(150):
        agrees(connection, query, random_rows(Random(seed)))


def test_every_measure_is_that_of_looking_at_every_pair(connection: DuckDBConnection) -> None:
    agree_on_many(connection, compiled())


def test_where_there_is_no_truth_there_is_no_row(connection: DuckDBConnection) -> None:
    agrees(connection, compiled(), [])


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("identifiers,\n        cast(sum(size * (size - 1) / 2)", "identifiers,\n        cast(sum(size * size / 2)"),
        ("group by method, person_id", "group by method, person_id, size"),
        ("from reachable_parts\n    group by method", "from clusters\n    group by method"),
        ("sum(shared_by_both.size * (shared_by_both.size - 1) / 2)", "sum(clusters.size * (clusters.size - 1) / 2)"),
        ("sum(cells.size * (cells.size - 1) / 2)", "sum(reachable_parts.size * (cells.size - 1) / 2)"),
        ("as float8) / clusters.size", "as float8) / people.size"),
        ("as float8) / reachable_parts.size", "as float8) / (reachable_parts.size + 1)"),
        ("when parts = 1 and size > 1", "when parts = 1"),
        ("when parts = 1 and size > 1", "when size > 1"),
        (" and clusters.people = 1", ""),
        (" and people.clusters = 1", ""),
        ("when people.parts = 1 and ", "when "),
        ("true_pairs - reachable_pairs", "true_pairs - reached_pairs"),
        ("2 * {{ one }} * {{ other }} / ({{ one }} + {{ other }})", "({{ one }} + {{ other }}) / 2"),
        ("+ {{ other }} = 0 then 0", "+ {{ other }} = -1 then 0"),
        ("reached.method\n", "reached.method and hits.method = 'weft'\n"),
    ],
)  # fmt: skip
def test_a_measure_that_counts_something_else_is_found_out(
    connection: DuckDBConnection, right: str, wrong: str
) -> None:
    def change(text: str) -> str:
        assert right in text
        return text.replace(right, wrong)

    with pytest.raises(AssertionError):
        agree_on_many(connection, compiled(change))


def shop(connection: Connection) -> None:
    """Anna with two addresses, Ben whose cookie the engine found shared, a tablet of both, and a mistake: Ben's phone is Anna's."""
    held = {
        "a1": ("email", "anna@a.internal", {1}, "x"),
        "a2": ("email", "anna@b.internal", {1}, "x"),
        "b1": ("email", "ben@a.internal", {2}, "y"),
        "b2": ("phone", "+49171", {2}, "x"),
        "b3": ("anonymous_id", "cookie", {2}, "y"),
        "t": ("device_id", "tablet", {1, 2}, "x"),
        "k": ("device_id", "kiosk", set(), None),
    }
    sets = {"e1": ["a1", "a2"], "e2": ["a2", "t"], "e3": ["b1", "b2", "t"], "e4": ["b1", "b3"], "e5": ["k", "b1"]}
    for table, schema in ENGINE_TABLES.items():
        create_table(connection, table, {field.name: SQL_TYPES[field.type] for field in schema})
    ids = {name: identifier_id((kind, value)) for name, (kind, value, _, _) in held.items()}
    connection.execute("create schema truth")
    for statement in (
        "create table identity.identifiers (identifier_id varchar, identifier_type varchar, identifier_value varchar)",
        "create table identity.evidence (evidence_id varchar, last_occurred_at timestamp)",
        "create table identity.evidence_identifiers (evidence_id varchar, identifier_id varchar)",
        "create table truth.identifiers (identifier_type varchar, identifier_value varchar, person_id bigint)",
    ):
        connection.execute(statement)
    for name, (kind, value, people, customer) in held.items():
        connection.execute("insert into identity.identifiers values (?, ?, ?)", [ids[name], kind, value])
        for person in people:
            connection.execute("insert into truth.identifiers values (?, ?, ?)", [kind, value, person])
        if customer:
            valid_from = day(1) if name == "b3" else None
            _member(connection, (ids[name], kind, value), customer, valid_from=valid_from)
    _member(connection, (ids["b1"], "email", "ben@a.internal"), "x", known_to=day(3))
    for number, (evidence, names) in enumerate(sets.items()):
        connection.execute("insert into identity.evidence values (?, ?)", [evidence, day(1) + timedelta(hours=number)])
        for name in names:
            connection.execute("insert into identity.evidence_identifiers values (?, ?)", [evidence, ids[name]])


def _member(connection: Connection, named: tuple[str, str, str], customer: str, **when: object) -> None:
    columns = ["identifier_id", "identifier_type", "identifier_value", "customer_id", "known_from", *when]
    marks = ", ".join("?" for _ in columns)
    connection.execute(
        f"insert into identity.memberships ({', '.join(columns)}) values ({marks})",
        [*named, customer, day(1), *when.values()],
    )


def test_the_newest_answer_is_judged_and_what_is_shared_stands_alone(connection: DuckDBConnection) -> None:
    shop(connection)
    assert judge(connection, rules=load_rules()) == 5
    [weft] = [row for row in connection.arrow(compiled()).to_pylist() if row["method"] == "weft"]
    assert (weft["predicted_pairs"], weft["hit_pairs"]) == (3, 1)  # a1-a2, and Ben's phone with both
    assert (weft["true_pairs"], weft["reachable_pairs"], weft["reached_pairs"]) == (4, 4, 1)
    assert (weft["connected_customer_count"], weft["exact_customer_count"]) == (2, 0)


def test_what_was_judged_is_forgotten_when_the_truth_goes(connection: DuckDBConnection) -> None:
    shop(connection)
    judge(connection, rules=load_rules())
    connection.execute("drop table truth.identifiers")
    assert judge(connection, rules=load_rules()) == 0
    assert connection.arrow(compiled()).num_rows == 0


def test_the_check_passes_from_99_percent_and_where_there_is_nothing_to_compare() -> None:
    def row(precision: float | None) -> Row:
        return {"pairwise_precision": precision, "pairwise_recall": 0.5}

    assert judged_precision(None).passed
    assert judged_precision(row(None)).passed
    assert judged_precision(row(0.99)).passed
    refused = judged_precision(row(0.9899))
    assert not refused.passed
    assert refused.severity == dg.AssetCheckSeverity.WARN
