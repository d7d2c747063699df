"""Every id ever given leads to a living customer, or to nobody."""

from __future__ import annotations

from hypothesis import given, settings

from identity.redirects import living_customers
from tests.identity.histories import (
    Run,
    Sighting,
    customers,
    day,
    histories,
    rules_blocking,
    run,
    seen,
    strict_rules,
)


def _redirects(done: Run) -> dict[str, str | None]:
    rows = living_customers(ledger=done.ledger, memberships=done.memberships).to_pylist()
    return {row["customer_id"]: row["living_customer_id"] for row in rows}


def test_a_merged_id_leads_to_the_oldest() -> None:
    apart = [seen(1, "email:anna"), seen(2, "email:ben")]
    first = run(apart, dates=[day(3)])
    second = run([*apart, seen(4, "email:anna email:ben")], dates=[day(5)], after=first)
    oldest = customers(first)["email", "anna"]
    assert _redirects(second) == dict.fromkeys(customers(first).values(), oldest)


def test_an_id_whose_anchor_is_blocked_leads_to_nobody() -> None:
    first = run([seen(1, "email:anna")], dates=[day(3)])
    second = run([seen(1, "email:anna")], dates=[day(4)], rules=rules_blocking("email", "anna"), after=first)
    assert list(_redirects(second).values()) == [None]


def test_an_id_follows_its_strong_anchor() -> None:
    history = [seen(1, "cookie:1"), seen(3, "cookie:1 email:anna"), seen(4, "email:anna user:u")]
    first = run(history, dates=[day(2), day(5)])
    parted = run([history[0], history[2]], dates=[day(6)], after=first)
    held = customers(parted)
    assert held["email", "anna"] != held["anonymous_id", "1"]
    assert _redirects(parted)[customers(first)["anonymous_id", "1"]] == held["email", "anna"]


def test_no_ledger_gives_no_redirects() -> None:
    assert _redirects(run([], dates=[day(3)])) == {}


@settings(derandomize=True, deadline=None, max_examples=60)
@given(histories(), histories())
def test_redirects_agree_with_the_engine(old: list[Sighting], new: list[Sighting]) -> None:
    first = run(old, dates=[day(6), day(20)], rules=strict_rules(4))
    second = run([*old, *new], dates=[day(6), day(21)], rules=strict_rules(), after=first)
    living, redirects = set(customers(second).values()), _redirects(second)
    assert set(redirects.values()) - {None} == living
    assert all(redirects[customer] == customer for customer in living)
    for row in second.result.merges.to_pylist():
        if row["change"] == "merged":
            assert redirects[row["customer_id_before"]] == row["customer_id_after"]
