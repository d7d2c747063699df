"""Google Customer Match against a stand-in over HTTP: tokens, hashes, whole requests refused for single rows, limits and terms."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from activation.destinations.google import Google
from activation.fake_destinations.google import (
    ACCOUNT,
    AUDIENCE,
    CLIENT_ID,
    CLIENT_SECRET,
    LOGIN_ACCOUNT,
    REFRESH_TOKEN,
)
from activation.fake_destinations.google import Google as FakeGoogle
from activation.fake_destinations.vendor import Reply
from activation.syncs.contract import DestinationMisconfiguredError, DestinationUnavailableError
from tests.activation.advertising.driven import Driver, StandingClock, members, opened

SECRETS = {"GOOGLE_REFRESH": REFRESH_TOKEN, "GOOGLE_ID": CLIENT_ID, "GOOGLE_SECRET": CLIENT_SECRET}
ENTRY: dict[str, Any] = {
    "name": "google_ads", "type": "google", "purposes": ["sharing", "advertising", "analytics"], "api_url": "{url}",
    "token_url": "{url}/token", "account_id": ACCOUNT, "audience_ids": {"lapsed": AUDIENCE},
    "accepted_terms": "customer-match", "fields": {"email": "email", "phone": "phone"},
    "refresh_token": {"env": "GOOGLE_REFRESH"}, "client_id": {"env": "GOOGLE_ID"}, "client_secret": {"env": "GOOGLE_SECRET"},
}  # fmt: skip
ADDRESS = {"given_name": "first", "family_name": "last", "region_code": "country", "postal_code": "zip"}
JOHN = {"customer_id": "c1", "email": "john_smith@gmail.com", "phone": "+16505551212"}
CLOUDY = {"customer_id": "c2", "email": "cloudy.sanfrancisco+shopping@gmail.com", "phone": "+18005550110"}
DANA = {"customer_id": "c3", "email": "dana@example.com"}


@pytest.fixture
def vendor() -> FakeGoogle:
    return FakeGoogle(StandingClock())


@pytest.fixture
def driver(vendor: FakeGoogle) -> Iterator[Driver]:
    with opened(vendor, SECRETS, ENTRY) as adapter:
        yield Driver(adapter)


def people(vendor: FakeGoogle) -> set[str]:
    return vendor.people[AUDIENCE]


def hashed(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def test_members_are_found_by_hashes_that_are_googles(vendor: FakeGoogle, driver: Driver) -> None:
    assert driver.run(members(JOHN, CLOUDY, DANA, {"customer_id": "c9"})) == {"accepted": 3}
    assert people(vendor) == {"John", "Cloudy", "Dana"}
    assert {(outcome.words, outcome.remote_id) for outcome in driver.told.values()} == {(None, "fake-2")}
    sent = vendor.calls[-1].json
    assert sent["consent"] == {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"}
    assert sent["destinations"][0]["operatingAccount"] == {"accountType": "GOOGLE_ADS", "accountId": ACCOUNT}
    assert (
        hashed("+18005550110") in vendor.audiences[AUDIENCE] and hashed("18005550110") not in vendor.audiences[AUDIENCE]
    )


def test_the_older_rule_for_gmail_is_found_out_by_the_stand_in(vendor: FakeGoogle) -> None:
    with opened(vendor, SECRETS, {**ENTRY, "normalisation": "google-1", "fields": {"email": "email"}}) as adapter:
        assert Driver(adapter).run(members(JOHN, CLOUDY)) == {"accepted": 2}
    # another hash than the one by which Google finds her
    assert people(vendor) == {"John"}


def test_who_leaves_is_removed_without_the_person_being_known(vendor: FakeGoogle, driver: Driver) -> None:
    driver.run(members(JOHN, CLOUDY))
    driver.run(members(CLOUDY))
    assert people(vendor) == {"Cloudy"}
    assert set(vendor.calls[-1].json) == {"destinations", "audienceMembers", "encoding", "validateOnly"}


def test_a_change_between_two_addresses_of_one_person_keeps_the_person_in(vendor: FakeGoogle, driver: Driver) -> None:
    driver.run(members(DANA))
    driver.run(members({**DANA, "email": "danam@example.com"}))
    assert people(vendor) == {"Dana"}


def test_an_address_is_one_identifier_of_four_parts(vendor: FakeGoogle) -> None:
    parts = ["first", "last", "country", "zip"]
    home = dict(zip(parts, ["Mrs. Ann", "King Jr.", "us", "94043"], strict=True))
    twin = {"customer_id": "c5", **home}
    entry = {**ENTRY, "fields": {"email": "email", **ADDRESS}, "keep_in_ledger": ["region_code", "postal_code"]}
    with opened(vendor, SECRETS, entry) as adapter:
        driver = Driver(adapter)
        assert driver.run(members({**DANA, **home}, {**JOHN, **home, "zip": "1"}, twin)) == {"accepted": 3}
        address = f"{hashed('ann')}/{hashed('king')}/US/94043"
        assert {address, hashed("dana@example.com"), hashed("john_smith@gmail.com")} == vendor.audiences[AUDIENCE]
        # the twin still lives there
        driver.run(members(twin))
        assert vendor.audiences[AUDIENCE] == {address}
        driver.run(members(JOHN | dict.fromkeys(parts)))
        assert vendor.audiences[AUDIENCE] == {hashed("john_smith@gmail.com")}


def test_rows_that_google_names_are_refused_and_the_others_go_again(vendor: FakeGoogle, driver: Driver) -> None:
    crowd = [{"customer_id": f"c{n}", "email": f"n{n}@example.com"} for n in range(500)]
    bad = {f"email={hashed(f'n{n}@example.com')}" for n in range(0, 500, 3)}
    vendor.unusable = {key.removeprefix("email=") for key in bad}
    assert driver.run(members(*crowd)) == {"refused": len(bad), "accepted": 500 - len(bad)}
    assert {key for key, outcome in driver.told.items() if outcome.status == "refused"} == bad
    assert driver.told[min(bad)].words == "invalid sha256 format: The SHA256 encoded value is malformed."
    assert len(vendor.audiences[AUDIENCE]) == 500 - len(bad)
    # a hundred violations at most are told at once: two refusals, then what is left
    assert len(vendor.calls) == 1 + 3


def test_both_spellings_of_where_it_is_wrong_are_understood(vendor: FakeGoogle, driver: Driver) -> None:
    # developers.google.com/data-manager/api/get-started/quickstart/send-audience-members, and rudder-transformer's recorded answer
    for field in (
        "audience_members.audience_members[1].user_data.user_identifiers",
        "audience_members[1]",
        "audienceMembers[1].userData",
    ):
        violation = {"field": field, "description": "Email is not hex encoded.", "reason": "INVALID_HEX_ENCODING"}
        detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
        refusal = Reply(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [detail]}})
        vendor.faults = [*([] if vendor.tokens else [None]), refusal]
        driver.accepted.clear()
        driver.run(members(JOHN, DANA))
        assert [key for key, outcome in driver.told.items() if outcome.status == "refused"] == [
            f"email={hashed('dana@example.com')}"
        ]


def test_what_is_said_of_the_list_is_no_fault_of_a_row(vendor: FakeGoogle, driver: Driver) -> None:
    # rudder-transformer test/integrations/destinations/google_adwords_remarketing_lists: told of row 0, and means the list
    violation = {
        "field": "audience_members[0]",
        "reason": "INVALID_USER_LIST_TYPE",
        "description": "Type of the user list…",
    }
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [violation]}
    vendor.faults = [None, Reply(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [detail]}})]
    with pytest.raises(DestinationMisconfiguredError, match="INVALID_USER_LIST_TYPE"):
        driver.run(members(JOHN, DANA))


def test_an_answer_too_long_to_be_read_is_asked_for_in_halves(vendor: FakeGoogle, driver: Driver) -> None:
    crowd = members(*({"customer_id": f"c{n}", "email": f"n{n}@example.com"} for n in range(10)))
    vendor.faults = [None, Reply(400, b'{"error": {"details": [' + b" " * (3 << 20))]
    assert driver.run(crowd) == {"accepted": 10}
    assert [len(call.json["audienceMembers"]) for call in vendor.calls[1:]] == [10, 5, 5]


def test_rows_that_are_refused_one_after_the_other_come_to_an_end(vendor: FakeGoogle, driver: Driver) -> None:
    crowd = [{"customer_id": f"c{n}", "email": f"n{n}@example.com"} for n in range(80)]
    first = {"field": "audience_members[0]", "reason": "INVALID_HEX_ENCODING"}
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [first]}
    vendor.faults = [
        None,
        *[Reply(400, {"error": {"code": 400, "status": "INVALID_ARGUMENT", "details": [detail]}})] * 80,
    ]
    assert driver.run(members(*crowd)) == {"refused": 50, "retry": 30}


def test_a_warning_is_told_and_accepted(vendor: FakeGoogle, driver: Driver) -> None:
    vendor.warned = {hashed("dana@example.com")}
    assert driver.run(members(JOHN, DANA)) == {"accepted": 2}
    told = driver.told[f"email={hashed('dana@example.com')}"]
    assert (told.words, told.remote_id) == ("Google did not use all of it: An optional part was not used.", "fake-2")


def test_a_token_that_ended_is_renewed_once(vendor: FakeGoogle, driver: Driver) -> None:
    driver.run(members(JOHN))
    vendor.tokens = dict.fromkeys(vendor.tokens, 0.0)
    driver.run(members(JOHN, DANA))
    assert people(vendor) == {"John", "Dana"} and len(vendor.tokens) == 2
    vendor.clock.pass_by(3600)  # type: ignore[attr-defined]
    driver.run(members(DANA))
    assert people(vendor) == {"Dana"} and [call.path for call in vendor.calls].count("/token") == 3


def test_a_service_account_signs_for_its_token(vendor: FakeGoogle) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    vendor.public_key = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    account = {
        "client_email": "weft@project.iam.gserviceaccount.com",
        "private_key_id": "k1",
        "private_key": pem,
        "token_uri": "https://x/t",
    }
    entry = {
        name: value for name, value in ENTRY.items() if name not in ("refresh_token", "client_id", "client_secret")
    }
    entry["service_account"] = {"env": "GOOGLE_KEY"}
    with opened(vendor, {"GOOGLE_KEY": json.dumps(account)}, entry) as adapter:
        assert Driver(adapter).run(members(JOHN)) == {"accepted": 1}
    vendor.public_key = None
    refused = pytest.raises(DestinationMisconfiguredError, match="invalid_grant")
    with opened(vendor, {"GOOGLE_KEY": json.dumps(account)}, entry) as adapter, refused:
        Driver(adapter).run(members(DANA))
    with pytest.raises(DestinationMisconfiguredError, match="GOOGLE_KEY does not hold"):  # noqa: SIM117
        with opened(vendor, {"GOOGLE_KEY": '{"private_key": "x"}'}, entry):
            pass


def test_a_lost_answer_is_a_repetition_without_effect(vendor: FakeGoogle, driver: Driver) -> None:
    vendor.faults = [None, "lost"]
    with pytest.raises(DestinationUnavailableError):
        driver.run(members(JOHN, CLOUDY))
    assert people(vendor) == {"John", "Cloudy"}
    assert driver.run(members(JOHN, CLOUDY)) == {"accepted": 2}
    assert people(vendor) == {"John", "Cloudy"}


def test_a_limit_says_how_long(vendor: FakeGoogle) -> None:
    limited = FakeGoogle(vendor.clock, most_calls=1)
    with opened(limited, SECRETS, ENTRY) as adapter:
        driver = Driver(adapter)
        driver.run(members(JOHN))
        with pytest.raises(DestinationUnavailableError) as caught:
            driver.run(members(JOHN, DANA))
    assert caught.value.retry_after == 30 and not caught.value.may_be_applied


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"is_grant_revoked": True}, "no access token .invalid_grant."),
        ({"are_terms_signed": False}, "accept the terms of Customer Match"),
        ({"audiences": {}}, "INVALID_USER_LIST_ID"),
    ],
    ids=["grant", "terms", "list"],
)
def test_what_a_person_has_to_mend_stops_the_sync(
    vendor: FakeGoogle, driver: Driver, change: dict[str, Any], told: str
) -> None:
    vars(vendor).update(change)
    with pytest.raises(DestinationMisconfiguredError, match=told) as caught:
        driver.run(members(JOHN))
    assert not any(
        secret in str(caught.value) for secret in (*SECRETS.values(), "john", hashed("john_smith@gmail.com"))
    )


def test_another_account_is_refused_and_a_manager_may_log_in(vendor: FakeGoogle) -> None:
    refused = pytest.raises(DestinationMisconfiguredError, match="PERMISSION_DENIED")
    with opened(vendor, SECRETS, {**ENTRY, "account_id": "1"}) as adapter, refused:
        Driver(adapter).run(members(JOHN))
    with opened(vendor, SECRETS, {**ENTRY, "login_account_id": LOGIN_ACCOUNT}) as adapter:
        assert Driver(adapter).run(members(JOHN)) == {"accepted": 1}


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(500, {"error": {"code": 500, "status": "INTERNAL"}}), DestinationUnavailableError),
        (Reply(409, {"error": {"code": 409, "status": "ABORTED"}}), DestinationUnavailableError),
        (Reply(503, b"<html>"), DestinationUnavailableError),
        (Reply(200, b"<html>a login page"), DestinationUnavailableError),
        (Reply(200, {}), DestinationUnavailableError),
        (Reply(404, b"<html>"), DestinationMisconfiguredError),
        (Reply(400, {"error": {"details": [{"fieldViolations": "x"}, 7]}}), DestinationMisconfiguredError),
        ("cut", DestinationUnavailableError),
    ],
    ids=["500", "409", "503", "html", "empty", "404", "odd", "cut"],
)
def test_an_answer_that_took_nothing_is_no_acceptance(
    vendor: FakeGoogle, driver: Driver, reply: Reply | str, error: type[Exception]
) -> None:
    vendor.faults = [None, reply]
    with pytest.raises(error):
        driver.run(members(JOHN))
    assert driver.accepted == {}


def test_a_check_changes_nothing(vendor: FakeGoogle, driver: Driver) -> None:
    assert isinstance(driver.adapter, Google)
    vendor.unusable = {hashed("dana@example.com")}
    outcomes = driver.adapter.check(driver.plan(members(JOHN, DANA)))
    assert [outcome.status for outcome in outcomes] == ["accepted", "refused"]
    assert vendor.audiences[AUDIENCE] == set() and vendor.state()["only_validated"] == 1
