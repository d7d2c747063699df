"""The engine against a direct implementation, and what must hold of any history."""

from __future__ import annotations

import os
import random
from datetime import datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity.engine import resolve
from identity.tables import DECISIONS, EVENTS, EVIDENCE, EVIDENCE_IDENTIFIERS, LEDGER, MEMBERSHIPS, IdentityError
from tests.identity.histories import (
    SALT,
    Decision,
    Run,
    Sighting,
    customers,
    day,
    groups,
    histories,
    owners,
    run,
    seen,
    some_dates,
    some_decisions,
    strict_rules,
    tables,
)
from tests.identity.oracle import Answer, Oracle

nightly = os.environ.get("HYPOTHESIS_PROFILE") == "nightly"
thorough = settings(derandomize=not nightly, deadline=None, max_examples=2_000 if nightly else 200)
quick = settings(derandomize=True, deadline=None, max_examples=60)


def _anchors(done: Run) -> list[tuple[object, ...]]:
    rows = done.ledger.sort_by("ledger_seq").to_pylist()
    return [
        (row["customer_id"], (row["identifier_type"], row["identifier_value"]), row["is_strong"], row["recorded_at"])
        for row in rows
    ]


def _assert_equal(done: Run, expected: dict[datetime, Answer], sightings: list[Sighting], oracle: Oracle) -> None:
    for date, answer in expected.items():
        assert customers(done, date) == answer.customers
        assert owners(done, sightings, date, oracle.rules) == answer.owners
    assert _anchors(done) == [(a.customer, a.identifier, a.is_strong, a.recorded_at) for a in oracle.ledger]


@thorough
@given(histories(), some_dates(), some_decisions())
def test_groups_visits_ids_and_ledger_are_those_of_the_direct_implementation(
    history: list[Sighting], dates: list[datetime], decisions: list[Decision]
) -> None:
    oracle = Oracle(strict_rules())
    done = run(history, dates=dates, rules=oracle.rules, decisions=decisions)
    _assert_equal(done, oracle.resolve(history, dates, decisions), history, oracle)


@thorough
@given(histories(), histories(), some_dates(), some_dates(), some_decisions(), some_decisions())
def test_a_second_run_agrees_with_the_direct_implementation_whatever_came_in_between(  # noqa: PLR0917
    history: list[Sighting],
    more: list[Sighting],
    dates: list[datetime],
    later: list[datetime],
    decisions: list[Decision],
    others: list[Decision],
) -> None:
    oracle = Oracle(strict_rules(limit=10))
    first = run(history, dates=dates, rules=oracle.rules, decisions=decisions)
    oracle.resolve(history, dates, decisions)
    oracle.rules = strict_rules()
    second = run([*history, *more], dates=later, rules=oracle.rules, after=first, decisions=others)
    _assert_equal(second, oracle.resolve([*history, *more], later, others), [*history, *more], oracle)


@quick
@given(histories(size=20), st.randoms(use_true_random=False))
def test_shuffled_and_repeated_events_give_the_same_answer(history: list[Sighting], chance: random.Random) -> None:
    again = [*history, *history[::2]]
    chance.shuffle(again)
    one, other = (run(events, dates=[day(5), day(20)], rules=strict_rules()) for events in (history, again))
    assert one.memberships.equals(other.memberships)
    assert one.ledger.equals(other.ledger)
    assert one.result.merges.equals(other.result.merges)


def in_order(memberships: pa.Table) -> pa.Table:
    """Memberships without the numbers of components, which may be any: rows of a table are in no order."""
    return memberships.drop_columns(["component_id"]).sort_by([(name, "ascending") for name in MEMBERSHIPS.names[:-1]])


@quick
@given(histories(), st.randoms(use_true_random=False))
def test_the_order_of_table_rows_does_not_matter(history: list[Sighting], chance: random.Random) -> None:
    shuffled, places = tables(history), {}
    for name, column in (("evidence", "evidence_row"), ("identifiers", "identifier_row"), ("evidence_identifiers", "")):
        rows = list(range(len(shuffled[name])))
        chance.shuffle(rows)
        shuffled[name] = shuffled[name].take(pa.array(rows, pa.int64()))
        places[column] = {old: new for new, old in enumerate(rows)}
    members = shuffled["evidence_identifiers"].to_pydict()
    moved = {name: [places[name][row] for row in rows] for name, rows in members.items()}
    shuffled["evidence_identifiers"] = pa.Table.from_pydict(moved, EVIDENCE_IDENTIFIERS)
    one, other = run(history, dates=[day(20)]), run(history, dates=[day(20)], **shuffled)
    assert in_order(one.memberships).equals(in_order(other.memberships))


@quick
@given(histories(size=20), st.lists(st.integers(1, 19), max_size=3, unique=True))
def test_runs_after_any_cuts_end_with_the_groups_of_a_rebuild(history: list[Sighting], cuts: list[int]) -> None:
    rebuilt = run(history, dates=[day(20)], rules=strict_rules())
    done = None
    for cut in [*sorted(cuts), 20]:
        known = [each for each in history if each.known < day(cut)]
        done = run(known, dates=[day(cut)], rules=strict_rules(), after=done)
    assert done is not None
    assert groups(customers(done)) == groups(customers(rebuilt))


