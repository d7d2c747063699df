"""What docs/identity.md lists under "settled", and the cases of rules 3 to 5 that people ask about."""

from __future__ import annotations

from datetime import datetime

from identity.ledger import customer_id
from identity.rules import Rules, load_rules
from tests.identity.histories import (
    SALT,
    Decision,
    Identifier,
    Run,
    Sighting,
    customers,
    day,
    link,
    owners,
    refuse,
    rules_blocking,
    run,
    seen,
    wall,
)

NOW = day(99)
MINUTE = 1 / 1440


def _run(history: list[Sighting], *decisions: Decision, rules: Rules | None = None, after: Run | None = None) -> Run:
    return run(history, dates=[NOW], decisions=decisions, rules=rules, after=after)


def _together(done: Run, *names: Identifier) -> bool:
    return len({customers(done)[name] for name in names}) == 1


def _owner(done: Run, history: list[Sighting], number: int, rules: Rules | None = None) -> str | None:
    return owners(done, history, NOW, rules or load_rules())[history[number]]


def _shared(done: Run) -> dict[Identifier, list[tuple[str, datetime, datetime]]]:
    found: dict[Identifier, list[tuple[str, datetime, datetime]]] = {}
    for row in done.memberships.to_pylist():
        if row["valid_from"] is not None:
            name = (row["identifier_type"], row["identifier_value"])
            found.setdefault(name, []).append((row["customer_id"], row["valid_from"], row["valid_to"]))
    return found


ANNA, BEN, COOKIE = ("email", "anna"), ("email", "ben"), ("anonymous_id", "1")


# ---- rule 3 --------------------------------------------------------------------------------------------------------


def test_a_link_joins_what_no_event_did() -> None:
    history = [seen(1, "email:anna"), seen(2, "email:ben")]
    assert not _together(_run(history), ANNA, BEN)
    assert _together(_run(history, link("email:anna email:ben")), ANNA, BEN)


def test_a_merge_by_a_link_names_the_decision_and_a_merge_by_an_event_the_event() -> None:
    apart = [seen(1, "email:anna"), seen(2, "email:ben"), seen(3, "email:carl")]
    first = _run(apart)
    joining = seen(9, "email:ben email:carl", message="the event")
    decisions = [wall("email:anna", "email:dora"), link("email:anna email:ben")]
    done = run([*apart, joining], dates=[day(100)], after=first, decisions=decisions)
    told = {
        (row["customer_id_before"], row["message_id"], row["decision_seq"]) for row in done.result.merges.to_pylist()
    }
    held = customers(first)
    assert told == {(held[BEN], None, 2), (held["email", "carl"], "the event", None)}


def test_a_link_outranks_the_limits() -> None:
    history = [seen(1, "user:a"), seen(2, "user:b")]
    assert _together(_run(history, link("user:a user:b")), ("user_id", "a"), ("user_id", "b"))


def test_who_holds_more_than_a_limit_by_decision_may_still_gain_other_types() -> None:
    history = [seen(1, "user:a"), seen(2, "user:b email:ben"), seen(3, "user:a phone:1"), seen(4, "user:b user:c")]
    done = _run(history, link("user:a user:b"))
    assert _together(done, ("user_id", "a"), ("user_id", "b"), BEN, ("phone", "1"))
    assert not _together(done, ("user_id", "b"), ("user_id", "c"))


def test_a_wall_keeps_two_apart_and_the_later_one_is_set_aside() -> None:
    history = [seen(1, "email:anna phone:1"), seen(2, "email:ben phone:1")]
    assert _together(_run(history), ANNA, BEN)
    done = _run(history, wall("email:anna", "email:ben"))
    assert not _together(done, ANNA, BEN)
    assert _together(done, ANNA, ("phone", "1"))
    (row,) = done.result.set_aside.to_pylist()
    assert (row["identifier_value"], row["reason"], row["decision_seq"]) == ("1", "wall", 1)


def test_a_split_of_lists_walls_every_pair_and_each_side_keeps_its_id() -> None:
    apart = [seen(1, "email:anna phone:1"), seen(2, "email:ben phone:2")]
    history = [*apart, seen(3, "phone:1 phone:2")]
    first = _run(apart)
    merged = run(history, dates=[day(100)], after=first)
    assert _together(merged, ANNA, BEN)
    split = wall("email:anna phone:1", "email:ben phone:2")
    parted = run(history, dates=[day(101)], after=merged, decisions=[split])
    assert customers(parted) == customers(first)
    again = run(history, dates=[day(102)], after=parted)
    assert customers(again) == customers(merged)


def test_of_a_link_the_hot_one_waits_and_the_others_join() -> None:
    kiosk = [seen(n / 24, f"email:{n} phone:shop") for n in range(1, 13)]
    history = [*kiosk, seen(2, "email:anna"), seen(3, "email:ben")]
    assert _together(_run(history, link("email:anna phone:shop email:ben")), ANNA, BEN)


