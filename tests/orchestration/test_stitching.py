"""Increments of the identity engine: the same answer as deciding everything, from less; all of it or nothing of it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from identity.tables import DECISIONS, REVIEW_QUEUE, IdentityError
from orchestration import stitch_scope
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.stitching import ENGINE_TABLES, stitch
from tests.identity.histories import (
    SALT,
    Decision,
    Run,
    Sighting,
    day,
    groups,
    identifier_id,
    link,
    refuse,
    run,
    seen,
    strict_rules,
    wall,
)
from tests.orchestration.killed_stitches import DATES
from tests.orchestration.stitched_store import Step, Store, connect, held_at, known_at, lives, periods_at


@contextmanager
def increments_at_any_size() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stitch_scope, "LARGEST_SHARE", 0)
        yield


def agrees_with_full_runs(steps: list[Step]) -> None:
    """Runs in increments leave at every date what full runs at the same moments leave, ids, ledger and history included."""
    rules, full = strict_rules(), None
    with increments_at_any_size(), Store() as store:
        for number, step in enumerate(steps):
            done = store.run(step.known, landed=step.landed, dates=step.dates, rules=rules, decisions=step.decisions)
            assert (done.decided_in_full == "no") == (number > 0)
            full = run(step.known, dates=step.dates, rules=rules, decisions=step.decisions, after=full)
            _check_against(full, store, step)
            rebuilt = run(step.known, dates=step.dates, rules=rules, decisions=step.decisions)
            for date in step.dates:
                assert groups(held_at(store.memberships(), date)) == groups(held_at(rebuilt.memberships, date))


def _check_against(full: Run, store: Store, step: Step) -> None:
    queue = store.arrow("review_queue", REVIEW_QUEUE)
    for date in step.dates:
        assert periods_at(store.memberships(), date) == periods_at(full.memberships, date)
        assert _waiting(queue, date) == _waiting(full.result.review_queue, date)
    ledger = [tuple(row.values()) for row in full.ledger.to_pylist()]
    assert store.table("customer_ids") == sorted(ledger, key=repr)
    for table, result in (
        ("hot_identifiers", full.result.hot),
        ("set_aside", full.result.set_aside),
        ("refused_joins", full.result.refused_joins),
        ("waiting_decisions", full.result.waiting),
    ):
        assert store.table(table) == sorted((tuple(row.values()) for row in result.to_pylist()), key=repr), table
    recorded = {row[0] for row in store.table("merge_history")}
    assert {row["merge_id"] for row in full.result.merges.to_pylist()} <= recorded


def _waiting(queue: pa.Table, date: datetime) -> set[tuple[str, str, str]]:
    return {(row["evidence_id"], row["review_id"], row["status"]) for row in known_at(queue, date)}


fast = settings(derandomize=True, deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


@fast
@given(lives())
def test_an_increment_leaves_what_a_full_run_leaves(steps: list[Step]) -> None:
    agrees_with_full_runs(steps)


@pytest.mark.nightly
@pytest.mark.timeout(3000)
@settings(fast, max_examples=2000, derandomize=False)
@given(lives(size=40))
def test_an_increment_leaves_what_a_full_run_leaves_in_many_histories(steps: list[Step]) -> None:
    agrees_with_full_runs(steps)


def step(landed: list[Sighting], *dates: float, decisions: Sequence[Decision] = ()) -> Step:
    """A run at the last of the dates."""
    known = [each for each in landed if each.known < day(dates[-1])]
    return Step(landed, known, [day(date) for date in dates], list(decisions))


def minutes(count: int) -> float:
    return count / 1440


FAMILY = [
    seen(1, "device:1 user:1"),
    seen(1.2, "device:1 user:2"),
    seen(1.3, "device:1"),
    *(seen(2, f"cookie:{number} email:{number}") for number in range(1, 9)),
]
AGAIN = [seen(4, "device:1 user:1", message="a"), seen(4 + minutes(5), "device:1", message="b")]
LATE = [seen(1.3 - minutes(10), "device:1 user:2", known=4.5, message="late")]
LINKED = [link("email:1 phone:9"), link("phone:9 email:2")]
UNSEEN = [seen(5, "phone:9 cookie:9")]
UNDONE = [Decision("link", ()), LINKED[1]]
BY_HAND = {
    "known sets on a shared device": [step(FAMILY, 3), step(FAMILY + AGAIN, 3, 5), step(FAMILY + AGAIN + LATE, 5, 6)],
    "a known set learnt of at a date between": [step(FAMILY + AGAIN, 3, 8), step(FAMILY + AGAIN, 3, 4.001, 4.1, 9)],
    "decisions that come and go": [
        step(FAMILY, 3),
        step(FAMILY, 4, decisions=LINKED),
        step(FAMILY, 5, decisions=[*LINKED, wall("email:1", "cookie:1")]),
        step(FAMILY, 6, decisions=UNDONE),
    ],
    "a link to what is seen later": [
        step(FAMILY, 3, decisions=LINKED),
        step(FAMILY + UNSEEN, 6, decisions=LINKED),
    ],
    "a link to what becomes hot": [
        step(FAMILY, 3, decisions=[link("email:1 device:2")]),
        step([*FAMILY, *(seen(4, f"device:2 email:{n}") for n in (3, 4))], 5, decisions=[link("email:1 device:2")]),
        step(
            [*FAMILY, *(seen(4, f"device:2 email:{n}") for n in (3, 4)), seen(6, "email:1 phone:1")],
            7,
            decisions=[link("email:1 device:2")],
        ),
    ],
    "a review that opens and is decided": [
        step(FAMILY, 3),
        step([*FAMILY, seen(4, "email:1 email:2 email:3 cookie:9")], 3, 5),
        step(
            [*FAMILY, seen(4, "email:1 email:2 email:3 cookie:9")], 3, 6, decisions=[refuse("email:1 email:2 email:3")]
        ),
        step([*FAMILY, seen(4, "email:1 email:2 email:3 cookie:9")], 3, 7, decisions=[link("email:1 email:2 email:3")]),
    ],
    "an earlier event learnt late": [
        step([seen(2, "cookie:1 email:1"), seen(2.5, "email:2"), *FAMILY], 3, 4),
        step(
            [seen(2, "cookie:1 email:1"), seen(2.5, "email:2"), *FAMILY, seen(0, "email:2 email:1", known=4.5)], 3, 4, 5
        ),
        step(
            [
                *[seen(2, "cookie:1 email:1"), seen(2.5, "email:2"), *FAMILY, seen(0, "email:2 email:1", known=4.5)],
                seen(0, "email:2", known=5.5, message="earlier"),
            ],
            *(3, 4, 5, 7),
        ),
    ],
}
"""What an increment may overlook, each alone."""


@pytest.mark.parametrize("name", BY_HAND)
def test_an_increment_overlooks_nothing(name: str) -> None:
    agrees_with_full_runs(BY_HAND[name])


def _only_touched(query: str) -> str:
    return "select identifier_id from touched_identifiers" if "component_id" in query else query


def _blind_to_events(query: str) -> str:
    return query.replace("known_at < timestamp", "1 = 0 and known_at < timestamp") if "valid_from" in query else query


def _blind_to_decisions(query: str) -> str:
    return query.replace("where not exists", "where 1 = 0 and not exists")


def _broken_queries(broken: Callable[[str], str]) -> Callable[..., None]:
    keep = stitch_scope._keep
    return lambda connection, table, query: keep(connection, table, broken(query))


@pytest.mark.parametrize(
    ("name", "part", "broken"),
    [
        ("a review that opens and is decided", "_keep", _broken_queries(_only_touched)),
        ("known sets on a shared device", "_keep", _broken_queries(_blind_to_events)),
        ("decisions that come and go", "_keep", _broken_queries(_blind_to_decisions)),
        ("a known set learnt of at a date between", "_gaps", lambda *_: []),
        ("a link to what is seen later", "_add_linked", lambda *_: None),
    ],
)
def test_an_increment_that_looks_at_too_little_is_found_out(
    name: str, part: str, broken: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stitch_scope, part, broken)
    with pytest.raises((AssertionError, IdentityError)):
        agrees_with_full_runs(BY_HAND[name])


STEPS = ["resolved", *(f"wrote {table}" for table in ENGINE_TABLES), "before_commit", "committed"]
BEFORE = [seen(1, "cookie:1 email:1"), seen(2, "cookie:2 email:2")]
SINCE = [seen(7, "cookie:1 cookie:2"), seen(8, "cookie:3 phone:3")]


def _prepare(path: Path) -> None:
    """A warehouse that was stitched once and has collected more since."""
    with Store(connect(str(path))) as store:
        store.run(BEFORE, dates=DATES[:1], rules=strict_rules())
        store.collect([*BEFORE, *SINCE])


def _answer(path: Path, *, stitched: bool = False) -> list[list[tuple[object, ...]]]:
    with Store(DuckDBConnection(duckdb.connect(str(path)))) as store, increments_at_any_size():
        if stitched:
            done = stitch(
                store.connection, rules=strict_rules(), decisions=DECISIONS.empty_table(), dates=DATES, salt=SALT
            )
            assert done.decided_in_full == "no"
        named = [name.partition(".")[2] for name in ENGINE_TABLES if name.startswith("identity.")]
        return [sorted(set(store.table(name)), key=repr) for name in named if name != "memberships"] + [
            sorted(store.connection.rows("select * exclude (component_id) from identity.memberships"), key=repr)
        ]


def _kill_at_every_step(folder: Path, steps: list[str], *variant: str) -> None:
    for step in steps:
        shutil.copyfile(folder / "before.db", folder / f"{step}.duckdb")
    command = [sys.executable, "-m", "tests.orchestration.killed_stitches", str(folder), *variant]
    subprocess.run(command, check=True, timeout=120)


def test_a_killed_run_leaves_the_old_answer_or_the_new_and_the_next_run_finishes(tmp_path: Path) -> None:
    _prepare(tmp_path / "before.db")
    old = _answer(tmp_path / "before.db")
    _kill_at_every_step(tmp_path, STEPS)
    new = _answer(shutil.copyfile(tmp_path / "before.db", tmp_path / "after.db"), stitched=True)
    assert old != new
    for step in STEPS:
        assert _answer(tmp_path / f"{step}.duckdb") == (new if step == "committed" else old), step
        assert _answer(tmp_path / f"{step}.duckdb", stitched=True) == new, step


def test_a_run_that_commits_every_statement_for_itself_is_found_out(tmp_path: Path) -> None:
    _prepare(tmp_path / "before.db")
    old = _answer(tmp_path / "before.db")
    torn = "wrote identity.customer_ids"
    _kill_at_every_step(tmp_path, [torn], "torn")
    new = _answer(shutil.copyfile(tmp_path / "before.db", tmp_path / "after.db"), stitched=True)
    assert _answer(tmp_path / f"{torn}.duckdb") not in (old, new)


def test_why_everything_is_decided_again() -> None:
    history = [seen(number, f"cookie:{number} email:{number}") for number in range(1, 9)]
    rules = strict_rules()
    with Store() as store:
        for dates, changed, why in (
            ([day(9)], rules, "nothing was decided before"),
            ([day(10)], rules, "no"),
            ([day(5), day(10)], rules, "a date in use lies before all that were"),
            ([day(5), day(9)], rules, "the run's clock went back"),
            ([day(5), day(9)], strict_rules(limit=3), "the rules or the salt changed"),
        ):
            assert store.run(history, dates=dates, rules=changed).decided_in_full == why
        more = [seen(8, f"cookie:x{number}") for number in range(8)]
        done = store.run([*history, *more], dates=[day(5), day(9)], rules=strict_rules(limit=3))
        assert done.decided_in_full == "much of the evidence changed"


def test_an_increment_decides_and_reports_only_what_the_new_evidence_touches() -> None:
    history = [seen(number, f"cookie:{number} email:{number}") for number in range(1, 9)]
    rules = strict_rules()
    with Store() as store:
        store.run(history, dates=[day(9)], rules=rules)
        before = held_at(store.memberships(), day(9))
        done = store.run([*history, seen(9, "email:1 email:2")], dates=[day(10)], rules=rules)
        assert (done.decided_in_full, done.decided_identifiers, done.customers) == ("no", 4, 7)
        moved = {("anonymous_id", "2"), ("email", "2")}
        customers = {before["email", "1"], before["email", "2"]}
        assert store.changes() == {(identifier_id(name), customer) for name in moved for customer in customers}