@quick
@given(histories(), some_dates())
def test_groups_do_not_depend_on_the_earlier_dates_asked_for(history: list[Sighting], dates: list[datetime]) -> None:
    one, other = run(history, dates=dates, rules=strict_rules()), run(history, dates=[day(20)], rules=strict_rules())
    assert groups(customers(one)) == groups(customers(other))


@quick
@given(histories(), some_dates(), some_dates())
def test_running_again_changes_nothing(history: list[Sighting], dates: list[datetime], others: list[datetime]) -> None:
    first = run(history, dates=dates, rules=strict_rules())
    again = run(history, dates=dates, rules=strict_rules(), after=first)
    assert again.memberships.equals(first.memberships)
    assert len(again.result.new_ledger_rows) == len(again.result.merges) == 0
    asked_more = run(history, dates=others, rules=strict_rules(), after=first)
    assert customers(asked_more) == customers(first)


@quick
@given(histories())
def test_every_identifier_seen_has_one_customer_or_runs_of_visits(history: list[Sighting]) -> None:
    oracle = Oracle(strict_rules())
    done = run(history, dates=[day(5), day(20)], rules=oracle.rules)
    for date in (day(5), day(20)):
        world = oracle.world([each for each in history if each.known < date], [])
        assert set(customers(done, date)) == set(world.first) - world.shared


def test_empty_tables_give_empty_tables() -> None:
    done = run([], dates=[day(1), day(2)])
    assert [len(table) for table in (done.memberships, done.ledger, done.result.merges, done.result.hot)] == [0] * 4
    assert done.memberships.schema == MEMBERSHIPS


def test_evidence_known_at_the_date_itself_does_not_count_yet() -> None:
    done = run([seen(3, "cookie:1 email:anna")], dates=[day(3), day(3.1)])
    assert customers(done, day(3)) == {}
    assert len(customers(done, day(3.1))) == 2


def test_a_later_login_does_not_reach_back() -> None:
    done = run([seen(1, "cookie:1"), seen(1, "email:anna"), seen(5, "cookie:1 email:anna")], dates=[day(3), day(9)])
    before, after = customers(done, day(3)), customers(done, day(9))
    assert before["anonymous_id", "1"] != before["email", "anna"]
    assert after["anonymous_id", "1"] == after["email", "anna"]


def test_an_interval_spans_the_dates_with_the_same_customer() -> None:
    done = run([seen(1, "cookie:1"), seen(5, "cookie:1 email:anna")], dates=[day(2), day(4), day(9)])
    rows = [(r["identifier_type"], r["known_from"], r["known_to"]) for r in done.memberships.to_pylist()]
    assert rows == [("email", day(9), None), ("anonymous_id", day(2), None)]


def test_an_identifier_that_becomes_hot_has_no_customer_from_then_on() -> None:
    history = [seen(n, f"email:{n} phone:shop") for n in range(1, 13)]
    done = run(history, dates=[day(5), day(20)])
    rows = [r for r in done.memberships.to_pylist() if r["identifier_type"] == "phone"]
    assert [(r["known_from"], r["known_to"]) for r in rows] == [(day(5), day(20))]


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"dates": []}, "dates is empty"),
        ({"dates": [day(2), day(1)]}, "dates must ascend"),
        ({"dates": [day(1).astimezone()]}, "naive UTC"),
        ({"salt": ""}, "salt is empty"),
        ({"ledger": None}, "ledger must be a pyarrow Table, not NoneType"),
        ({"evidence": EVIDENCE.empty_table().drop_columns(["first_at"])}, "evidence must have one column first_at"),
        ({"ledger": LEDGER.empty_table().set_column(0, "ledger_seq", pa.array([], pa.string()))}, "must be int64"),
    ],
)
def test_a_wrong_argument_is_refused_in_one_sentence(changed: dict[str, object], text: str) -> None:
    given_arguments = {
        **tables([seen(1, "cookie:1")]),
        "ledger": LEDGER.empty_table(),
        "previous": MEMBERSHIPS.empty_table(),
        "rules": strict_rules(),
        "dates": [day(2)],
        "salt": SALT,
        "decisions": DECISIONS.empty_table(),
        "events_of": lambda rows: EVENTS.empty_table(),
    }
    with pytest.raises(IdentityError, match=text):
        resolve(**(given_arguments | changed))  # type: ignore[arg-type]


def test_a_reference_to_nothing_is_refused() -> None:
    history = tables([seen(1, "cookie:1")])
    with pytest.raises(IdentityError, match="identifier_row refers to 1 rows that do not exist"):
        run([seen(1, "cookie:1")], dates=[day(2)], identifiers=history["identifiers"].slice(1))


def test_other_columns_time_units_and_string_types_are_accepted() -> None:
    given_tables = tables([seen(1, "cookie:1 email:anna")])
    evidence = given_tables["evidence"]
    evidence = evidence.set_column(1, "first_at", evidence["first_at"].cast(pa.timestamp("ns")))
    evidence = evidence.set_column(2, "first_source", evidence["first_source"].dictionary_encode())
    evidence = evidence.set_column(0, "evidence_id", evidence["evidence_id"].cast(pa.large_string()))
    evidence = evidence.append_column("event_count", pa.array([1]))
    assert len(run([], dates=[day(2)], **(given_tables | {"evidence": evidence})).memberships) == 2
