"""Any REST API as a destination: one record a request or a list, keys of idempotency, templates that stay data."""

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from activation.destinations.rest import RestConfig
from activation.fake_destinations.rest import TOKEN, Rest
from activation.syncs.contract import DestinationMisconfiguredError, DestinationUnavailableError
from tests.activation.destinations import members, opened, removals, statuses, upserts
from tests.fakes.vendor import FakeClock

ONE: dict[str, Any] = {
    "type": "rest",
    "auth": {"secret": {"env": "TOKEN"}},
    "idempotency_header": "Idempotency-Key",
    "fields": {"email": "email", "score": "score"},
    "remote_id": "id",
    "upsert": {
        "method": "PUT",
        "path": "/v1/members/{key}",
        "body": {
            "mail": "{email}",
            "score": "{score}",
            "note": "in {audience} as {key}",
            "tags": ["weft", "{audience}"],
        },
    },
    "remove": {"method": "DELETE", "path": "/v1/members/{key}", "gone": [404]},
}
LIST: dict[str, Any] = {
    **ONE,
    "results": {"at": "data.results", "key": "key", "is_accepted": "ok", "words": "error"},
    "upsert": {
        "method": "POST",
        "path": "/v1/members/batch",
        "list_in": "members",
        "body": {"key": "{key}", "mail": "{email}"},
    },
    "remove": {"method": "POST", "path": "/v1/members/batch_delete", "list_in": "members", "body": {"key": "{key}"}},
}


@pytest.fixture
def api() -> Rest:
    return Rest(FakeClock())


@pytest.fixture
def url(api: Rest) -> Iterator[str]:
    with api.serving() as url:
        yield url


def _opened(api: Rest, url: str, settings: dict[str, Any]) -> Any:
    return opened({**settings, "url": url}, api.clock, {"TOKEN": TOKEN})  # type: ignore[arg-type]


def test_a_record_is_put_under_its_key_and_deleted(api: Rest, url: str) -> None:
    adapter = _opened(api, url, ONE)
    assert adapter.batch_size == 1
    records = list(adapter.records(members(customer_id=["a/b?c", "d"], email=["{key}", None], score=[1.5, 2])))
    outcomes = [adapter.send([change])[0] for change in upserts(records)]
    assert [(outcome.status, outcome.remote_id) for outcome in outcomes] == [
        ("accepted", "m-a%2Fb%3Fc"),
        ("accepted", "m-d"),
    ]
    held = {"mail": "{key}", "score": 1.5, "note": "in high_value as a/b?c", "tags": ["weft", "high_value"]}
    assert api.members["a%2Fb%3Fc"] == held
    assert api.members["d"]["mail"] is None
    assert statuses(adapter.send(removals(["d"], {}))) == ["accepted"]
    assert list(api.members) == ["a%2Fb%3Fc"]


def test_a_lost_answer_does_not_make_a_second_effect(api: Rest, url: str) -> None:
    adapter = _opened(api, url, ONE)
    [change] = upserts(list(adapter.records(members(email=["a@example.com"], score=[1]))))
    api.faults = ["lost"]
    with pytest.raises(DestinationUnavailableError):
        adapter.send([change])
    assert statuses(adapter.send([change])) == ["accepted"]
    assert api.effects == 1


def test_every_row_of_a_list_has_its_own_fate(api: Rest, url: str) -> None:
    adapter = _opened(api, url, LIST)
    assert adapter.batch_size == 100
    api.refuses = {"c1": "blocked"}
    emails = [f"p{number}@example.com" for number in range(3)]
    changes = upserts(list(adapter.records(members(email=emails, score=[1] * 3))))
    outcomes = adapter.send([*changes, *removals(["x"], {})])
    assert [(outcome.status, outcome.words) for outcome in outcomes] == [
        ("accepted", None),
        ("refused", "blocked"),
        ("accepted", None),
        ("accepted", None),
    ]


def test_a_list_that_is_refused_as_a_whole_is_halved(api: Rest, url: str) -> None:
    adapter = _opened(api, url, LIST)
    changes = upserts(list(adapter.records(members(email=["e"] * 90, score=[1] * 90))))
    assert set(statuses(adapter.send(changes))) == {"accepted"}
    assert [len(call.json["members"]) for call in api.calls] == [90, 45, 45]


def test_an_unknown_path_and_a_wrong_token_are_a_persons_to_mend(api: Rest, url: str) -> None:
    wrong = opened({**ONE, "url": url}, api.clock, {"TOKEN": "wr0ng"})  # type: ignore[arg-type]
    elsewhere = _opened(api, url, {**LIST, "upsert": {**LIST["upsert"], "path": "/v2/members"}})
    for adapter in (wrong, elsewhere):
        changes = upserts(list(adapter.records(members(email=["a@example.com"], score=[1]))))
        with pytest.raises(DestinationMisconfiguredError) as refused:
            adapter.send(changes)
        assert "wr0ng" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"upsert": {**ONE["upsert"], "path": "/m/{email}"}}, "paths are written to logs"),
        ({"upsert": {**ONE["upsert"], "body": {"x": ["{name}"]}}}, "{name} is none of audience, email, key"),
        ({"remove": {"method": "POST", "path": "/x", "body": "{email}"}}, "{email} is none of"),
        ({"fields": {"key": "email"}}, "may not be called key"),
        ({"auth": {"value": "Bearer x", "secret": {"env": "TOKEN"}}}, "auth.value"),
        ({"upsert": {**LIST["upsert"], "path": "/m/{key}"}}, "list_in needs a body for a row"),
    ],
    ids=["path", "unknown name", "removal", "taken name", "auth", "list"],
)
def test_a_mistake_in_the_templates_is_found_before_anything_is_sent(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as refused:
        RestConfig(**{"name": "crm", "purposes": ["sales"], "url": "https://api.example.com", **ONE, **change})
    assert words in str(refused.value)
