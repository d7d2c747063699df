"""What applications ask of models: customers by identifiers, with features as published or changed, and clear refusals."""

from pathlib import Path
from typing import Any

import pytest
import redis

from tests.activation.api.asked import Api
from tests.activation.publications import profiles
from tests.activation.test_published_features import PEOPLE, features

ADA, OLD, BOB = (
    {"type": "email", "value": "Ada@Example.com"},
    {"type": "customer_id", "value": "old"},
    {"type": "customer_id", "value": "bob"},
)
ROUTE = "/v1/predictions/adder"


@pytest.fixture
def api(client: redis.Redis, tmp_path: Path) -> Api:
    known = features({"ada": (3.0, 2, None)}).drop_columns(["net_revenue"])
    identifiers = [("email", "ada@example.com", "ada"), ("customer_id", "old", "ada")]
    profiles(client, tmp_path / "p", PEOPLE, identifiers, features=known)
    return Api(client)


def asked(api: Api, body: Any, path: str = ROUTE) -> Any:
    return api.post(path, body, "predictions-key")


def test_a_model_answers_with_its_version_and_the_age_of_the_features(api: Api) -> None:
    found = asked(api, {"customers": [ADA]})
    assert (found.status_code, found.headers["cache-control"]) == (200, "no-store")
    said = {"customer_id": "ada", "as_of_date": "2026-01-31", "as_of": "2026-01-31T12:00:00Z", "age_seconds": 7200}
    prediction = {**said, "values": {"total": 5.0}, "reason_codes": [], "error": None}
    assert found.json() == {"model": "adder", "model_version": "v1", "changed": [], "predictions": [prediction]}


def test_what_if_changes_hold_for_every_customer(api: Api) -> None:
    found = asked(api, {"customers": [ADA, OLD], "changes": {"recency_days": 10, "order_count": None}}).json()
    assert found["changed"] == ["order_count", "recency_days"]
    assert [each["values"] for each in found["predictions"]] == [{"total": 10.0}] * 2


def test_who_has_no_features_is_404_alone_and_an_error_among_others(api: Api) -> None:
    alone = asked(api, {"customers": [BOB]})
    assert (alone.status_code, alone.json()["error"]["code"]) == (404, "features_not_published")
    first, second = asked(api, {"customers": [BOB, ADA]}).json()["predictions"]
    assert (first["error"]["code"], first["values"], second["customer_id"]) == ("features_not_published", None, "ada")


def test_nothing_is_answered_from_a_redis_that_was_emptied_or_holds_other_features(
    api: Api, client: redis.Redis
) -> None:
    client.hset("weft:profiles:manifest", "features", '["others"]')
    assert asked(api, {"customers": [ADA]}).status_code == 503
    client.flushall()
    emptied = asked(api, {"customers": [ADA]})
    assert (emptied.status_code, emptied.json()["error"]["code"]) == (503, "not_published")
    assert "WEFT_PUBLISH_FEATURES" in emptied.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"customers": []}, 422, "invalid"),
        ({"customers": [{"type": "email"}]}, 422, "invalid"),
        ({"customers": [{"type": "e:mail", "value": "ada@example.com"}]}, 422, "invalid"),
        ({"customers": [ADA], "more": 1}, 422, "invalid"),
        ({"customers": [ADA], "changes": {"recency_days": True}}, 422, "invalid"),
        ({"customers": [ADA], "changes": {"recency_days": "3"}}, 422, "invalid"),
        ({"customers": [ADA], "changes": {"ada@example.com": 3}}, 422, "unknown_feature"),
        ({"customers": [ADA] * 101}, 422, "too_many"),
    ],
)
def test_a_body_that_cannot_be_taken_is_refused_without_repeating_it(
    api: Api, body: Any, status: int, code: str
) -> None:
    found = asked(api, body)
    assert (found.status_code, found.json()["error"]["code"]) == (status, code)
    assert "ada@" not in found.text.lower()


@pytest.mark.parametrize("number", [b"1e999", b"1" + b"0" * 400, b"NaN"])
def test_a_number_that_no_feature_can_have_is_refused(api: Api, number: bytes) -> None:
    body = b'{"customers": [{"type": "customer_id", "value": "ada"}], "changes": {"recency_days": %s}}' % number
    found = api.http.post(ROUTE, content=body, headers={"Authorization": "Bearer predictions-key"})
    assert found.status_code in (400, 422)


def test_a_model_that_is_not_there_is_404(api: Api) -> None:
    unknown = asked(api, {"customers": [ADA]}, "/v1/predictions/nothing")
    assert (unknown.status_code, unknown.json()["error"]["code"]) == (404, "unknown_model")
