"""Rule 1: junk is no identifier."""

from __future__ import annotations

import pytest

from tests.identity.histories import Sighting, customers, day, run, seen, with_other_types

JUNK = ["null", "NULL", "undefined", "None", "nan", "unknown", "anonymous", "-1", "0", "0000", "0-0", "[object Object]",
        "00000000-0000-0000-0000-000000000000"]  # fmt: skip


@pytest.mark.parametrize("value", JUNK)
@pytest.mark.parametrize("kind", ["user_id", "email", "device_id", "anonymous_id"])
def test_junk_joins_nothing(kind: str, value: str) -> None:
    junk = (kind, value)
    history = [Sighting(day(n), frozenset({junk, ("phone", str(n))}), day(n), message_id=str(n)) for n in (1, 2)]
    held = customers(run(history, dates=[day(9)]))
    assert set(held) == {("phone", "1"), ("phone", "2")}
    assert len(set(held.values())) == 2


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "test@test.com"), ("email", "Test@shop.de"), ("email", "anna@shop.invalid"), ("email", "null@shop.de"),
        ("email", "noreply@shop.de"), ("phone", "+490000000000"), ("phone", "+491111111111"),
    ],
)  # fmt: skip
def test_placeholders_join_nothing(kind: str, value: str) -> None:
    done = run([seen(1, f"{kind}:{value} cookie:1"), seen(2, f"{kind}:{value} cookie:2")], dates=[day(9)])
    assert len(set(customers(done).values())) == 2


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("email", "testa@shop.de"),
        ("email", "anna@latest.de"),
        ("email", "nullmann@shop.de"),
        ("email", "anna@example.com"),
        ("user", "10"),
        ("user", "test-1"),
        ("phone", "+491700000001"),
        ("phone", "+491711111234"),
        ("cookie", "a0000"),
    ],
)
def test_values_that_only_resemble_junk_are_kept(kind: str, value: str) -> None:
    assert len(customers(run([seen(1, f"{kind}:{value}")], dates=[day(9)]))) == 1


def test_the_reason_names_the_rule() -> None:
    history = [seen(1, "email:null"), seen(2, "phone:0000"), seen(3, "what:1")]
    reasons = {row["identifier_type"]: row["reason"] for row in run(history, dates=[day(9)]).result.blocked.to_pylist()}
    assert reasons == {
        "email": "value is on the list",
        "phone": "matches ^[0-]*$",
        "no_such_type": "type is not configured",
    }


def test_a_type_that_the_rules_do_not_list_joins_nothing() -> None:
    done = run([seen(1, "what:1 cookie:1"), seen(2, "what:1 cookie:2")], dates=[day(9)])
    assert len(set(customers(done).values())) == 2


def test_a_type_can_be_added_by_configuration() -> None:
    history = [seen(1, "cookie:1"), seen(2, "cookie:1")]
    paid = [type(s)(s.at, s.members | {("upi_id", "anna@bank")}, s.known) for s in history]
    held = customers(run(paid, dates=[day(9)], rules=with_other_types()))
    assert held["upi_id", "anna@bank"] == held["anonymous_id", "1"]


def test_evidence_of_junk_alone_is_nobodys() -> None:
    assert customers(run([seen(1, "email:null phone:0000")], dates=[day(9)])) == {}
