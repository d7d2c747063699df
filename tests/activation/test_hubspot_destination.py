"""HubSpot as a destination: contacts by e-mail or by a property of one's own, rows that fail alone, limits, removals."""

from collections.abc import Iterator

import pytest

from activation.fake_destinations.hubspot import TOKEN, HubSpot
from activation.fake_destinations.vendor import Reply
from activation.syncs.contract import DestinationMisconfiguredError, DestinationUnavailableError
from tests.activation.destinations import members, opened, removals, statuses, upserts
from tests.fakes.vendor import FakeClock

SETTINGS = {"type": "hubspot", "token": {"env": "TOKEN"}, "membership": "weft_member", "fields": {"city": "city"}}


@pytest.fixture
def hubspot() -> HubSpot:
    return HubSpot(FakeClock())


@pytest.fixture
def url(hubspot: HubSpot) -> Iterator[str]:
    with hubspot.serving() as url:
        yield url


def _opened(hubspot: HubSpot, url: str, **more: object):
    return opened({**SETTINGS, "url": url, **more}, hubspot.clock, {"TOKEN": TOKEN})  # type: ignore[arg-type]


def test_a_contact_is_made_once_and_leaves_with_its_property_only(hubspot: HubSpot, url: str) -> None:
    adapter = _opened(hubspot, url)
    records = list(
        adapter.records(members(email=["Ada@Example.com", None, "bo@example.com"], city=["Kiel", "Ulm", None]))
    )
    assert [record.customer_id for record in records] == ["c0", "c2"]
    assert not any("@" in record.key for record in records)
    first = adapter.send(upserts(records))
    assert statuses(first) == ["accepted", "accepted"]
    assert adapter.send(upserts(records)) == first
    ids = {record.key: outcome.remote_id for record, outcome in zip(records, first, strict=True)}
    assert statuses(adapter.send(removals([records[0].key], ids))) == ["accepted"]
    assert sorted(hubspot.contacts.values(), key=lambda each: each["email"]) == [
        {"email": "ada@example.com", "city": "Kiel", "weft_member": "false"},
        {"email": "bo@example.com", "city": "", "weft_member": "true"},
    ]


@pytest.mark.parametrize("multi_status", [True, False], ids=["rows of a 207", "400 for all of them"])
def test_a_bad_row_costs_nobody_else_anything(hubspot: HubSpot, url: str, multi_status: bool) -> None:
    hubspot.multi_status = multi_status
    adapter = _opened(hubspot, url)
    emails = [f"p{number}@example.com" for number in range(100)]
    emails[41], emails[77] = "p41@nowhere", "not an address"
    outcomes = adapter.send(upserts(list(adapter.records(members(email=emails, city=["Kiel"] * 100)))))
    assert [number for number, status in enumerate(statuses(outcomes)) if status == "refused"] == [41, 77]
    assert "INVALID_EMAIL" in str(outcomes[41].words)
    assert len(hubspot.contacts) == 98
    assert {contact["weft_member"] for contact in hubspot.contacts.values()} == {"true"}
    remote_ids = [outcome.remote_id for outcome in outcomes if outcome.remote_id]
    assert sorted(remote_ids) == sorted(hubspot.contacts)


def test_every_row_is_told_its_own_fate_without_trace_ids_in_the_answer(hubspot: HubSpot, url: str) -> None:
    adapter = _opened(hubspot, url)
    records = list(adapter.records(members(email=["a@example.com", "B@example.com"], city=["x", "y"])))
    results = [
        {"id": "9", "properties": {"email": "b@example.com"}},
        {"id": "8", "properties": {"email": "a@example.com"}},
    ]
    hubspot.faults = [
        Reply(200, {"status": "COMPLETE", "results": results}),
        Reply(200, {"status": "COMPLETE", "results": []}),
    ]
    assert [outcome.remote_id for outcome in adapter.send(upserts(records))] == ["8", "9"]
    unknown = adapter.send(upserts(records))
    assert [(outcome.status, outcome.may_be_applied) for outcome in unknown] == [("retry", True)] * 2


