"""Meta Custom Audiences against a stand-in over HTTP: hashes, removals, limits, rights, and what is said of single rows."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from activation.destinations.advertising import HELD_BY_OTHERS
from activation.destinations.meta import Meta
from activation.fake_destinations.meta import APP_SECRET, AUDIENCE, TOKEN
from activation.fake_destinations.meta import Meta as FakeMeta
from activation.fake_destinations.vendor import Reply
from activation.syncs.contract import DestinationMisconfiguredError, DestinationUnavailableError
from tests.activation.advertising.driven import Driver, StandingClock, members, opened

ENTRY: dict[str, Any] = {
    "name": "meta_ads", "type": "meta", "purposes": ["advertising", "sharing"], "api_url": "{url}",
    "access_token": {"env": "META_TOKEN"}, "audience_ids": {"lapsed": AUDIENCE}, "fields": {"EMAIL": "email", "PHONE": "phone"},
}  # fmt: skip
SECRETS = {"META_TOKEN": TOKEN, "META_SECRET": APP_SECRET}
JOHN = {"customer_id": "c1", "email": "john_smith@gmail.com", "phone": "+16505551212"}
CLOUDY = {"customer_id": "c2", "email": "cloudy.sanfrancisco+shopping@gmail.com", "phone": "+18005550110"}
DANA = {"customer_id": "c3", "email": "dana@example.com"}
NOBODY = {"customer_id": "c9", "email": None, "phone": "not a number"}


@pytest.fixture
def vendor() -> FakeMeta:
    return FakeMeta(StandingClock())


@pytest.fixture
def driver(vendor: FakeMeta) -> Iterator[Driver]:
    with opened(vendor, SECRETS, ENTRY) as adapter:
        yield Driver(adapter)


def people(vendor: FakeMeta) -> set[str]:
    return vendor.people[AUDIENCE]


def test_members_are_found_by_hashes_that_are_metas(vendor: FakeMeta, driver: Driver) -> None:
    assert driver.run(members(JOHN, CLOUDY, DANA, NOBODY)) == {"accepted": 3}
    assert people(vendor) == {"John", "Cloudy", "Dana"}


def test_the_stand_in_finds_out_hashes_that_are_googles(vendor: FakeMeta) -> None:
    # the same people, hashed as Google wants them: every row is refused, and nobody is in
    from activation.destinations.hashing import RULES, identifier

    google = RULES["google-2"]
    with opened(vendor, SECRETS, ENTRY) as adapter:
        assert isinstance(adapter, Meta)
        wrong = [
            {
                "EMAIL": identifier(google["email"], person["email"]),
                "PHONE": identifier(google["phone"], person["phone"]),
            }
            for person in (JOHN, CLOUDY)
        ]
        driver = Driver(adapter)
        changes = [driver._change(str(row), "c", {"identifiers": told}) for row, told in enumerate(wrong)]
        assert [outcome.status for outcome in adapter.send(changes)] == ["refused", "refused"]
    assert people(vendor) == set()


def test_a_new_email_takes_the_old_one_out_and_nobody_else(vendor: FakeMeta, driver: Driver) -> None:
    driver.run(members(JOHN, DANA))
    driver.run(members({**JOHN, "email": "dana@example.com"}, DANA))
    held = {value for _, value in vendor.audiences[AUDIENCE]}
    assert "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f" not in held
    assert people(vendor) == {"John", "Dana"}


def test_a_change_between_two_addresses_of_one_person_keeps_the_person_in(vendor: FakeMeta, driver: Driver) -> None:
    driver.run(members(DANA))
    driver.run(members({**DANA, "email": "danam@example.com"}))
    assert people(vendor) == {"Dana"}


def test_who_cannot_be_found_is_not_sent(vendor: FakeMeta) -> None:
    with opened(vendor, SECRETS, {**ENTRY, "fields": {"EMAIL": "email", "COUNTRY": "country"}}) as adapter:
        assert Driver(adapter).run(members({"customer_id": "c1", "country": "US"})) == {}
    assert vendor.calls == []


def test_who_leaves_is_taken_out_without_the_person_being_known(vendor: FakeMeta, driver: Driver) -> None:
    driver.run(members(JOHN, CLOUDY))
    assert driver.run(members(CLOUDY)) == {"accepted": 1}
    assert people(vendor) == {"Cloudy"}
    assert not any("@" in key or "+" in key for key in driver.told)


def test_customers_with_the_same_identifiers_are_one_record_until_the_last_leaves(
    vendor: FakeMeta, driver: Driver
) -> None:
    twin = {**JOHN, "customer_id": "c8"}
    assert driver.run(members(JOHN, twin)) == {"accepted": 1}
    assert driver.run(members(twin)) == {}
    assert people(vendor) == {"John"}
    driver.run(members(DANA))
    assert people(vendor) == {"Dana"}


def test_a_removal_spares_what_another_member_holds(vendor: FakeMeta, driver: Driver) -> None:
    family = {"customer_id": "c7", "email": JOHN["email"], "phone": "+4917112345678"}
    driver.run(members(JOHN, family))
    driver.run(members(family))
    assert people(vendor) == {"John"}
    fields = [json.loads(call.form["payload"])["schema"] for call in vendor.calls if call.method == "DELETE"]
    assert fields == [["PHONE"]]
    # nothing of this one is its own: Meta is not even asked
    shared = {"customer_id": "c6", "email": JOHN["email"]}
    driver.run(members(family, shared))
    calls = len(vendor.calls)
    assert driver.run(members(family)) == {"accepted": 1}
    assert len(vendor.calls) == calls and HELD_BY_OTHERS in {outcome.words for outcome in driver.told.values()}


def test_further_fields_go_along_and_unhashed_ones_are_agreed_to(vendor: FakeMeta) -> None:
    fields = {
        "EMAIL": "email",
        "FN": "first",
        "DOBY": "born",
        "COUNTRY": "country",
        "EXTERN_ID": "customer_id",
        "MADID": "device",
    }
    entry = {**ENTRY, "fields": fields, "keep_in_ledger": ["MADID"]}
    person = {**JOHN, "first": "John", "born": 1990, "country": "US", "device": "AECE52E7-03EE-455A-B3C4-E57283966239"}
    with opened(vendor, SECRETS, entry) as adapter:
        driver = Driver(adapter)
        driver.run(members(person))
        payload = json.loads(vendor.calls[-1].form["payload"])
        assert payload["schema"] == list(fields)
        assert payload["data"][0][4:] == ["c1", "aece52e7-03ee-455a-b3c4-e57283966239"]
        assert driver.run(members(DANA | {"first": None, "born": None, "country": "US", "device": None})) == {
            "accepted": 2
        }
    # the whole row went out again, with the country that another member has as well
    removed = next(json.loads(call.form["payload"]) for call in vendor.calls if call.method == "DELETE")
    assert sorted(removed["schema"]) == sorted(fields)
    assert people(vendor) == {"Dana"}


def test_a_lost_answer_is_a_repetition_without_effect(vendor: FakeMeta, driver: Driver) -> None:
    vendor.faults = ["lost"]
    with pytest.raises(DestinationUnavailableError) as caught:
        driver.run(members(JOHN, CLOUDY))
    assert caught.value.may_be_applied and people(vendor) == {"John", "Cloudy"}
    driver.run(members(JOHN, CLOUDY))
    assert people(vendor) == {"John", "Cloudy"} and len(driver.accepted) == 2


def test_a_failure_after_the_removals_keeps_their_outcome(vendor: FakeMeta, driver: Driver) -> None:
    driver.run(members(JOHN))
    vendor.faults = [None, Reply(503, b"")]
    assert driver.run(members(DANA)) == {"retry": 1, "accepted": 1}
    assert driver.run(members(DANA)) == {"accepted": 1}
    assert people(vendor) == {"Dana"}


def test_metas_limit_says_when_it_lets_in_again(vendor: FakeMeta) -> None:
    limited = FakeMeta(vendor.clock, most_calls=1)
    with opened(limited, SECRETS, ENTRY) as adapter:
        driver = Driver(adapter)
        driver.run(members(JOHN))
        with pytest.raises(DestinationUnavailableError, match="code 80003") as caught:
            driver.run(members(JOHN, DANA))
    assert caught.value.retry_after == 300 and not caught.value.may_be_applied


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"token": "other"}, "META_TOKEN"),
        ({"are_terms_accepted": False}, "accept the terms.*|Custom Audience Terms Not Accepted"),
        ({"needs_proof": True}, "cannot take the request"),
        ({"audiences": {}}, "audience_ids"),
    ],
    ids=["token", "terms", "proof", "audience"],
)
def test_what_a_person_has_to_mend_stops_the_sync(
    vendor: FakeMeta, driver: Driver, change: dict[str, Any], told: str
) -> None:
    vars(vendor).update(change)
    with pytest.raises(DestinationMisconfiguredError, match=told) as caught:
        driver.run(members(JOHN))
    assert TOKEN not in str(caught.value) and "john" not in str(caught.value)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(400, {"error": {"code": 2, "message": "Service temporarily unavailable"}}), DestinationUnavailableError),
        (Reply(403, {"error": {"code": 17, "message": "User request limit reached"}}), DestinationUnavailableError),
        (Reply(400, {"error": {"code": 3000, "is_transient": True}}), DestinationUnavailableError),
        (Reply(500, b"<html>"), DestinationUnavailableError),
        (Reply(302, b"", {"Location": "https://elsewhere.example"}), DestinationUnavailableError),
        (Reply(200, b"<html>a login page"), DestinationUnavailableError),
        (Reply(200, {"num_received": 0, "num_invalid_entries": 0}), DestinationUnavailableError),
        (
            Reply(400, {"error": {"code": 2655, "message": "Terms of service has not been accepted"}}),
            DestinationMisconfiguredError,
        ),
        (
            Reply(400, {"error": {"code": 100, "error_user_title": "Audience Upload Blocked"}}),
            DestinationMisconfiguredError,
        ),
        (Reply(400, {"error": "text"}), DestinationUnavailableError),
        ("cut", DestinationUnavailableError),
    ],
    ids=[
        "passing",
        "limit-17",
        "transient",
        "500",
        "redirect",
        "html",
        "nothing-received",
        "terms",
        "blocked",
        "odd",
        "cut",
    ],
)
def test_an_answer_that_took_nothing_is_no_acceptance(
    vendor: FakeMeta, driver: Driver, reply: Reply | str, error: type[Exception]
) -> None:
    vendor.faults = [reply]
    with pytest.raises(error):
        driver.run(members(JOHN))
    assert driver.accepted == {}


def test_only_rows_that_a_sample_names_are_refused(vendor: FakeMeta, driver: Driver) -> None:
    john, dana = (record.key for record in driver.adapter.records(members(JOHN, DANA)))
    vendor.unusable = {john.partition("EMAIL=")[2].partition(";")[0]}
    assert driver.run(members(JOHN, DANA)) == {"refused": 1, "accepted": 1}
    assert driver.told[john].words == "Meta could not use it: unusable"
    assert driver.told[dana].words is None


def test_of_what_no_sample_names_nobody_is_said_to_be_the_one(vendor: FakeMeta, driver: Driver) -> None:
    john, _ = (record.key for record in driver.adapter.records(members(JOHN, DANA)))
    vendor.unusable = {john.partition("EMAIL=")[2].partition(";")[0]}
    vendor.samples = 0
    assert driver.run(members(JOHN, DANA)) == {"accepted": 2}
    assert {outcome.words for outcome in driver.told.values()} == {
        "Meta could not use 1 of 2 entries and did not say which"
    }


def test_a_sample_that_could_be_any_row_refuses_none(vendor: FakeMeta) -> None:
    american = "79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"
    counts = {"num_received": 2, "num_invalid_entries": 1, "invalid_entry_samples": {american: "unusable"}}
    vendor.faults = [Reply(200, counts)]
    with opened(vendor, SECRETS, {**ENTRY, "fields": {"EMAIL": "email", "COUNTRY": "country"}}) as adapter:
        driver = Driver(adapter)
        assert driver.run(members({**JOHN, "country": "US"}, {**DANA, "country": "US"})) == {"accepted": 2}
    assert {outcome.words for outcome in driver.told.values()} == {
        "Meta could not use 1 of 2 entries and did not say which"
    }


def test_a_large_batch_is_split_by_bytes_in_one_session(vendor: FakeMeta) -> None:
    crowd = members(*({"customer_id": f"c{n}", "email": f"n{n}@example.com"} for n in range(1000)))
    with opened(vendor, SECRETS, {**ENTRY, "most_request_bytes": 20_000}) as adapter:
        assert Driver(adapter).run(crowd) == {"accepted": 1000}
    assert len(vendor.audiences[AUDIENCE]) == 1000
    assert len(vendor.calls) > 3 and max(len(call.body) for call in vendor.calls) < 40_000
    (session,) = vendor.sessions.values()
    assert [part["batch_seq"] for part in session] == list(range(1, len(vendor.calls) + 1))
    assert [part["last_batch_flag"] for part in session] == [False] * (len(session) - 1) + [True]


def test_a_request_has_ten_thousand_users_at_most(vendor: FakeMeta) -> None:
    crowd = members(*({"customer_id": f"c{n}", "email": f"n{n}@example.com"} for n in range(10_001)))
    with opened(vendor, SECRETS, {**ENTRY, "most_request_bytes": 20_000_000}) as adapter:
        assert Driver(adapter).run(crowd) == {"accepted": 10_001}
    assert [len(json.loads(call.form["payload"])["data"]) for call in vendor.calls] == [10_000, 1]


def test_the_token_is_in_no_url_and_the_proof_is_the_apps(vendor: FakeMeta, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    vendor.needs_proof = True
    with opened(vendor, SECRETS, {**ENTRY, "app_secret": {"env": "META_SECRET"}}) as adapter:
        Driver(adapter).run(members(JOHN))
    assert people(vendor) == {"John"}
    assert TOKEN not in caplog.text and "john" not in caplog.text
    assert all(TOKEN not in call.path and not call.query for call in vendor.calls)


def test_an_audience_without_an_id_is_told(vendor: FakeMeta, tmp_path: Path) -> None:
    with pytest.raises(DestinationMisconfiguredError, match="add it to audience_ids"):  # noqa: SIM117
        with opened(vendor, SECRETS, ENTRY, audience="vip", folder=tmp_path):
            pass
    assert vendor.calls == []
