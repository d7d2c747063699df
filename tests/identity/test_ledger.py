"""Customer ids: stable under growth, the oldest wins, back to the anchor's side after a split."""

from __future__ import annotations

from hypothesis import given, settings

from identity.ledger import customer_id
from tests.identity.histories import (
    SALT,
    Run,
    Sighting,
    customers,
    day,
    free_rules,
    groups,
    histories,
    only_strong,
    rules_blocking,
    run,
    seen,
    strict_rules,
)

quick = settings(derandomize=True, deadline=None, max_examples=60)


def _id_of(done: Run, kind: str, value: str) -> str:
    return customers(done)[kind, value]


def test_a_new_id_is_made_of_salt_and_anchor() -> None:
    done = run([seen(1, "cookie:1 email:anna phone:1")], dates=[day(9)])
    assert _id_of(done, "anonymous_id", "1") == customer_id(SALT, "email", "anna")
    assert len(customer_id(SALT, "email", "anna")) == 32
    assert customer_id(SALT, "email", "anna") != customer_id("another", "email", "anna")


def test_the_anchor_is_the_first_strong_identifier_by_key_before_priority() -> None:
    done = run([seen(1, "cookie:1"), seen(2, "phone:7 cookie:1"), seen(3, "user:u cookie:1")], dates=[day(9)])
    assert _id_of(done, "anonymous_id", "1") == customer_id(SALT, "phone", "7")


@quick
@given(histories(), histories())
def test_an_id_survives_growth_and_of_merged_ids_the_oldest_stays(old: list[Sighting], new: list[Sighting]) -> None:
    old, new = only_strong(old), only_strong(new)
    first = run(old, dates=[day(20)], rules=free_rules())
    second = run([*old, *new], dates=[day(20)], after=first, rules=free_rules())
    age = {row["customer_id"]: -row["ledger_seq"] for row in reversed(second.ledger.to_pylist())}
    before, after = customers(first), customers(second)
    kept = {group: {before[name] for name in group if name in before} for group in groups(after)}
    for group, ids in kept.items():
        if ids:
            assert {after[name] for name in group} == {max(ids, key=lambda each: age[each])}


def test_an_anonymous_customer_keeps_its_id_when_it_logs_in() -> None:
    first = run([seen(1, "cookie:1")], dates=[day(2)])
    second = run([seen(1, "cookie:1"), seen(3, "cookie:1 email:anna")], dates=[day(4)], after=first)
    assert _id_of(second, "email", "anna") == _id_of(first, "anonymous_id", "1")
    assert [row["is_strong"] for row in second.ledger.to_pylist()] == [False, True]


def test_the_strong_anchor_outranks_the_weak_one_when_they_part() -> None:
    history = [seen(1, "cookie:1"), seen(3, "cookie:1 phone:7"), seen(4, "phone:7 email:anna")]
    first = run(history[:1], dates=[day(2)])
    second = run(history, dates=[day(5)], after=first)
    third = run([*history[:1], history[2]], dates=[day(6)], after=second)  # the event that joined them was erased
    assert _id_of(third, "email", "anna") == _id_of(first, "anonymous_id", "1")
    assert _id_of(third, "anonymous_id", "1") == customer_id(SALT, "anonymous_id", "1", generation=1)
    fourth = run([*history[:1], history[2]], dates=[day(7)], after=third)
    assert customers(fourth) == customers(third)
    assert len(fourth.result.new_ledger_rows) == 0


def test_a_split_gives_every_side_back_the_id_it_had() -> None:
    alone = [seen(1, "email:anna phone:1"), seen(2, "email:ben phone:2"), seen(3, "cookie:1")]
    apart = run(alone, dates=[day(4)])
    joined = run([*alone, seen(5, "phone:1 phone:2 cookie:1")], dates=[day(6)], after=apart)
    assert len(set(customers(joined).values())) == 1
    again = run(alone, dates=[day(7)], after=joined)
    assert customers(again) == customers(apart)


def test_blocking_the_value_that_joined_two_people_parts_them_again() -> None:
    alone = [seen(1, "email:anna cookie:1"), seen(2, "email:ben cookie:2")]
    joining = [seen(5, "email:anna phone:1"), seen(6, "email:ben phone:1")]
    apart = run(alone, dates=[day(4)])
    joined = run([*alone, *joining], dates=[day(7)], after=apart)
    assert len(set(customers(joined).values())) == 1
    blocked = run([*alone, *joining], dates=[day(8)], rules=rules_blocking("phone", "1"), after=joined)
    assert customers(blocked) == customers(apart)


def test_an_identifier_that_becomes_hot_lets_go_and_the_id_stays_with_the_anchor() -> None:
    history = [seen(1, "email:1 cookie:1"), seen(2, "email:1 phone:7"), seen(3, "email:2 phone:7")]
    joined = run(history, dates=[day(4)], rules=strict_rules())
    assert _id_of(joined, "email", "2") == _id_of(joined, "email", "1")
    parted = run([*history, seen(5, "email:3 phone:7"), seen(6, "email:4 phone:7")], dates=[day(9)],
                 rules=strict_rules(), after=joined)  # fmt: skip
    assert ("phone", "7") not in customers(parted)
    assert _id_of(parted, "email", "1") == _id_of(parted, "anonymous_id", "1") == _id_of(joined, "email", "1")
    assert len({_id_of(parted, "email", str(number)) for number in range(1, 5)}) == 4


def test_asking_for_a_past_date_takes_no_id_away_from_today() -> None:
    history = [seen(1, "cookie:1"), seen(2, "email:anna"), seen(5, "cookie:1 email:anna")]
    today = run(history, dates=[day(9)])
    asked = run(history, dates=[day(3), day(9)], after=today)
    assert customers(asked) == customers(today)
    assert customers(asked, day(3))["email", "anna"] == customers(today)["email", "anna"]
    assert customers(asked, day(3))["anonymous_id", "1"] != customers(today)["email", "anna"]


def test_past_dates_keep_the_ids_they_had_after_a_merge() -> None:
    history = [seen(1, "cookie:1"), seen(2, "email:anna"), seen(5, "cookie:1 email:anna")]
    first = run(history[:2], dates=[day(3)])
    second = run(history, dates=[day(3), day(9)], after=first)
    third = run(history, dates=[day(3), day(9), day(10)], after=second)
    assert customers(second, day(3)) == customers(third, day(3)) == customers(first)


def test_the_ledger_only_grows_and_counts_on() -> None:
    first = run([seen(1, "cookie:1")], dates=[day(2)])
    second = run([seen(1, "cookie:1"), seen(3, "cookie:2")], dates=[day(4)], after=first)
    assert second.ledger["ledger_seq"].to_pylist() == [0, 1]
    assert second.ledger["recorded_at"].to_pylist() == [day(2), day(4)]
