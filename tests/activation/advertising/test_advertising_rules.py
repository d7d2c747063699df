"""What destinations.yml may not say of an advertising destination, and what the stand-ins refuse as the vendors would."""

import json
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from activation.destinations.google import GoogleConfig
from activation.destinations.meta import MetaConfig
from activation.fake_destinations.google import ACCOUNT, CLIENT_ID, CLIENT_SECRET, REFRESH_TOKEN
from activation.fake_destinations.google import Google as FakeGoogle
from activation.fake_destinations.meta import AUDIENCE, TOKEN
from activation.fake_destinations.meta import Meta as FakeMeta
from tests.activation.advertising import test_google, test_meta
from tests.activation.advertising.driven import StandingClock


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"purposes": ["advertising"]}, "add sharing to purposes"),
        ({"purposes": ["analytics"]}, "add advertising and sharing"),
        ({"fields": {"FN": "first"}}, "at least one of EMAIL, MADID, PHONE"),
        ({"fields": {"EMAIL": "email", "NAME": "name"}}, "fields has NAME"),
        ({"fields": {"EMAIL": "email", "MADID": "device"}}, r"keep_in_ledger: \[MADID\]"),
        ({"fields": {"EMAIL": "email", "EXTERN_ID": "user_id"}}, "EXTERN_ID is sent unhashed"),
        ({"audience_ids": {"lapsed": "1", "vip": "1"}}, "one id"),
        ({"audience_ids": {"lapsed": "../1"}}, "audience_ids"),
        ({"access_token": "EAAplain"}, "access_token"),
        ({"api_version": "25"}, "api_version"),
    ],
)
def test_a_meta_destination_that_may_not_be_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        MetaConfig.model_validate({**test_meta.ENTRY, "api_url": "https://graph.facebook.com", **change})


def test_the_stand_in_refuses_what_meta_would(clock: StandingClock) -> None:
    vendor, hashed = FakeMeta(clock), "0" * 64
    payload = {"schema": ["EMAIL"], "data": [[hashed]]}
    with vendor.serving() as url:
        users = f"{url}/v25.0/{AUDIENCE}/users"

        def code(where: str = users, **changed: Any) -> int:
            form = {"access_token": TOKEN, "payload": json.dumps({**payload, **changed})}
            answer = httpx.post(where, data=form).json()
            return answer["error"]["code"] if "error" in answer else 0

        assert code() == 0
        assert code(schema=["EMAIL", "PHONE"]) == 100
        assert code(data=[[hashed]] * 10_001) == 100
        assert code(data=[["plain@example.com"]]) == 100
        assert code(f"{users}?access_token={TOKEN}") == 100
        assert code(f"{url}/v2.3/{AUDIENCE}/users") == 2635
        told = httpx.post(
            users, data={"access_token": TOKEN, "payload": json.dumps({**payload, "data": [[hashed.upper() + "A"]]})}
        )
        assert told.json()["num_invalid_entries"] == 1
        assert httpx.get(f"{url}/_state").json()[AUDIENCE]["identifiers"] == [f"EMAIL={hashed}"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"purposes": ["sharing"]}, "add advertising to purposes"),
        ({"accepted_terms": "no"}, "customer-match"),
        ({"fields": {"email": "email", "given_name": "first"}}, "give all four"),
        ({"fields": {"email": "email", **test_google.ADDRESS}}, r"keep_in_ledger: \[postal_code, region_code\]"),
        ({"client_secret": None}, "credentials are"),
        ({"service_account": {"env": "KEY"}}, "credentials are"),
        ({"account_id": "123-456-7890"}, "account_id"),
        ({"normalisation": "google-0"}, "google-1"),
    ],
)
def test_a_google_destination_that_may_not_be_is_refused(change: dict[str, Any], told: str) -> None:
    addresses = {"api_url": "https://datamanager.googleapis.com", "token_url": "https://oauth2.googleapis.com/token"}
    with pytest.raises(ValidationError, match=told):
        GoogleConfig.model_validate({**test_google.ENTRY, **addresses, **change})


def test_the_stand_in_refuses_what_google_would(clock: StandingClock) -> None:
    vendor = FakeGoogle(clock)
    member = {"userData": {"userIdentifiers": [{"emailAddress": "0" * 64}]}}
    destination = {
        "operatingAccount": {"accountType": "GOOGLE_ADS", "accountId": ACCOUNT},
        "productDestinationId": test_google.AUDIENCE,
    }
    body = {"destinations": [destination], "audienceMembers": [member], "encoding": "HEX", "validateOnly": False}
    with vendor.serving() as url:
        form = {
            "grant_type": "refresh_token",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "refresh_token": REFRESH_TOKEN,
        }
        assert httpx.post(f"{url}/token", data={**form, "client_secret": "x"}).json()["error"] == "invalid_client"
        token = httpx.post(f"{url}/token", data=form).json()["access_token"]

        def status(**changed: Any) -> int:
            headers = {"Authorization": f"Bearer {changed.pop('token', token)}"}
            return httpx.post(f"{url}/v1/audienceMembers:remove", json={**body, **changed}, headers=headers).status_code

        assert status() == 200
        assert status(token="x") == 401
        assert status(consent={}) == 400
        assert status(audienceMembers=[member] * 10_001) == 400
        assert status(audienceMembers=[]) == 400
        assert status(encoding="BASE64") == 400
        for value in ("dana@example.com", "ABCD" * 16, "abcd", ""):
            assert status(audienceMembers=[{"userData": {"userIdentifiers": [{"emailAddress": value}]}}]) == 400
