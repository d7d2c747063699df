"""Salesforce as a destination: collections by external id, rows that fail alone, sessions that end, the day's limit, removals."""

from collections.abc import Iterator

import pytest

from activation.fake_destinations.salesforce import CLIENT_ID, REFRESH_TOKEN, SECRET, Salesforce
from activation.syncs.contract import DestinationMisconfiguredError, DestinationUnavailableError
from tests.activation.destinations import members, opened, removals, statuses, upserts
from tests.fakes.vendor import FakeClock

SETTINGS = {
    "type": "salesforce",
    "client_id": CLIENT_ID,
    "client_secret": {"env": "SECRET"},
    "membership": "Weft_Member__c",
    "fields": {"LastName": "last_name", "Email": "email"},
}


@pytest.fixture
def salesforce() -> Salesforce:
    return Salesforce(FakeClock())


@pytest.fixture
def url(salesforce: Salesforce) -> Iterator[str]:
    with salesforce.serving() as url:
        yield url


def _opened(salesforce: Salesforce, url: str, **more: object):
    secrets = {"SECRET": SECRET, "REFRESH": REFRESH_TOKEN}
    return opened({**SETTINGS, "url": url, **more}, salesforce.clock, secrets)  # type: ignore[arg-type]


def _people(count: int):
    emails = [f"p{number}@example.com" for number in range(count)]
    return members(email=emails, last_name=[f"Name {number}" for number in range(count)])


def test_two_hundred_records_are_made_and_leave_with_their_checkbox_only(salesforce: Salesforce, url: str) -> None:
    adapter = _opened(salesforce, url)
    assert adapter.batch_size == 200
    records = list(adapter.records(_people(200)))
    outcomes = adapter.send(upserts(records))
    assert set(statuses(outcomes)) == {"accepted"}
    assert adapter.send(upserts(records)) == outcomes
    ids = {record.key: outcome.remote_id for record, outcome in zip(records, outcomes, strict=True)}
    without_id = {**ids, "c1": None}
    assert statuses(adapter.send(removals(["c0", "c1"], without_id))) == ["accepted", "accepted"]
    held = {contact["Weft_Id__c"]: contact["Weft_Member__c"] for contact in salesforce.contacts.values()}
    assert held == {f"c{number}": number > 1 for number in range(200)}
    assert salesforce.logins == ["client_credentials"]


def test_a_bad_row_is_told_and_a_locked_one_comes_again(salesforce: Salesforce, url: str) -> None:
    adapter = _opened(salesforce, url)
    salesforce.locked = {"c2"}
    table = members(
        email=["a@example.com", "no address", "c@example.com", "d@example.com"], last_name=["A", "B", "C", None]
    )
    outcomes = adapter.send(upserts(list(adapter.records(table))))
    assert statuses(outcomes) == ["accepted", "refused", "retry", "refused"]
    assert str(outcomes[1].words).startswith("INVALID_EMAIL_ADDRESS (Email)")
    assert str(outcomes[3].words).startswith("REQUIRED_FIELD_MISSING (LastName)")
    assert len(salesforce.contacts) == 1


def test_who_was_never_there_leaves_without_being_made(salesforce: Salesforce, url: str) -> None:
    adapter = _opened(salesforce, url)
    assert statuses(adapter.send(removals(["c0"], {}))) == ["accepted"]
    assert salesforce.contacts == {}
    hashed = _opened(salesforce, url, id_column="email")
    assert statuses(hashed.send(removals(["c0"], {}))) == ["refused"]


def test_a_record_that_was_deleted_is_gone_as_wanted(salesforce: Salesforce, url: str) -> None:
    adapter = _opened(salesforce, url)
    [outcome] = adapter.send(upserts(list(adapter.records(_people(1)))))
    salesforce.contacts.pop(str(outcome.remote_id))
    salesforce.deleted.add(str(outcome.remote_id))
    assert statuses(adapter.send(removals(["c0"], {"c0": outcome.remote_id}))) == ["accepted"]


def test_a_session_that_ended_is_renewed_once(salesforce: Salesforce, url: str) -> None:
    salesforce.session_calls = 1
    adapter = _opened(salesforce, url, refresh_token={"env": "REFRESH"})
    changes = upserts(list(adapter.records(_people(1))))
    assert statuses(adapter.send(changes)) == statuses(adapter.send(changes)) == ["accepted"]
    assert salesforce.logins == ["refresh_token"] * 2
    salesforce.session_calls = 0
    with pytest.raises(DestinationMisconfiguredError, match="refuses the session"):
        adapter.send(changes)


def test_a_wrong_secret_is_a_persons_to_mend(salesforce: Salesforce, url: str) -> None:
    adapter = opened({**SETTINGS, "url": url}, salesforce.clock, {"SECRET": "s3cret"})  # type: ignore[arg-type]
    with pytest.raises(DestinationMisconfiguredError, match=r"invalid_client.*the variable SECRET") as refused:
        adapter.send(upserts(list(adapter.records(_people(1)))))
    assert "s3cret" not in str(refused.value)


def test_the_days_limit_ends_the_run_without_anything_taken(salesforce: Salesforce, url: str) -> None:
    salesforce.daily_limit = 0
    adapter = _opened(salesforce, url)
    with pytest.raises(DestinationUnavailableError) as refused:
        adapter.send(upserts(list(adapter.records(_people(1)))))
    assert (refused.value.retry_after, refused.value.may_be_applied) == (3600.0, False)


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ({"membership": "Weft_{audience}__c"}, "no field Weft_high_value__c on Contact"),
        ({"external_id": "Other__c"}, "no field Other__c"),
        ({"object": "Lead"}, "INVALID_TYPE"),
    ],
    ids=["membership", "external id", "object"],
)
def test_what_salesforce_does_not_have_is_named(
    salesforce: Salesforce, url: str, more: dict[str, str], sentence: str
) -> None:
    adapter = _opened(salesforce, url, **more)
    with pytest.raises(DestinationMisconfiguredError, match=sentence):
        adapter.send(upserts(list(adapter.records(_people(1)))))


def test_an_answer_that_never_came_is_sent_again_to_the_same_end(salesforce: Salesforce, url: str) -> None:
    adapter = _opened(salesforce, url)
    changes = upserts(list(adapter.records(_people(3))))
    salesforce.faults = [None, "lost", "cut"]
    for _ in range(2):
        with pytest.raises(DestinationUnavailableError) as lost:
            adapter.send(changes)
        assert lost.value.may_be_applied
    assert set(statuses(adapter.send(changes))) == {"accepted"}
    assert len(salesforce.contacts) == 3
