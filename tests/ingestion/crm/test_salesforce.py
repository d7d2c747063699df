"""Contacts of Salesforce against a server that keeps Salesforce's rules."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from ingestion.crm import pull as pulling
from ingestion.crm.calls import CrmError, CrmLaterError
from tests.fakes.salesforce import REFRESH_TOKEN, SECRET, Salesforce
from tests.fakes.vendor import FakeClock, Reply
from tests.ingestion.crm.pulls import Killed, Shop, identifiers, salesforce_source


@pytest.fixture
def salesforce(clock: FakeClock) -> Iterator[Salesforce]:
    vendor = Salesforce(clock, page=50)
    with vendor.serving() as url:
        vendor.url = url  # type: ignore[attr-defined]
        yield vendor


def source(salesforce: Salesforce, **more: Any) -> Any:
    return salesforce_source(salesforce.url, **more)  # type: ignore[attr-defined]


def fill(salesforce: Salesforce, contacts: int, *, ago: float = 5e6) -> None:
    for number in range(1, contacts + 1):
        modified = salesforce.clock.now() - ago + number // 40
        salesforce.add(number, modified=modified, Email=f"c{number}@example.com", FirstName=f"N{number}")


def check_all(salesforce: Salesforce, shop: Shop) -> None:
    """What stands in raw is the newest state of every contact, and no state stands twice."""
    landed = shop.landed()
    assert landed.rejected == []
    assert len({event["message_id"] for event in landed.events}) == len(landed.events)
    stamps = {
        id_: event["payload"]["SystemModstamp"] for id_, event in landed.newest.items() if event["type"] == "identify"
    }
    assert stamps == {
        id_: contact["SystemModstamp"] for id_, contact in salesforce.contacts.items() if not contact["IsDeleted"]
    }


def test_a_contact_becomes_an_identify_event(salesforce: Salesforce, shop: Shop) -> None:
    salesforce.add(1, Email="a@example.com", Phone="1", MobilePhone="2", FirstName="A", HasOptedOutOfEmail=True)
    salesforce.contacts["003000000000000001"]["Account.Name"] = "Acme"
    fields = source(salesforce).fields.model_dump()
    shop.pull(source(salesforce, fields=fields | {"traits": {"first_name": "FirstName", "company": "Account.Name"}}))
    [event] = shop.landed().events
    assert identifiers(event) == {"email": "a@example.com", "phone": "2", "crm_id": "force:003000000000000001"}
    assert event["traits"] == {"first_name": "A", "company": "Acme"}
    assert event["consent"] == {"advertising": False}
    assert "attributes" not in str(event["payload"])


def test_pages_sessions_that_end_and_later_pulls(salesforce: Salesforce, shop: Shop) -> None:
    assert shop.pull(source(salesforce)).contacts == 0
    fill(salesforce, 333, ago=60)
    salesforce.session_calls = 3
    shop.clock.sleep(3600)
    shop.pull(source(salesforce))
    assert len(salesforce.logins) == 4
    shop.clock.sleep(3600)
    salesforce.add(7, Email="new@example.com")
    assert shop.pull(source(salesforce)).contacts == 1
    check_all(salesforce, shop)


def test_a_refresh_token_is_used_where_there_is_one(salesforce: Salesforce, shop: Shop) -> None:
    shop.refresh_token = REFRESH_TOKEN
    shop.pull(source(salesforce, refresh_token="SF_REFRESH"))
    assert salesforce.logins == ["refresh_token"]


def test_two_changes_in_one_second_are_two_events(salesforce: Salesforce, shop: Shop) -> None:
    salesforce.add(1, modified=1_790_000_000, Email="a@example.com")
    shop.pull(source(salesforce))
    shop.cursor = {"since": "2026-01-01T00:00:00.000Z"}
    salesforce.add(1, modified=1_790_000_000, Email="b@example.com")
    shop.pull(source(salesforce))
    assert [identifiers(event)["email"] for event in shop.landed().events] in (
        ["a@example.com", "b@example.com"],
        ["b@example.com", "a@example.com"],
    )


def test_a_deleted_contact_is_an_event_that_says_so(salesforce: Salesforce, shop: Shop) -> None:
    fill(salesforce, 3)
    salesforce.delete(3)  # before the first pull: never here
    shop.clock.sleep(3600)
    shop.pull(source(salesforce))
    shop.clock.sleep(3600)
    salesforce.delete(2)
    shop.pull(source(salesforce))
    shop.pull(source(salesforce))
    landed = shop.landed()
    gone = [event for event in landed.events if event["event"] == "Contact Deleted"]
    assert [identifiers(event)["email"] for event in gone] == ["c2@example.com"]
    assert len(landed.newest) == 2
    assert "N2" not in str(gone)


@pytest.mark.parametrize("forgets", [False, True])
def test_contacts_modified_while_pages_are_turned_are_not_lost(
    salesforce: Salesforce, shop: Shop, forgets: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "FILE_CONTACTS", 100)
    draw = random.Random(3)
    fill(salesforce, 500)

    def meddle(number: int) -> None:
        shop.clock.sleep(5)
        # in front of where the pages are, so that a stamp of now stands in the middle of old ones
        salesforce.add(draw.randrange(1, 500), Email=f"changed{number}@example.com")
        salesforce.add(1000 + number, Email=f"new{number}@example.com")
        if forgets and number in (5, 9):
            salesforce.forget_locators()

    salesforce.before_each = meddle
    if forgets:
        with pytest.raises(Killed):
            shop.pull(source(salesforce), dies_at="cursor_saved", on_pass=2)
        salesforce.forget_locators()
    shop.pull(source(salesforce))
    salesforce.before_each = lambda number: None
    shop.clock.sleep(60)
    shop.pull(source(salesforce))
    check_all(salesforce, shop)


@pytest.mark.parametrize("step", ["page_written", "file_in_place", "cursor_saved"])
def test_killed_anywhere_the_next_pull_repairs(
    salesforce: Salesforce, shop: Shop, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "FILE_CONTACTS", 100)
    fill(salesforce, 420)
    for on_pass in (1, 2):
        with pytest.raises(Killed):
            shop.pull(source(salesforce), dies_at=step, on_pass=on_pass)
    shop.pull(source(salesforce))
    check_all(salesforce, shop)


def test_the_day_s_requests_end_the_pull_too_many_at_once_do_not(salesforce: Salesforce, shop: Shop) -> None:
    fill(salesforce, 200)
    crowded = [
        {
            "errorCode": "REQUEST_LIMIT_EXCEEDED",
            "message": "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
        }
    ]
    salesforce.faults = [None, Reply(403, crowded), None, None]
    salesforce.daily_limit = 2
    with pytest.raises(CrmLaterError, match="REQUEST_LIMIT_EXCEEDED"):
        shop.pull(source(salesforce))
    assert len(shop.landed().events) == 100
    salesforce.daily_limit = None
    shop.pull(source(salesforce))
    check_all(salesforce, shop)


def test_faults_of_every_kind_lose_nothing(salesforce: Salesforce, shop: Shop) -> None:
    fill(salesforce, 300)
    unavailable = Reply(503, [{"errorCode": "SERVER_UNAVAILABLE", "message": "c1@example.com"}])
    salesforce.faults = ["lost", None, "cut", None, "lost", unavailable, None, Reply(500, b""), None, "cut"]
    shop.pull(source(salesforce))
    assert not salesforce.faults
    check_all(salesforce, shop)


@pytest.mark.parametrize(
    "following",
    [
        "https://elsewhere.example/services/data/v62.0/query/0r8000000000000001-50",
        "//elsewhere.example/services/data/v62.0/query/0r8000000000000001-50",
        "/services/oauth2/token", "/services/data/v62.0/query/../../../x-5", 7,
    ],
)  # fmt: skip
def test_the_token_does_not_follow_a_page_to_elsewhere(salesforce: Salesforce, shop: Shop, following: object) -> None:
    salesforce.faults = [None, Reply(200, {"records": [], "done": False, "nextRecordsUrl": following})]
    with pytest.raises(CrmError, match="no locator"):
        shop.pull(source(salesforce))
    assert len(salesforce.calls) == 2


def test_what_a_person_can_mend_is_one_sentence_without_a_secret(salesforce: Salesforce, shop: Shop) -> None:
    with pytest.raises(CrmError, match=r"answered 400 \(INVALID_FIELD\)"):
        shop.pull(source(salesforce, extra=["Nobody__c"]))
    with pytest.raises(CrmError, match=r"answered 400 \(invalid_client\)") as refused:
        shop.pull(source(salesforce, client_id="other"))
    assert SECRET not in str(refused.value)
    salesforce.session_calls = 0
    with pytest.raises(CrmError, match=r"answered 401 \(INVALID_SESSION_ID\)"):
        shop.pull(source(salesforce))
