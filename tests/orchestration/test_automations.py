"""What automations make of changes of membership: whom they fire for, once, and with which coupon."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from activation.automations.coupons import ALPHABET, made_code
from activation.automations.definitions import AutomationError
from orchestration.automation_records import OvertakenError
from orchestration.settings import load_settings
from orchestration.state import State
from tests.orchestration.automated import SALT, Automated, automation, said
from tests.orchestration.member_shop import day, opened


@pytest.fixture
def shop(where: str, tmp_path: Path) -> Iterator[Automated]:
    """On DuckDB with its operator state in SQLite, and both on PostgreSQL."""
    given = {"target": "postgres", "postgres_url": where} if "://" in where else {}
    with opened(where) as connection:
        yield Automated(connection, State(load_settings(home=tmp_path / "home", **given).state_url))


def test_who_is_inside_already_is_not_greeted_and_who_comes_is_once(shop: Automated) -> None:
    welcome = automation()
    shop.fans("a", "b")
    first = shop.notice(welcome)
    assert (first.is_first, first.occurrences) == (True, [])
    shop.fans("a", "b", "c")
    assert said(shop.notice(welcome).occurrences) == [("c", "open")]
    assert said(shop.notice(welcome).occurrences) == []
    assert said(shop.state.automations.of("welcome", "open")) == [("c", "open")]


def test_backfill_greets_who_is_inside_at_the_first_activation(shop: Automated) -> None:
    shop.fans("a", "b")
    shop.withheld = {"b"}
    greeted = shop.notice(automation(backfill=True))
    assert said(greeted.occurrences) == [("a", "open"), ("b", "withheld")]
    shop.fans("a", "b", "c")
    assert said(shop.notice(automation(backfill=True)).occurrences) == [("c", "open")]


def test_the_cool_down_counts_what_was_told_not_what_was_withheld(shop: Automated) -> None:
    welcome = automation(cool_down_days=3)
    shop.fans()
    shop.notice(welcome)
    shop.withheld = {"b"}
    fate = []
    for inside in (("a", "b"), (), ("a", "b"), (), ("a", "b")):
        shop.fans(*inside)
        fate.append(said(shop.notice(welcome).occurrences))
        shop.withheld = set()
    assert fate == [
        [("a", "open"), ("b", "withheld")],
        [],
        [("a", "cool-down"), ("b", "open")],
        [],
        [("a", "open"), ("b", "cool-down")],
    ]


def test_who_left_again_before_anybody_looked_is_not_told(shop: Automated) -> None:
    patient, eager = automation(name="patient"), automation(name="eager", while_it_holds=False)
    shop.fans()
    shop.notice(patient), shop.notice(eager)
    shop.fans("a", "b")
    shop.fans("b")
    assert said(shop.notice(patient).occurrences) == [("a", "no longer so"), ("b", "open")]
    assert said(shop.notice(eager).occurrences) == [("a", "open"), ("b", "open")]


def test_leaving_fires_for_who_left_and_not_for_who_came_back(shop: Automated) -> None:
    goodbye = automation(name="goodbye", when="left")
    shop.fans("a", "b")
    shop.notice(goodbye)
    shop.fans()
    shop.fans("b")
    assert said(shop.notice(goodbye).occurrences) == [("a", "open"), ("b", "no longer so")]


def test_merges_and_splits_fire_for_nobody_and_a_merged_person_keeps_the_cool_down(shop: Automated) -> None:
    welcome = automation()
    shop.fans()
    shop.notice(welcome)
    shop.fans("young")
    assert said(shop.notice(welcome).occurrences) == [("young", "open")]
    shop.shop.people("old")
    shop.shop.living["young"] = "old"
    shop.fans("old")
    assert said(shop.notice(welcome).occurrences) == []
    shop.fans()
    shop.fans("old")
    assert said(shop.notice(welcome).occurrences) == [("old", "cool-down")]
    shop.shop.living["young"] = "young"
    shop.fans("old", "young")
    assert said(shop.notice(welcome).occurrences) == []


def test_codes_are_made_once_for_an_occurrence_and_differ(shop: Automated) -> None:
    coupon = automation(coupon={"prefix": "VIP", "length": 8})
    shop.fans()
    shop.notice(coupon)
    shop.fans(*(f"c{number}" for number in range(300)))
    looked = shop.notice(coupon, is_dry=True)
    codes = [each.coupon for each in shop.notice(coupon).occurrences]
    assert codes == [each.coupon for each in looked.occurrences]
    assert len(set(codes)) == 300
    assert all(code and code.startswith("VIP") and set(code[3:]) <= set(ALPHABET) for code in codes)
    assert SALT not in str(codes)


def test_a_code_that_is_somebodys_already_is_not_given_again(shop: Automated, monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(salt: str, name: str, occurrence: str, *, prefix: str, length: int, again: int = 0) -> str:
        return f"code {again}"

    monkeypatch.setattr("orchestration.automations.made_code", narrow)
    coupon = automation(coupon={})
    shop.fans()
    shop.notice(coupon)
    for inside in (("a",), ("a", "b"), ("a", "b", "c", "d")):
        shop.fans(*inside)
        shop.notice(coupon)
    given = [each.coupon for each in shop.state.automations.of("welcome", "open")]
    assert given == ["code 0", "code 1", "code 2", "code 3"]
    assert made_code("s", "a", "o", prefix="", length=10) != made_code("s", "a", "o", prefix="", length=10, again=1)


def test_a_pool_gives_each_code_once_and_who_comes_too_late_waits(shop: Automated) -> None:
    records = shop.state.automations
    coupon = automation(coupon={"pool": "spring"})
    shop.fans()
    shop.notice(coupon)
    assert records.load("spring", ["S1", "S2"], day(0)) == 2
    shop.fans("a", "b", "c")
    assert [(each.status, each.coupon) for each in shop.notice(coupon).occurrences] == [
        ("open", "S1"),
        ("open", "S2"),
        ("waiting", None),
    ]
    assert records.give_waiting("welcome", "spring") == 0
    assert records.load("spring", ["S2", "S3", "S4"], day(1)) == 2
    assert records.give_waiting("welcome", "spring") == 1
    assert [(each.customer_id, each.coupon) for each in records.of("welcome", "open")] == [
        ("a", "S1"),
        ("b", "S2"),
        ("c", "S3"),
    ]
    assert records.pools() == {"spring": (1, 3)}


def test_two_processes_that_notice_the_same_write_it_once(shop: Automated) -> None:
    welcome = automation()
    shop.fans()
    shop.notice(welcome)
    shop.fans("a")
    after = shop.state.automations.cursor("welcome")
    shop.notice(welcome)
    assert after is not None
    with pytest.raises(OvertakenError):
        shop.state.automations.write("welcome", after=after, to=9, found=[], pool=None, now=day(9))
    assert shop.state.automations.cursor("welcome") == after + 1


def test_a_history_that_ends_before_the_cursor_stops_it_with_a_sentence(shop: Automated) -> None:
    welcome = automation()
    shop.fans("a")
    shop.state.automations.restart("welcome", 500, day(0))
    problem = shop.notice(welcome).problem
    assert problem and "weft automation restart welcome" in problem


def test_a_column_that_profiles_do_not_have_is_named_before_anything_is_read(shop: Automated) -> None:
    shop.fans("a")
    with pytest.raises(AutomationError, match="welcome: the profiles have no column iban"):
        shop.notice(automation(columns=["city", "iban"]))
    assert shop.state.automations.cursor("welcome") is None
