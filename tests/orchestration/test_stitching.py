"""Increments of the identity engine: the same answer as deciding everything, from less; all of it or nothing of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from identity.tables import IdentityError
from orchestration import stitch_scope
from tests.identity.histories import Run, groups, run, strict_rules
from tests.orchestration.stitched_store import Step, Store, held_at, lives


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
            done = store.run(step.known, dates=step.dates, rules=rules)
            assert (done.decided_in_full == "no") == (number > 0)
            full = run(step.known, dates=step.dates, rules=rules, after=full)
            _check_against(full, store, step)
            rebuilt = run(step.known, dates=step.dates, rules=rules)
            for date in step.dates:
                assert groups(held_at(store.memberships(), date)) == groups(held_at(rebuilt.memberships, date))


def _check_against(full: Run, store: Store, step: Step) -> None:
    for date in step.dates:
        assert held_at(store.memberships(), date) == held_at(full.memberships, date)
    ledger = [tuple(row.values()) for row in full.ledger.to_pylist()]
    assert store.table("customer_ids") == sorted(ledger, key=repr)
    assert store.table("hot_identifiers") == sorted((tuple(r.values()) for r in full.result.hot.to_pylist()), key=repr)
    recorded = {row[0] for row in store.table("merge_history")}
    assert {row["merge_id"] for row in full.result.merges.to_pylist()} <= recorded


fast = settings(derandomize=True, deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])


@fast
@given(lives())
def test_an_increment_leaves_what_a_full_run_leaves(steps: list[Step]) -> None:
    agrees_with_full_runs(steps)


@pytest.mark.nightly
@settings(fast, max_examples=3000)
@given(lives(size=40))
def test_an_increment_leaves_what_a_full_run_leaves_in_many_histories(steps: list[Step]) -> None:
    agrees_with_full_runs(steps)


def _only_touched(query: str) -> str:
    return "select identifier_id from touched_identifiers" if "component_id" in query else query


def _blind_to_new_dates(query: str) -> str:
    return query.partition(" or (")[0]


@pytest.mark.parametrize("broken", [_only_touched, _blind_to_new_dates])
def test_an_increment_that_looks_at_too_little_is_found_out(
    broken: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = stitch_scope._keep
    monkeypatch.setattr(stitch_scope, "_keep", lambda connection, table, query: keep(connection, table, broken(query)))
    search = settings(fast, phases=[Phase.generate], report_multiple_bugs=False)
    with pytest.raises((AssertionError, IdentityError)):
        search(given(lives())(agrees_with_full_runs))()
