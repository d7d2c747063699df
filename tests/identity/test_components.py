"""Shapes that break naive implementations: long chains, hubs, huge sets."""

from __future__ import annotations

from identity.rules import load_rules
from tests.identity.histories import Sighting, customers, day, groups, run, seen


def test_a_chain_of_ten_thousand_is_one_customer() -> None:
    history = [seen(1 + n / 10_000, f"cookie:c{n} cookie:c{n + 1}") for n in range(10_000)]
    done = run(history, dates=[day(9)])
    assert len(set(customers(done).values())) == 1
    assert len(customers(done)) == 10_001


def test_a_chain_that_closes_in_the_middle_names_the_closing_event() -> None:
    history = [seen(1 + n / 4_000, f"cookie:c{n} cookie:c{n + 1}", message=f"m{n}") for n in range(4_000)]
    first = run(history[:2_000] + history[2_001:], dates=[day(3)])
    second = run(history, dates=[day(9)], after=first)
    (row,) = second.result.merges.to_pylist()
    assert row["message_id"] == "m2000"


def test_a_hub_of_weak_identifiers_holds_a_hundred_thousand_together() -> None:
    done = run([seen(1, f"cookie:c{n} device:hub") for n in range(100_000)], dates=[day(9)])
    assert max(map(len, groups(customers(done)))) == 100_001


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
