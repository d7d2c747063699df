"""Rule 2: a kiosk or a store's own phone joins nobody and is reported."""

from __future__ import annotations

from identity.rules import HotLimits, load_rules
from tests.identity.histories import Sighting, customers, day, free_rules, run, seen, strict_rules


def _receipts(count: int, shared: str = "phone:shop") -> list[Sighting]:
    return [seen(number, f"email:{number} {shared}") for number in range(1, count + 1)]


def test_ten_values_are_allowed_and_the_eleventh_is_too_many() -> None:
    assert len(set(customers(run(_receipts(10), dates=[day(99)], rules=free_rules())).values())) == 1
    assert len(set(customers(run(_receipts(11), dates=[day(99)], rules=free_rules())).values())) == 11


def test_a_shops_phone_is_reported_with_its_numbers() -> None:
    (row,) = run(_receipts(12), dates=[day(99)]).result.hot.to_pylist()
    assert {key: value for key, value in row.items() if key != "identifier_id"} == {
        "identifier_type": "phone",
        "identifier_value": "shop",
        "other_type": "email",
        "distinct_values": 12,
        "allowed_values": 10,
    }


def test_a_kiosk_device_is_hot_as_well() -> None:
    done = run(_receipts(11, "device:kiosk"), dates=[day(99)])
    assert done.result.hot.num_rows == 1
    assert ("device_id", "kiosk") not in customers(done)


def test_a_user_id_is_never_hot() -> None:
    done = run(_receipts(30, "user:u"), dates=[day(99)], rules=free_rules())
    assert len(set(customers(done).values())) == 1


def test_weak_values_do_not_make_an_identifier_hot() -> None:
    done = run([seen(number, f"cookie:{number} phone:1") for number in range(1, 31)], dates=[day(99)])
    assert len(set(customers(done).values())) == 1


def test_the_same_value_seen_often_counts_once() -> None:
    history = [seen(number, f"email:{number % 10 + 1} phone:1 cookie:c{number}") for number in range(40)]
    assert run(history, dates=[day(99)]).result.hot.num_rows == 0


def test_blocked_values_do_not_count() -> None:
    done = run([*_receipts(10), seen(50, "phone:shop email:null")], dates=[day(99)])
    assert done.result.hot.num_rows == 0


def test_hot_values_count_for_others() -> None:
    history = [seen(1, "email:a phone:1 phone:2 phone:3"), seen(2, "email:b phone:1"), seen(3, "email:c phone:1")]
    done = run(history, dates=[day(9)], rules=strict_rules(limit=2))
    assert {row["identifier_value"] for row in done.result.hot.to_pylist()} == {"a", "1"}


def test_a_pair_of_types_can_have_its_own_number() -> None:
    rules = load_rules().model_copy(update={"hot": HotLimits(limit=10, per_pair={"phone": {"email": 2}})})
    assert run(_receipts(3), dates=[day(99)], rules=rules).result.hot.num_rows == 1
    assert run(_receipts(3, "device:1"), dates=[day(99)], rules=rules).result.hot.num_rows == 0


def test_hot_is_decided_by_what_was_known_at_the_date() -> None:
    done = run(_receipts(12), dates=[day(5), day(99)])
    assert len(set(customers(done, day(5)).values())) == 1
    assert len(set(customers(done, day(99)).values())) == 12


def test_what_remains_beside_a_hot_identifier_still_joins() -> None:
    history = [*_receipts(11), seen(50, "phone:shop email:3 cookie:3")]
    held = customers(run(history, dates=[day(99)]))
    assert held["email", "3"] == held["anonymous_id", "3"]
