"""`weft identity plan` says what the next run then does, counts what it says it counts, and writes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from hypothesis import given, settings
from rich.console import Console

from identity.rules import HotLimits, Rules, load_rules
from orchestration.identity_differences import Example, compare
from orchestration.identity_plan import Plan, make_plan, report_plan
from orchestration.postgres_connection import PostgresConnection, connect
from orchestration.warehouse import Connection, write_table
from tests.identity.histories import (
    SALT,
    Decision,
    Sighting,
    day,
    decisions_table,
    histories,
    link,
    rules_blocking,
    seen,
    some_decisions,
    strict_rules,
    wall,
)
from tests.orchestration.stitched_store import Store
from tests.orchestration.test_explaining import copy_tables, serve

END = day(20)
CURRENT = "select identifier_id, customer_id, valid_from, valid_to from identity.memberships where known_to is null"


def planned(
    history: Sequence[Sighting],
    *,
    before: Rules,
    after: Rules,
    decisions: Sequence[Decision] = (),
    of: Sequence[Decision] = (),
) -> tuple[Plan, dict[str, list[tuple[object, ...]]]]:
    """The plan for rules and decisions on what a run with others (`of`) left, with one audience and one prediction of everybody."""
    with Store() as store:
        store.run(history, dates=[END], rules=before, decisions=of)
        served = serve(store, before)
        members = served.arrow("select distinct customer_id from identity.memberships where known_to is null")
        for table in ("audiences.everybody", "predictions.scores", "audiences.profiles"):
            write_table(served, table, members, {"customer_id": "varchar"})
        write_table(served, "predictions.model_versions", pa.table({"model": ["churn"]}), {"model": "varchar"})
        holds = contents(served)
        plan = make_plan(served, rules=after, decisions=decisions_table(decisions), salt=SALT)
        assert contents(served) == holds, "the plan wrote something"
    return plan, holds


def contents(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
    tables = connection.rows(
        "select table_schema || '.' || table_name from information_schema.tables "
        "where table_type = 'BASE TABLE' and table_schema <> 'temp' order by 1"
    )
    return {table: sorted(connection.rows(f"select * from {table}"), key=repr) for (table,) in tables}


def said(plan: Plan) -> str:
    console = Console(width=200)
    with console.capture() as captured:
        for part in report_plan(plan):
            console.print(part, markup=False, highlight=False)
    return captured.get()


def test_the_same_rules_and_decisions_change_nothing() -> None:
    history = [seen(1, "user:anna cookie:c"), seen(2, "user:bert cookie:c"), seen(3, "email:null user:anna")]
    plan, _ = planned(history, before=load_rules(), after=load_rules())
    assert not plan.differences.moves.any()
    assert "Nothing would change." in said(plan)


def test_a_merge_is_counted_with_its_parts_and_in_every_audience_and_prediction() -> None:
    history = [seen(1, "user:anna cookie:1"), seen(2, "email:a"), seen(3, "phone:1")]
    plan, _ = planned(history, before=load_rules(), after=load_rules(), decisions=[link("user:anna email:a")])
    text = said(plan)
    assert "2 of today's customers would merge into 1." in text
    assert "0 of today's customers would split" in text
    [example] = plan.differences.merged
    assert (example.size, [count for _, count in example.parts]) == (3, [2, 1])
    assert plan.audiences == {"everybody": {"members": 3, "merge": 2, "split": 0, "otherwise": 0}}
    assert plan.predictions == {"scores": {"members": 3, "merge": 2, "split": 0, "otherwise": 0}}
    assert (plan.before.customers, plan.after.customers) == (3, 2)
    assert [size for _, size in plan.after.largest] == [3, 1]
    assert "anna" not in text


def test_a_split_is_counted_with_its_parts() -> None:
    history = [seen(1, "user:anna email:a"), seen(2, "email:a phone:1"), seen(3, "phone:1 cookie:1")]
    plan, _ = planned(history, before=load_rules(), after=load_rules(), decisions=[wall("email:a", "phone:1")])
    text = said(plan)
    assert "1 of today's customers would split; their identifiers would be of 2." in text
    assert plan.audiences["everybody"] == {"members": 1, "merge": 0, "split": 1, "otherwise": 0}
    [example] = plan.differences.split
    assert [count for _, count in example.parts] == [2, 2]


def test_an_identifier_that_becomes_nobodys_is_neither_a_merge_nor_a_split() -> None:
    history = [seen(1, "user:anna email:shop"), seen(2, "user:anna cookie:1")]
    plan, _ = planned(history, before=load_rules(), after=rules_blocking("email", "shop"))
    assert plan.audiences["everybody"] == {"members": 1, "merge": 0, "split": 0, "otherwise": 1}
    assert (plan.before.nobodys, plan.after.nobodys) == (0, 1)


def test_a_hot_limit_that_is_lowered_splits_what_the_identifier_joined() -> None:
    history = [seen(number, f"device:kiosk email:e{number}") for number in range(1, 4)]
    lower = load_rules().model_copy(update={"hot": HotLimits(limit=2)})
    plan, _ = planned(history, before=load_rules(), after=lower)
    assert plan.after.nobodys == plan.before.nobodys + 1
    assert plan.differences.moves.any()


@settings(derandomize=True, deadline=None, max_examples=20)
@given(histories(), some_decisions(), some_decisions())
def test_what_is_planned_is_what_the_next_run_does(
    history: list[Sighting], first: list[Decision], then: list[Decision]
) -> None:
    before, after = strict_rules(3), strict_rules(2)
    plan, holds = planned(history, before=before, after=after, decisions=then, of=first)
    with Store() as store:
        store.run(history, dates=[END], rules=before, decisions=first)
        now = store.connection.arrow(CURRENT)
        store.run(history, dates=[END], rules=after, decisions=then)
        real = compare(now, store.connection.arrow(CURRENT), examples=5)
    assert now.num_rows == len([row for row in holds["identity.memberships"] if row[7] is None])
    for name in ("merges", "splits", "otherwise"):
        assert by_customer(plan, name) == dict(
            zip(real.customers.to_pylist(), getattr(real, name).tolist(), strict=True)
        )
    assert (plan.differences.merged_count, plan.differences.split_into) == (real.merged_count, real.split_into)
    assert said(plan)


def test_the_same_is_planned_on_a_postgresql_that_may_only_be_read(postgres_url: str) -> None:
    history = [seen(1, "user:anna cookie:1"), seen(2, "email:a"), seen(3, "user:bert cookie:1"), seen(3.01, "cookie:1")]
    given = {"rules": strict_rules(2), "decisions": decisions_table([link("user:anna email:a")]), "salt": SALT}
    with Store() as store:
        store.run(history, dates=[END], rules=load_rules())
        served = serve(store, load_rules())
        members = served.arrow("select distinct customer_id from identity.memberships where known_to is null")
        write_table(served, "audiences.everybody", members, {"customer_id": "varchar"})
        native = connect(postgres_url)
        try:
            other = PostgresConnection(native)
            copy_tables(served, other)
            other.execute("set default_transaction_read_only = on")
            assert said(make_plan(other, **given)) == said(make_plan(served, **given))
        finally:
            native.close()


def by_customer(plan: Plan, name: str) -> dict[str, bool]:
    differences = plan.differences
    return dict(zip(differences.customers.to_pylist(), getattr(differences, name).tolist(), strict=True))


def memberships(*rows: tuple[str, str] | tuple[str, str, int, int]) -> pa.Table:
    schema = pa.schema(
        [
            ("identifier_id", pa.string()),
            ("customer_id", pa.string()),
            ("valid_from", pa.timestamp("us")),
            ("valid_to", pa.timestamp("us")),
        ]
    )
    filled = [
        (*row, None, None) if len(row) == 2 else (*row[:2], *(datetime(2026, 1, each) for each in row[2:]))
        for row in rows
    ]
    return pa.Table.from_pylist([dict(zip(schema.names, row, strict=True)) for row in filled], schema=schema)


def test_a_customer_may_merge_and_split_at_once() -> None:
    found = compare(
        memberships(("1", "a"), ("2", "a"), ("3", "b")), memberships(("1", "a"), ("2", "b"), ("3", "b")), examples=5
    )
    assert found.among(pa.chunked_array([["a", "b", "gone"]])) == {"members": 3, "merge": 2, "split": 1, "otherwise": 0}
    assert found.split == [Example("a", [("a", 1), ("b", 1)])]
    assert found.merged == [Example("b", [("a", 1), ("b", 1)])]


def test_a_new_name_for_the_same_identifiers_is_no_change() -> None:
    assert not compare(memberships(("1", "a"), ("2", "a")), memberships(("1", "z"), ("2", "z")), examples=5).moves.any()


def test_other_periods_of_a_shared_identifier_change_their_holders() -> None:
    before = memberships(("1", "a"), ("2", "b"), ("3", "c"), ("9", "a", 1, 3), ("9", "b", 3, 5), ("9", "c", 7, 8))
    after = memberships(("1", "a"), ("2", "b"), ("3", "c"), ("9", "a", 1, 2), ("9", "b", 2, 5), ("9", "c", 7, 8))
    found = compare(before, after, examples=5)
    assert dict(zip(found.customers.to_pylist(), found.otherwise.tolist(), strict=True)) == {
        "a": True,
        "b": True,
        "c": False,
    }


def test_nothing_beside_nothing_is_nothing() -> None:
    found = compare(memberships(), memberships(), examples=5)
    assert found.merged == found.split == []
    assert not found.moves.any()


def test_a_million_identifiers_are_compared_in_seconds() -> None:
    count = 1_000_000
    ids = pc.cast(pa.array(np.arange(count)), pa.string())
    nothing = pa.nulls(count, pa.timestamp("us"))
    customer = pc.cast(pa.array(np.arange(count) // 4), pa.string())
    table = pa.table({"identifier_id": ids, "customer_id": customer, "valid_from": nothing, "valid_to": nothing})
    shifted = table.set_column(1, "customer_id", pc.cast(pa.array((np.arange(count) + 1) // 4), pa.string()))
    assert not compare(table, table, examples=5).moves.any()
    assert compare(table, shifted, examples=5).splits.sum() == count // 4