def test_of_a_link_the_blocked_one_waits_and_the_others_join() -> None:
    history = [seen(2, "email:anna"), seen(3, "email:ben phone:7")]
    rules = rules_blocking("phone", "7")
    assert _together(_run(history, link("email:anna phone:7 email:ben"), rules=rules), ANNA, BEN)


def test_a_link_through_an_identifier_without_events_joins_the_others() -> None:
    history = [seen(2, "email:anna"), seen(3, "email:ben")]
    done = _run(history, link("email:anna phone:7"), link("phone:7 email:ben"))
    assert _together(done, ANNA, BEN)
    assert set(customers(done)) == {ANNA, BEN}


# ---- rule 4 --------------------------------------------------------------------------------------------------------


def test_a_second_login_of_one_browser_is_another_person() -> None:
    history = [seen(1, "user:a email:anna"), seen(2, "user:b email:anna")]
    done = _run(history)
    assert not _together(done, ("user_id", "a"), ("user_id", "b"))
    (row,) = done.result.set_aside.to_pylist()
    assert (row["identifier_value"], row["reason"], row["limited_type"]) == ("anna", "limit", "user_id")
    assert _owner(done, history, 1) == customers(done)["user_id", "b"]


def _imported(cookie: str = "") -> list[Sighting]:
    people = [seen(n, f"email:{n}") for n in range(1, 5)]
    return [*people, seen(9, f"email:1 email:2 email:3 email:4 {cookie}")]


def test_an_event_under_review_is_nobodys() -> None:
    history = _imported()
    done = _run(history)
    assert len(set(customers(done).values())) == 4
    assert _owner(done, history, 4) is None
    (row,) = done.result.review_queue.to_pylist()
    assert (row["status"], row["group_count"], row["known_from"], row["known_to"]) == ("open", 4, NOW, None)


def test_an_event_under_review_with_a_cookie_is_the_cookies() -> None:
    history = [*_imported("cookie:1"), seen(10, "email:2 cookie:1")]
    done = _run(history)
    assert _owner(done, history, 4) == customers(done)["email", "2"]


def test_three_people_are_no_review() -> None:
    history = [*[seen(n, f"email:{n}") for n in range(1, 4)], seen(9, "email:1 email:2 email:3")]
    assert len(set(customers(_run(history)).values())) == 1


def test_an_approved_review_joins_all_its_strong_identifiers() -> None:
    done = _run(_imported(), link("email:1 email:2 email:3 email:4"))
    assert len(set(customers(done).values())) == 1
    assert len(done.result.review_queue) == 0


def test_a_refused_review_is_not_asked_again_with_another_cookie() -> None:
    done = _run(
        [*_imported(), seen(10, "email:1 email:2 email:3 email:4 cookie:9")], refuse("email:1 email:2 email:3 email:4")
    )
    assert {row["status"] for row in done.result.review_queue.to_pylist()} == {"refused"}
    assert len({row["review_id"] for row in done.result.review_queue.to_pylist()}) == 1


def test_a_refusal_is_permanent_even_where_the_people_became_fewer() -> None:
    history = [*_imported(), seen(20, "email:1 email:2"), seen(21, "email:3 email:4")]
    done = _run(history, refuse("email:1 email:2 email:3 email:4"))
    assert len(set(customers(done).values())) == 2


# ---- rule 5 and visits ---------------------------------------------------------------------------------------------


def test_a_cookie_seen_before_its_only_login_is_that_persons_from_the_start() -> None:
    history = [seen(1, "cookie:1"), seen(5, "cookie:1 email:anna"), seen(9, "cookie:1")]
    done = _run(history)
    assert {_owner(done, history, n) for n in range(3)} == {customers(done)["email", "anna"]}
    assert _shared(done) == {}


def test_two_people_on_one_browser_keep_their_own_visits() -> None:
    history = [
        seen(1, "cookie:1", message="before anna"),
        seen(1 + 10 * MINUTE, "cookie:1 email:anna"),
        seen(1 + 20 * MINUTE, "cookie:1", message="after anna"),
        seen(2, "cookie:1 email:ben"),
        seen(2 + 5 * MINUTE, "cookie:1", message="after ben"),
        seen(3, "cookie:1", message="nobody knows"),
    ]
    done = _run(history)
    anna, ben = customers(done)[ANNA], customers(done)[BEN]
    assert anna != ben
    found = [_owner(done, history, n) for n in range(6)]
    assert found[:5] == [anna, anna, anna, ben, ben]
    assert found[5] not in {anna, ben, None}
    runs = _shared(done)[COOKIE]
    assert [run[0] for run in runs] == [anna, ben, found[5]]
    assert runs[0][1:] == (day(1), day(1 + 50 * MINUTE))


