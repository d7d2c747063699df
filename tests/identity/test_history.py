"""Merge history: which customers became one, by which event, and which lost identifiers by a rule."""

from __future__ import annotations

from typing import Any

import networkx as nx
from hypothesis import given, settings

from tests.identity.histories import (
    Run,
    Sighting,
    customers,
    day,
    free_rules,
    histories,
    only_strong,
    rules_blocking,
    run,
    seen,
    strict_rules,
)
from tests.identity.oracle import Oracle

quick = settings(derandomize=True, deadline=None, max_examples=100)


def _changes(done: Run) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = done.result.merges.to_pylist()
    return rows


def test_the_first_run_at_one_date_has_no_history() -> None:
    assert _changes(run([seen(1, "cookie:1"), seen(2, "cookie:1 email:anna")], dates=[day(9)])) == []


def test_a_first_run_over_dates_tells_what_runs_at_those_dates_would_have_told() -> None:
    history = [seen(1, "cookie:1"), seen(2, "email:anna"), seen(5, "cookie:1 email:anna")]
    at_once = run(history, dates=[day(3), day(9)])
    one_by_one = run(history, dates=[day(9)], after=run(history[:2], dates=[day(3)]))
    assert _changes(at_once) == _changes(one_by_one)
    assert len(_changes(at_once)) == 1


def test_a_merge_names_both_customers_and_its_event() -> None:
    apart = [seen(1, "email:anna cookie:1"), seen(2, "email:ben cookie:2")]
    first = run(apart, dates=[day(3)])
    login = seen(5, "email:anna email:ben", source="shop", message="the login")
    later = seen(6, "email:anna email:ben phone:1", message="too late")
    second = run([*apart, later, login], dates=[day(9)], after=first)
    before, after = customers(first)["email", "ben"], customers(first)["email", "anna"]
    (row,) = _changes(second)
    assert (row["change"], row["customer_id_before"], row["customer_id_after"]) == ("merged", before, after)
    assert (row["source"], row["message_id"], row["recorded_at"]) == ("shop", "the login", day(9))


def test_a_chain_of_new_identifiers_is_blamed_on_the_event_that_closes_it() -> None:
    apart = [seen(1, "email:anna"), seen(2, "phone:7")]
    first = run(apart, dates=[day(3)])
    closing = seen(6, "cookie:1 cookie:2", message="closing")
    chain = [seen(4, "email:anna cookie:1"), closing, seen(5, "cookie:2 phone:7")]
    (row,) = _changes(run([*apart, *chain], dates=[day(9)], after=first))
    assert row["message_id"] == "closing"


def test_a_rule_that_parts_people_is_a_split_without_an_event() -> None:
    history = [seen(1, "email:anna phone:1"), seen(2, "email:ben phone:1")]
    joined = run(history, dates=[day(3)])
    (row,) = _changes(run(history, dates=[day(4)], rules=rules_blocking("phone", "1"), after=joined))
    assert (row["change"], row["customer_id_before"]) == ("split", customers(joined)["email", "anna"])
    assert row["message_id"] is row["evidence_id"] is row["source"] is None


def test_growth_alone_is_no_history() -> None:
    first = run([seen(1, "cookie:1")], dates=[day(2)])
    assert _changes(run([seen(1, "cookie:1"), seen(3, "cookie:1 email:anna")], dates=[day(4)], after=first)) == []


def test_a_run_that_is_repeated_after_a_crash_names_its_rows_alike() -> None:
    first = run([seen(1, "cookie:1"), seen(2, "email:anna")], dates=[day(3)])
    grown = [seen(1, "cookie:1"), seen(2, "email:anna"), seen(4, "cookie:1 email:anna")]
    one, other = (run(grown, dates=[day(9)], after=first) for _ in range(2))
    assert _changes(one) == _changes(other)
    assert len({row["merge_id"] for row in _changes(one)}) == 1


