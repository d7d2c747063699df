"""Contacts of HubSpot against a server that keeps HubSpot's rules: every one arrives, once, whatever happens on the way."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from ingestion.crm import pull as pulling
from ingestion.crm.calls import CrmError, CrmLaterError
from tests.fakes.hubspot import TOKEN, HubSpot
from tests.fakes.vendor import FakeClock, Reply
from tests.ingestion.crm.pulls import Killed, Shop, hubspot_source, identifiers


@pytest.fixture
def hubspot(clock: FakeClock) -> Iterator[HubSpot]:
    vendor = HubSpot(clock)
    with vendor.serving() as url:
        vendor.url = url  # type: ignore[attr-defined]
        yield vendor


def source(hubspot: HubSpot, **more: Any) -> Any:
    return hubspot_source(hubspot.url, **more)  # type: ignore[attr-defined]


def fill(hubspot: HubSpot, contacts: int, *, ago: float = 5e6) -> None:
    for id_ in range(1, contacts + 1):
        modified = hubspot.clock.now() - ago - id_ % 7
        hubspot.add(
            id_, modified=modified, email=f"c{id_}@example.com", firstname=f"Name {id_}", mobilephone=f"+49170{id_:07}"
        )


def check_all(hubspot: HubSpot, shop: Shop) -> None:
    """What stands in raw is the newest state of every contact that HubSpot has, and no state stands twice."""
    landed = shop.landed()
    assert landed.rejected == []
    assert len({event["message_id"] for event in landed.events}) == len(landed.events)
    alive = {id_: event for id_, event in landed.newest.items() if event["type"] == "identify"}
    assert {id_: event["payload"]["properties"]["email"] for id_, event in alive.items()} == {
        str(id_): contact["email"] for id_, contact in hubspot.contacts.items()
    }
    assert {id_: event["payload"]["properties"]["lastmodifieddate"] for id_, event in alive.items()} == {
        str(id_): contact["lastmodifieddate"] for id_, contact in hubspot.contacts.items()
    }


def test_a_contact_becomes_an_identify_event(hubspot: HubSpot, shop: Shop) -> None:
    modified = shop.clock.now() - 86_400
    hubspot.add(
        7, modified=modified, email=" Ann@Example.com ", firstname="Ann", phone="0171 1", mobilephone="+49171 2",
        shop_user_id="u7", loyalty_number="L7", hs_marketable_status="true", hs_email_optout="true",
    )  # fmt: skip
    shop.pull(
        source(
            hubspot,
            fields={
                **hubspot_source("http://x").fields.model_dump(),
                "user_id": "shop_user_id",
                "loyalty_id": "loyalty_number",
            },
        )
    )
    [event] = shop.landed().events
    assert (event["type"], event["source"], event["user_id"]) == ("identify", "hub", "u7")
    assert identifiers(event) == {
        "email": "Ann@Example.com",
        "phone": "+49171 2",
        "loyalty_id": "L7",
        "crm_id": "hub:7",
    }
    assert event["traits"]["first_name"] == "Ann"
    assert event["consent"] == {"advertising": False}
    assert event["context"] == {"channel": "crm", "crm": "hubspot"}
    assert abs(event["occurred_at"].timestamp() - modified) < 86_400  # naive UTC
    assert event["known_at"] == event["occurred_at"]
    assert event["payload"]["properties"]["phone"] == "0171 1"


@pytest.mark.parametrize(
    ("status", "optout", "consent"),
    [
        ("true", None, None),
        ("false", None, {"advertising": False}),
        ("true", "true", {"advertising": False}),
        (None, "false", None),
    ],
)
def test_a_marketing_contact_has_not_consented_and_one_that_opted_out_has_refused(
    hubspot: HubSpot, shop: Shop, status: str | None, optout: str | None, consent: object
) -> None:
    hubspot.add(1, email="a@example.com", hs_marketable_status=status, hs_email_optout=optout)
    shop.pull(source(hubspot))
    assert shop.landed().events[0]["consent"] == consent


def test_an_empty_account_is_an_empty_pull_and_the_next_one_sees_the_first_contact(
    hubspot: HubSpot, shop: Shop
) -> None:
    assert shop.pull(source(hubspot)).contacts == 0
    assert not list(shop.inbox.rglob("*.ndjson"))
    hubspot.add(1, email="a@example.com")
    shop.clock.sleep(3600)
    assert shop.pull(source(hubspot)).contacts == 1


def test_the_first_pull_brings_all_and_later_ones_what_changed(hubspot: HubSpot, shop: Shop) -> None:
    fill(hubspot, 730)
    assert shop.pull(source(hubspot)).contacts == 730
    shop.clock.sleep(3600)
    assert shop.pull(source(hubspot)).contacts == 0
    shop.clock.sleep(3600)
    hubspot.add(5, email="new@example.com")
    hubspot.add(731, email="c731@example.com")
    assert shop.pull(source(hubspot)).contacts == 2
    shop.pull(source(hubspot))  # the overlap brings them again: the same events
    check_all(hubspot, shop)
    assert len(shop.landed().events) == 732


def test_a_bulk_update_beyond_the_limit_of_a_search_is_pulled_whole(shop: Shop, clock: FakeClock) -> None:
    vendor = HubSpot(clock, search_limit=300)
    with vendor.serving() as url:
        vendor.url = url  # type: ignore[attr-defined]
        shop.pull(source(vendor))
        clock.sleep(3600)
        for id_ in range(1, 1051):
            vendor.add(id_, modified=clock.now() - 60, email=f"c{id_}@example.com")  # one instant for all
        shop.pull(source(vendor))
        assert vendor.most_found_by_search > 300
        check_all(vendor, shop)


@pytest.mark.parametrize("is_first", [True, False])
def test_contacts_modified_while_pages_are_turned_are_not_lost(hubspot: HubSpot, shop: Shop, is_first: bool) -> None:
    draw = random.Random(5)
    fill(hubspot, 400)
    if not is_first:
        shop.pull(source(hubspot, page_size=100))
        shop.clock.sleep(86_400)
        for id_ in range(1, 401):
            hubspot.add(id_, email=f"d{id_}@example.com")
        shop.clock.sleep(60)
        hubspot.calls.clear()

    def meddle(number: int) -> None:
        if number < 60:
            shop.clock.sleep(0.5)
            hubspot.add(draw.choice(list(hubspot.contacts)), email=f"changed{number}@example.com")
            hubspot.add(1000 + number, email=f"new{number}@example.com")
            gone = draw.choice(list(hubspot.contacts))
            if hubspot.contacts[gone]["email"].startswith(("c", "d")):
                hubspot.archive(gone)

    hubspot.before_each = meddle
    shop.pull(source(hubspot, page_size=10))
    hubspot.before_each = lambda number: None
    shop.clock.sleep(60)
    shop.pull(source(hubspot))
    check_all(hubspot, shop)
    newest = shop.landed().newest
    assert {newest[str(id_)]["event"] for id_ in hubspot.archived if str(id_) in newest} <= {"Contact Deleted"}


def test_a_deleted_contact_is_an_event_that_says_so_without_its_traits(hubspot: HubSpot, shop: Shop) -> None:
    fill(hubspot, 3)
    hubspot.archive(3)  # before the first pull: never here
    shop.clock.sleep(3600)
    shop.pull(source(hubspot))
    shop.clock.sleep(3600)
    hubspot.archive(2)
    shop.pull(source(hubspot))
    shop.clock.sleep(7200)
    shop.pull(source(hubspot))
    landed = shop.landed()
    [gone] = [event for event in landed.events if event["type"] == "track"]
    assert (gone["event"], identifiers(gone)["crm_id"]) == ("Contact Deleted", "hub:2")
    assert identifiers(gone)["email"] == "c2@example.com"
    assert (gone["traits"], gone["consent"]) == ({}, None)
    assert "Name 2" not in str(gone)
    assert len(landed.events) == 3


@pytest.mark.parametrize("step", ["page_written", "file_in_place", "cursor_saved"])
def test_killed_anywhere_the_next_pull_repairs(
    hubspot: HubSpot, shop: Shop, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "FILE_CONTACTS", 100)
    fill(hubspot, 450)
    for on_pass in (1, 2, 1):
        with pytest.raises(Killed):
            shop.pull(source(hubspot, page_size=50), dies_at=step, on_pass=on_pass)
    shop.pull(source(hubspot, page_size=50))
    assert not list(shop.inbox.rglob(".*"))
    check_all(hubspot, shop)


def test_a_pull_that_died_late_does_not_begin_anew(
    hubspot: HubSpot, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "FILE_CONTACTS", 100)
    fill(hubspot, 400)
    with pytest.raises(Killed):
        shop.pull(source(hubspot, page_size=50), dies_at="cursor_saved", on_pass=3)
    assert shop.pull(source(hubspot, page_size=50)).contacts == 100


def test_faults_of_every_kind_lose_nothing(hubspot: HubSpot, shop: Shop) -> None:
    fill(hubspot, 300)
    faults: list[Any] = [
        Reply(500, {"status": "error"}), "lost", None, "cut", Reply(503, b"<html>busy</html>"), None, None,
        Reply(200, b"not json"), Reply(502, b""), "lost", "lost", None, Reply(429, {"policyName": "TEN_SECONDLY_ROLLING"}),
    ]  # fmt: skip
    hubspot.faults = faults
    shop.pull(source(hubspot, page_size=50))
    check_all(hubspot, shop)
    assert not hubspot.faults
    assert max(shop.clock.waits) < 40


def test_no_request_while_retry_after_runs_and_none_above_the_rate(hubspot: HubSpot, shop: Shop) -> None:
    fill(hubspot, 600)
    hubspot.faults = [None, Reply(429, {"policyName": "SECONDLY"}, {"Retry-After": "17"}), None]
    shop.pull(source(hubspot, page_size=10))  # 60 pages at four a second
    assert hubspot.called_while_told_to_wait == 0
    assert 17.0 in shop.clock.waits
    assert len(hubspot.calls) == 60 + 1
    check_all(hubspot, shop)


def test_a_rate_above_the_limit_of_the_vendor_is_slowed_down_by_it(hubspot: HubSpot, shop: Shop) -> None:
    shop.pull(source(hubspot))
    shop.clock.sleep(3600)
    fill(hubspot, 300, ago=60)
    shop.pull(source(hubspot, page_size=10, requests_per_second=50))
    check_all(hubspot, shop)


def test_the_day_s_limit_ends_the_pull_and_the_next_goes_on_there(
    hubspot: HubSpot, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(hubspot, 200)
    hubspot.faults = [None, None, Reply(429, {"policyName": "DAILY", "message": "c1@example.com"})]
    with pytest.raises(CrmLaterError, match=r"hub answered 429 \(DAILY\) and wants no request before") as later:
        shop.pull(source(hubspot, page_size=50))
    assert later.value.not_before == pytest.approx(shop.clock.now() + 3600)
    assert len(shop.landed().events) == 100
    assert shop.pull(source(hubspot, page_size=50)).contacts == 100
    check_all(hubspot, shop)


def test_a_rest_longer_than_a_pull_may_wait_ends_it(hubspot: HubSpot, shop: Shop) -> None:
    hubspot.faults = [Reply(429, {}, {"Retry-After": "86400"})]
    with pytest.raises(CrmLaterError):
        shop.pull(source(hubspot))
    assert sum(shop.clock.waits) < 1


def test_a_token_that_is_refused_is_one_sentence_without_it(hubspot: HubSpot, shop: Shop) -> None:
    shop.token = TOKEN + "x"
    with pytest.raises(CrmError) as refused:
        shop.pull(source(hubspot))
    assert "HUB_TOKEN" in str(refused.value)
    assert "pat-eu1" not in str(refused.value)
    assert len(hubspot.calls) == 1


def test_a_vendor_that_is_down_is_given_up_after_a_while(hubspot: HubSpot, shop: Shop) -> None:
    hubspot.faults = [Reply(500, {"message": "c1@example.com"})] * 50
    with pytest.raises(CrmError, match=r"^hub answered 500, 6 times in a row") as given_up:
        shop.pull(source(hubspot))
    assert "example.com" not in str(given_up.value)
    assert len(hubspot.calls) == 6


HOSTILE: list[tuple[str, Any]] = [
    ("no list", {"results": {"a": 1}}),
    ("no results", {"nothing": []}),
    ("text", '"hello"'),
    ("circle", {"results": [{"id": "1", "properties": {}}], "paging": {"next": {"after": "1"}}}),
]


@pytest.mark.parametrize(("what", "content"), HOSTILE, ids=[what for what, _ in HOSTILE])
def test_answers_that_lead_nowhere_are_one_sentence(hubspot: HubSpot, shop: Shop, what: str, content: Any) -> None:
    hubspot.faults = [Reply(200, content)] * 5
    with pytest.raises(CrmError, match=r"^hub answered"):
        shop.pull(source(hubspot))
    assert len(hubspot.calls) <= 3


def test_odd_contacts_are_kept_aside_and_the_others_land(hubspot: HubSpot, shop: Shop) -> None:
    good = {"id": "1", "properties": {"email": "a@example.com", "lastmodifieddate": "2026-01-02T03:04:05.678Z"}}
    odd: list[Any] = [
        good,
        "a text", 17, None, {"properties": {}}, {"id": "2"}, {"id": {"a": 1}, "properties": {}},
        {"id": "3", "properties": {"email": {"deep": [1, 2]}, "firstname": ["x"], "lastmodifieddate": "2026-01-02T03:04:05Z"}},
        {"id": "4", "properties": {"email": "b@example.com", "lastmodifieddate": "yesterday"}},
        {"id": "5", "properties": {"email": "c\u0000@example.com", "lastmodifieddate": "2026-01-02T03:04:05Z"}},
        {"id": "6", "properties": {"email": "e" * 2_000_000, "lastmodifieddate": "2026-01-02T03:04:05Z"}},
        {"id": "7", "properties": {"firstname": "=cmd|' /C calc'!A0", "lastmodifieddate": "2026-01-02T03:04:05Z"}},
        {"id": "8", "properties": {"lastmodifieddate": "2099-01-02T03:04:05Z"}},
    ]  # fmt: skip
    hubspot.faults = [Reply(200, {"results": odd})]
    pulled = shop.pull(source(hubspot))
    assert (pulled.contacts, pulled.unreadable) == (13, 6)
    landed = shop.landed()
    assert sorted(landed.newest) == ["1", "3", "5", "7"]
    assert landed.newest["7"]["traits"]["first_name"] == "=cmd|' /C calc'!A0"
    assert "email" not in identifiers(landed.newest["3"])
    assert identifiers(landed.newest["5"])["email"] == "c@example.com"
    assert len(landed.rejected) == 9
    assert b'"a text"' in b"".join(payload for _, payload in landed.rejected)


def test_numbers_and_texts_that_are_no_json_cost_their_own_contact_only(hubspot: HubSpot, shop: Shop) -> None:
    one = '{"id": "%d", "properties": {"email": %s, "lastmodifieddate": "2026-01-02T03:04:05Z"}}'
    values = ['"a@example.com"', "NaN", "1e999", "9" * 5000, r'"\ud800"', '"b@example.com"']
    body = ", ".join(one % (number, value) for number, value in enumerate(values, 1))
    hubspot.faults = [Reply(200, f'{{"results": [{body}]}}'.encode())]
    shop.pull(source(hubspot))
    landed = shop.landed()
    assert {"1", "6"} <= set(landed.newest)
    assert len(landed.newest) + len(landed.rejected) == 6


def test_a_page_without_end_is_cut(hubspot: HubSpot, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingestion.crm.calls.PAGE_LIMIT_BYTES", 1 << 20)
    hubspot.faults = [Reply(200, b" " * (3 << 20))]
    with pytest.raises(CrmError, match="more than 1 MiB"):
        shop.pull(source(hubspot))


def test_a_redirect_is_not_followed(hubspot: HubSpot, shop: Shop) -> None:
    hubspot.faults = [Reply(302, {}, {"Location": "http://169.254.169.254/latest/meta-data"})]
    with pytest.raises(CrmError, match="answered 302"):
        shop.pull(source(hubspot))
    assert len(hubspot.calls) == 1


def test_a_cursor_that_moves_before_its_file_would_be_found_out(
    hubspot: HubSpot, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cursor_first(file: Any, reached: Any, pulled: Any, save: Any, on_step: Any) -> None:
        save(reached)
        on_step("cursor_saved")
        file.finish()

    monkeypatch.setattr(pulling, "FILE_CONTACTS", 100)
    monkeypatch.setattr(pulling, "_hand_over", cursor_first)
    fill(hubspot, 300)
    with pytest.raises(Killed):
        shop.pull(source(hubspot, page_size=50), dies_at="cursor_saved", on_pass=2)
    shop.pull(source(hubspot, page_size=50))
    with pytest.raises(AssertionError):
        check_all(hubspot, shop)