def test_a_linked_cookie_stays_where_the_decision_put_it() -> None:
    history = [seen(1, "email:anna"), seen(2, "cookie:1 email:ben"), seen(3, "cookie:1")]
    done = _run(history, link("cookie:1 email:anna"))
    assert _together(done, COOKIE, ANNA)
    assert _owner(done, history, 2) == customers(done)[ANNA]
    assert _owner(done, history, 1) == customers(done)[BEN]


def test_events_of_one_instant_stand_together() -> None:
    history = [
        seen(1, "cookie:1 email:anna", message="a"),
        seen(1, "cookie:1 email:ben", message="b"),
        seen(1, "cookie:1", message="0"),
        seen(1 + MINUTE, "cookie:1", message="c"),
    ]
    done = _run(history)
    assert [_owner(done, history, n) for n in (2, 3)] == [customers(done)[BEN]] * 2


def test_of_two_shared_identifiers_the_first_speaks() -> None:
    both = "cookie:1 device:d"
    history = [
        seen(1, f"{both} email:anna"),
        seen(2, f"{both} email:ben"),
        seen(2 + 10 * MINUTE, "device:d email:anna"),
        seen(2 + 11 * MINUTE, both),
    ]
    done = _run(history)
    assert set(_shared(done)) == {COOKIE, ("device_id", "d")}
    assert _owner(done, history, 3) == customers(done)[ANNA]


def test_a_shared_identifier_without_events_of_its_own_gets_no_customer() -> None:
    done = _run([seen(1, "cookie:1 email:anna"), seen(2, "cookie:1 email:ben")])
    assert len(done.ledger) == 2
    alone = _run([seen(1, "cookie:1 email:anna"), seen(2, "cookie:1 email:ben"), seen(3, "cookie:1")])
    assert customer_id(SALT, "anonymous_id", "1") in alone.ledger["customer_id"].to_pylist()


def test_an_anonymous_id_that_a_login_took_over_stays_with_the_login_when_the_cookie_is_shared() -> None:
    first = run([seen(1, "cookie:1")], dates=[day(2)])
    login = [seen(1, "cookie:1"), seen(3, "cookie:1 email:anna")]
    second = run(login, dates=[day(4)], after=first)
    third = run([*login, seen(5, "cookie:1 email:ben")], dates=[day(6)], after=second)
    assert customers(third)[ANNA] == customers(first)[COOKIE]
    assert {(row["change"], row["customer_id_after"]) for row in third.result.merges.to_pylist()} >= {
        ("split", customers(third)[BEN])
    }


def test_a_cookie_seen_with_both_sides_of_a_wall_is_shared() -> None:
    history = [seen(1, "cookie:1 email:anna"), seen(2, "cookie:1 phone:7")]
    assert _together(_run(history), ANNA, ("phone", "7"), COOKIE)
    apart = _run(history, wall("email:anna", "phone:7"))
    assert set(_shared(apart)) == {COOKIE}
    told = _run(history, wall("email:anna", "phone:7"), link("email:anna cookie:1"))
    assert _together(told, ANNA, COOKIE)
    assert not _together(told, ANNA, ("phone", "7"))


def test_a_cookie_above_the_limit_is_shared() -> None:
    rules = load_rules()
    rules = rules.model_copy(update={"limits": {**rules.limits, "anonymous_id": 2}})
    history = [seen(n, f"cookie:{n} email:anna") for n in range(1, 4)] + [seen(9, "cookie:3")]
    done = _run(history, rules=rules)
    assert set(_shared(done)) == {("anonymous_id", "3")}
    assert _owner(done, history, 2, rules) == customers(done)[ANNA]
    assert _owner(done, history, 3, rules) not in {customers(done)[ANNA], None}


def test_devices_are_taken_before_cookies_and_nothing_joins_through_a_shared_one() -> None:
    history = [
        seen(1, "device:d email:anna"),
        seen(2, "device:d email:ben"),
        seen(3, "device:d cookie:1"),
        seen(4, "device:d cookie:2"),
    ]
    done = _run(history)
    assert set(_shared(done)) == {("device_id", "d")}
    assert len({customers(done)[name] for name in (ANNA, BEN, COOKIE, ("anonymous_id", "2"))}) == 4


def test_features_of_a_past_date_see_the_identity_of_that_date() -> None:
    history = [seen(1, "cookie:1 email:anna"), seen(2, "cookie:1"), seen(5, "cookie:1 email:ben")]
    done = run(history, dates=[day(3), NOW])
    assert owners(done, history, day(3), load_rules())[history[1]] == customers(done, day(3))[ANNA]
    assert _owner(done, history, 1) not in {customers(done)[ANNA], customers(done)[BEN]}