def test_a_missing_property_is_named(hubspot: HubSpot, url: str) -> None:
    adapter = _opened(hubspot, url, membership="weft_{audience}")
    records = list(adapter.records(members(email=["a@example.com"], city=["Kiel"])))
    with pytest.raises(DestinationMisconfiguredError, match="no contact property weft_high_value; create it"):
        adapter.send(upserts(records))
    hubspot.properties["weft_high_value"] = "bool"
    assert statuses(adapter.send(upserts(records))) == ["accepted"]


def test_an_id_property_that_is_not_unique_is_named(hubspot: HubSpot, url: str) -> None:
    adapter = _opened(hubspot, url, id_property="lastname", id_column="customer_id")
    with pytest.raises(DestinationMisconfiguredError, match="lastname does not require unique values"):
        adapter.send(upserts(list(adapter.records(members(city=["Kiel"])))))


def test_who_leaves_is_found_by_key_where_hubspot_never_told_an_id(hubspot: HubSpot, url: str) -> None:
    by_email = _opened(hubspot, url)
    records = list(by_email.records(members(email=["a@example.com"], city=["Kiel"])))
    assert statuses(by_email.send(removals([records[0].key], {}))) == ["refused"]
    keyed = _opened(hubspot, url, key_property="weft_customer_id")
    hubspot.faults = ["lost"]
    with pytest.raises(DestinationUnavailableError):
        keyed.send(upserts(records))
    assert statuses(keyed.send(removals([records[0].key, "never there"], {}))) == ["accepted", "accepted"]
    assert [contact["weft_member"] for contact in hubspot.contacts.values()] == ["false"]


def test_a_contact_that_was_deleted_is_gone_as_wanted(hubspot: HubSpot, url: str) -> None:
    adapter = _opened(hubspot, url)
    records = list(adapter.records(members(email=["a@example.com", "b@example.com"], city=["x", "y"])))
    outcomes = adapter.send(upserts(records))
    ids = {record.key: outcome.remote_id for record, outcome in zip(records, outcomes, strict=True)}
    del hubspot.contacts[str(outcomes[0].remote_id)]
    assert statuses(adapter.send(removals(list(ids), ids))) == ["accepted", "accepted"]


@pytest.mark.parametrize(("policy", "wait"), [("TEN_SECONDLY_ROLLING", 1.0), ("DAILY", 3600.0)])
def test_a_limit_says_how_long_to_wait_and_that_nothing_was_taken(
    hubspot: HubSpot, url: str, policy: str, wait: float
) -> None:
    adapter = _opened(hubspot, url)
    changes = upserts(list(adapter.records(members(email=["a@example.com"], city=["Kiel"]))))
    if policy == "DAILY":
        hubspot.daily_limit = 0
    else:
        for _ in range(100):
            adapter.send(changes)
    with pytest.raises(DestinationUnavailableError) as refused:
        adapter.send(changes)
    assert (refused.value.retry_after, refused.value.may_be_applied) == (wait, False)
    assert not str(refused.value).count("@")


def test_a_wrong_token_is_a_persons_to_mend(hubspot: HubSpot, url: str) -> None:
    adapter = opened({**SETTINGS, "url": url}, hubspot.clock, {"TOKEN": "wrong"})  # type: ignore[arg-type]
    with pytest.raises(DestinationMisconfiguredError) as refused:
        adapter.send(upserts(list(adapter.records(members(email=["a@example.com"], city=["Kiel"])))))
    assert "wrong" not in str(refused.value)


def test_a_limit_between_two_halves_leaves_open_what_was_taken(hubspot: HubSpot, url: str) -> None:
    adapter = _opened(hubspot, url)
    changes = upserts(list(adapter.records(members(email=["a@example.com", "b@example.com"], city=["x", "y"]))))
    hubspot.faults = [Reply(400, {"category": "VALIDATION_ERROR"}), None, Reply(429, {}, {"Retry-After": "7"})]
    with pytest.raises(DestinationUnavailableError) as refused:
        adapter.send(changes)
    assert (refused.value.retry_after, refused.value.may_be_applied) == (7.0, True)