@quick
@given(histories(), histories())
def test_history_accounts_for_every_identifier_that_moved(old: list[Sighting], new: list[Sighting]) -> None:
    first = run(old, dates=[day(20)], rules=strict_rules(4))
    second = run([*old, *new], dates=[day(21)], rules=strict_rules(), after=first)
    before, after = customers(first), customers(second)
    told = {(row["customer_id_before"], row["customer_id_after"]) for row in _changes(second)}
    moved = {(before[name], after[name]) for name in before if name in after and before[name] != after[name]}
    assert moved <= told
    living = {row["customer_id"] for row in second.memberships.to_pylist() if row["known_to"] is None}
    for row in _changes(second):
        assert row["customer_id_after"] in living
        if row["change"] == "merged":
            assert row["customer_id_before"] not in living
    assert len(told) == len(_changes(second)) == len({row["merge_id"] for row in _changes(second)})


@quick
@given(histories(), histories())
def test_the_event_of_a_merge_is_the_first_by_key_that_connects_both(old: list[Sighting], new: list[Sighting]) -> None:
    oracle = Oracle(free_rules())
    old, new = only_strong(old), only_strong(new)
    first = run(old, dates=[day(20)], rules=oracle.rules)
    second = run([*old, *new], dates=[day(21)], rules=oracle.rules, after=first)
    before = customers(first)
    world = oracle.world([*old, *new], [])
    for row in (row for row in _changes(second) if row["change"] == "merged"):
        sides = row["customer_id_before"], row["customer_id_after"]
        graph: nx.Graph = nx.Graph()
        graph.add_nodes_from(sides)
        for each in world.remainders:
            nx.add_path(graph, [before.get(name, name) for name in each.members])
            if nx.has_path(graph, *sides):
                break
        assert (row["source"], row["message_id"]) == each.key[1:]


def test_an_id_that_its_strong_anchor_takes_to_another_customer_has_merged_into_it() -> None:
    anna, cookie, phone = seen(1, "email:anna"), seen(2, "cookie:1"), seen(4, "cookie:1 phone:7")
    first = run([anna, cookie], dates=[day(3)])
    second = run([anna, cookie, phone], dates=[day(5)], after=first)  # the cookie's id gains the phone
    third = run([anna, cookie, phone], dates=[day(6)], rules=rules_blocking("phone", "7"), after=second)
    told = seen(7, "email:anna phone:7", message="anna's phone")
    fourth = run([anna, cookie, told], dates=[day(8)], after=third)  # unblocked; the cookie's evidence was erased
    old, older = customers(first)["anonymous_id", "1"], customers(first)["email", "anna"]
    new = customers(fourth)["anonymous_id", "1"]
    told_rows = {
        (row["change"], row["customer_id_before"], row["customer_id_after"], row["message_id"])
        for row in _changes(fourth)
    }
    assert told_rows == {("merged", old, older, "anna's phone"), ("split", old, new, None)}


def test_a_customer_that_fell_apart_connects_nothing_across_its_parts() -> None:
    first = run(
        [
            seen(1, "email:a phone:1"), seen(1.1, "email:a2 phone:1"),
            seen(2, "email:b phone:2"), seen(2.1, "email:b2 phone:2"), seen(3, "email:d"), seen(4, "email:f"),
        ],
        dates=[day(5)],
    )  # fmt: skip
    apart = [seen(1, "email:a"), seen(1.1, "email:a2"), seen(2, "email:b"), seen(2.1, "email:b2")]
    joining = [seen(11, "email:a2 email:b2"), seen(12, "email:d email:b2"), seen(12.5, "email:f email:d")]
    event = seen(13, "email:a email:b", message="the event")
    second = run([*apart, *joining, event], dates=[day(20)], after=first)
    merged = {r["customer_id_before"]: r["message_id"] for r in _changes(second) if r["change"] == "merged"}
    assert merged[customers(first)["email", "b"]] == "the event"
