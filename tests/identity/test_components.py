"""Shapes that break naive implementations: long chains, hubs, huge sets."""

from __future__ import annotations

from identity.rules import load_rules
from tests.identity.histories import Identifier, Run, Sighting, customers, day, free_rules, groups, run, seen


def _shared(done: Run) -> set[Identifier]:
    rows = done.memberships.to_pylist()
    return {(row["identifier_type"], row["identifier_value"]) for row in rows if row["valid_from"] is not None}


def test_a_chain_of_ten_thousand_is_one_customer() -> None:
    history = [seen(1 + n / 10_000, f"cookie:c{n} cookie:c{n + 1}") for n in range(10_000)]
    done = run(history, dates=[day(9)], rules=free_rules())
    assert len(set(customers(done).values())) == 1
    assert len(customers(done)) == 10_001


def test_a_chain_in_which_limits_bite_is_cut_into_customers_of_a_hundred_cookies() -> None:
    history = [seen(1 + n / 10_000, f"cookie:c{n} cookie:c{n + 1}") for n in range(10_000)]
    done = run(history, dates=[day(9)])
    assert max(map(len, groups(customers(done)))) == 100
    assert len(customers(done)) + len(_shared(done)) == 10_001


def test_a_chain_of_ten_thousand_with_a_login_at_each_end_is_two_people() -> None:
    middle = [seen(1 + n / 10_000, f"cookie:c{n} cookie:c{n + 1}") for n in range(10_000)]
    ends = [seen(1, "cookie:c0 email:anna"), seen(3, "cookie:c10000 email:ben")]
    held = customers(run([*ends, *middle], dates=[day(9)], rules=free_rules()))
    assert held["email", "anna"] != held["email", "ben"]
    assert held["anonymous_id", "c10000"] == held["email", "ben"]
    assert held["anonymous_id", "c9998"] == held["email", "anna"]


def test_a_chain_that_closes_in_the_middle_names_the_closing_event() -> None:
    history = [seen(1 + n / 4_000, f"cookie:c{n} cookie:c{n + 1}", message=f"m{n}") for n in range(4_000)]
    first = run(history[:2_000] + history[2_001:], dates=[day(3)], rules=free_rules())
    second = run(history, dates=[day(9)], after=first, rules=free_rules())
    (row,) = second.result.merges.to_pylist()
    assert row["message_id"] == "m2000"


def test_a_hub_of_weak_identifiers_holds_a_hundred_thousand_together() -> None:
    done = run([seen(1, f"cookie:c{n} device:hub") for n in range(100_000)], dates=[day(9)], rules=free_rules())
    assert max(map(len, groups(customers(done)))) == 100_001


def test_a_hub_of_more_cookies_than_a_customer_may_hold_is_shared() -> None:
    done = run([seen(1, f"cookie:c{n} device:hub") for n in range(100_000)], dates=[day(9)])
    assert _shared(done) == {("device_id", "hub")}
    assert len(set(customers(done).values())) == 100_000


def test_a_hub_with_a_hundred_thousand_emails_is_hot() -> None:
    done = run([seen(1, f"email:e{n} device:hub") for n in range(100_000)], dates=[day(9)])
    assert len(set(customers(done).values())) == 100_000
    assert done.result.hot["distinct_values"].to_pylist() == [100_000]


def test_a_set_of_a_thousand_identifiers_is_counted_and_falls_apart() -> None:
    members = frozenset(("email", f"e{n}") for n in range(1_000))
    done = run([Sighting(day(1), members, day(1))], dates=[day(9)])
    assert done.result.hot.num_rows == 1_000
    assert customers(done) == {}


def test_the_packaged_rules_are_those_of_the_specification() -> None:
    rules = load_rules()
    assert [row["identifier_type"] for row in rules.types_table().to_pylist() if row["is_strong"]] == [
        "user_id", "email", "phone", "loyalty_id",
    ]  # fmt: skip
    assert (rules.hot.limit, rules.default_country) == (10, "49")
