"""Automations to the end: what a receiver is told, once, with which coupon, and who is not told after all."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from activation.fake_destinations.vendor import Reply
from orchestration.audience_catalogue import Audience
from orchestration.automation_source import Source
from tests.orchestration.automated_shop import NAME, Fans, automation, codes, fans
from tests.orchestration.gated_shop import AS_OF

NASTY = "<!channel> *free* money"


@pytest.fixture
def told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Fans, Any]]:
    with fans(tmp_path / "home", monkeypatch) as both:
        yield both


def test_who_enters_is_told_once_with_a_code_of_their_own(told: tuple[Fans, Any]) -> None:
    shop, vendor = told
    shop.build("a")
    assert shop.run(automation()).noticed.is_first
    shop.build("a", "b", "c")
    ran = shop.run(automation(message="{order_count} orders, {coupon}"))
    assert (ran.report.status, ran.report.totals.accepted) == ("done", 2)
    given = codes(vendor)
    assert set(given) == {"b", "c"} and len(set(given.values())) == 2
    [call] = vendor.calls
    assert call.json["type"] == "automation.event"
    told_of_b = vendor.records["fans"]["b"]
    assert {key: told_of_b[key] for key in ("automation", "event", "audience", "order_count", "customer_id")} == {
        "automation": NAME,
        "event": "entered",
        "audience": "fans",
        "order_count": 1,
        "customer_id": "b",
    }
    assert told_of_b["message"] == f"1 orders, {given['b']}"
    again = shop.run(automation())
    assert again.report.totals.planned == 0
    assert len(vendor.calls) == 1
    assert shop.fates() == {"b": "told", "c": "told"}
    assert shop.platform.state.syncs.standing(f"automation.{NAME}").by_status == {"accepted": 2}


def test_a_lost_answer_is_asked_for_again_with_the_same_key_and_the_same_code(told: tuple[Fans, Any]) -> None:
    shop, vendor = told
    shop.build()
    shop.run(automation())
    shop.build("a")
    vendor.faults = ["lost"]
    ran = shop.run(automation())
    assert ran.report.totals.accepted == 1
    first, second = [call.json["changes"][0] for call in vendor.calls]
    assert first == second
    assert vendor.calls[0].headers["webhook-id"] == vendor.calls[1].headers["webhook-id"]
    assert len(vendor.effects) == 1


def _exclude(shop: Fans, customer: str) -> None:
    named = [("customer_id", customer)]
    shop.platform.state.exclusions.add(named, note="", made_by="test", now=shop.shop.as_of)


def _down(vendor: Any) -> None:
    vendor.faults = [Reply(503)] * 3


def test_who_left_again_or_may_not_be_told_any_more_while_the_receiver_was_down_is_not_told(
    told: tuple[Fans, Any],
) -> None:
    shop, vendor = told
    shop.build()
    shop.run(automation())
    shop.build("left", "excluded", "stays", "refuses")
    _down(vendor)
    assert shop.run(automation()).report.status == "later"
    assert set(shop.fates().values()) == {"open"}
    shop.shop.consents["refuses"] = dict.fromkeys(shop.shop.consents["refuses"], False)
    shop.build("excluded", "stays", "refuses")
    _exclude(shop, "excluded")
    shop.clock.sleep(7200)
    ran = shop.run(automation())
    assert ran.report.status == "done"
    assert set(codes(vendor)) == {"stays"}
    fates = {name: fate.partition(",")[0] for name, fate in shop.fates().items()}
    assert fates == {"left": "no longer so", "excluded": "withheld", "stays": "told", "refuses": "withheld"}


def test_an_exclusion_that_comes_while_a_run_sends_holds_from_the_next_request_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fans(tmp_path / "home", monkeypatch, "slack") as (shop, vendor):
        hello = automation(destination="team", message="Welcome, {customer_id}", coupon=None)
        shop.build()
        shop.run(hello)
        shop.build("a", "b", "c")

        def exclude_b(number: int) -> None:
            if number == 1:
                _exclude(shop, "b")

        vendor.before_each = exclude_b
        shop.run(hello)
        assert vendor.messages == ["Welcome, a", "Welcome, c"]
        shop.run(hello)
        assert shop.fates() == {"a": "told", "b": "withheld", "c": "told"}


def test_a_channel_gets_one_message_for_each_customer_and_no_mention(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fans(tmp_path / "home", monkeypatch, "slack") as (shop, vendor):
        message = "{customer_id} has {order_count} orders: {coupon}"
        hello = automation(destination="team", message=message, coupon={"length": 8})
        shop.build()
        shop.run(hello)
        shop.build(NASTY, "b")
        shop.run(hello)
        [first, second] = sorted(vendor.messages)
        assert first.startswith(f"{NASTY} has 1 orders: ") and second.startswith("b has 1 orders: ")
        assert vendor.mentions == []
        assert vendor.clock.now() - shop.clock.now() == 0


def test_while_a_guard_holds_the_audience_nobody_is_told_and_nothing_is_skipped(
    told: tuple[Fans, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, vendor = told
    shop.build()
    shop.run(automation())
    shop.build("a")
    held: list[Any] = [type("Held", (), {"sentence": "It has doubled."})]
    monkeypatch.setattr("orchestration.automation_runs.held_version", lambda state, audience: held[0])
    ran = shop.run(automation())
    assert ran.report.words == "fans is held back, nobody is told: It has doubled." and not vendor.calls
    held[0] = None
    shop.run(automation())
    assert set(codes(vendor)) == {"a"}


def test_an_audience_that_was_never_built_greets_nobody_of_its_first_build(told: tuple[Fans, Any]) -> None:
    shop, vendor = told
    shop.build("a")
    new = replace(shop.audience, name="newcomers")
    earlier, shop.audience = shop.audience, new
    ran = shop.run(automation(audience="newcomers"))
    assert (ran.report.status, ran.report.words) == (
        "later",
        "newcomers is in no whole build yet; welcome begins with the first that has it.",
    )
    assert shop.platform.state.automations.cursor(NAME) is None
    shop.audience = earlier
    shop.build("a", "b")
    assert shop.run(automation()).noticed.is_first
    assert not vendor.calls


def test_a_rule_begins_once_it_was_evaluated_for_certain(told: tuple[Fans, Any]) -> None:
    shop, _ = told
    rule = Audience("r", "rule", "", "", {})
    saved_at = AS_OF + timedelta(seconds=1, milliseconds=500)
    begun = []
    for _ in range(3):
        shop.build("a")
        with shop.platform.warehouse.open_served() as served:
            begun.append(Source(served).has(rule, saved_at))
    assert begun == [False, False, True]


def test_two_people_who_merge_before_they_are_told_are_told_once(told: tuple[Fans, Any]) -> None:
    shop, vendor = told
    shop.build()
    shop.run(automation())
    shop.build("old", "young")
    _down(vendor)
    shop.run(automation())
    shop.shop.redirects = {"young": "old"}
    shop.build("old")
    shop.clock.sleep(7200)
    shop.run(automation())
    assert set(codes(vendor)) == {"old"}
    assert len(vendor.effects) == 1


def test_what_is_too_old_is_not_told(told: tuple[Fans, Any]) -> None:
    shop, vendor = told
    shop.build()
    shop.run(automation(expires_after_hours=1))
    shop.build("a")
    _down(vendor)
    shop.run(automation(expires_after_hours=1))
    shop.clock.sleep(7200)
    shop.run(automation(expires_after_hours=1))
    assert shop.fates()["a"].startswith("expired")
    assert vendor.effects == []


def test_what_the_receiver_refuses_waits_for_a_person_and_keeps_its_code(told: tuple[Fans, Any]) -> None:
    shop, vendor = told
    shop.build()
    shop.run(automation())
    shop.build("a")
    vendor.faults = [Reply(422, {"message": "no such campaign"})]
    ran = shop.run(automation())
    assert ran.report.totals.refused == 1
    assert ran.report.samples == {"no such campaign": 1}
    refused = vendor.calls[0].json["changes"][0]["fields"]["coupon"]
    shop.run(automation())
    assert len(vendor.calls) == 1
    assert shop.platform.state.syncs.retry(f"automation.{NAME}", shop.shop.as_of) == 1
    shop.run(automation())
    assert codes(vendor) == {"a": refused}


def test_nothing_that_is_kept_holds_what_was_told(told: tuple[Fans, Any]) -> None:
    shop, vendor = told
    shop.build()
    shop.run(automation())
    shop.build("a")
    vendor.faults = [Reply(422, {"message": "VIP code for a@example.com is bad"})]
    shop.run(automation())
    state = shop.platform.state
    kept = json.dumps(
        [state.syncs.attempts(f"automation.{NAME}"), state.syncs.problems(f"automation.{NAME}")], default=str
    )
    assert "@" not in kept and "is bad" in kept
