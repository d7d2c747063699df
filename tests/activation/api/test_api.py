"""What applications ask over HTTP: profiles and audiences with their ages, and never a wrong "no"."""

import csv
import io
import logging
from pathlib import Path

import pyarrow as pa
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from activation import EmbeddedRedis
from tests.activation.api.asked import KEYS, Api
from tests.activation.publications import audience, profiles

ADA = {"orders": 3, "churn_probability": 0.25, "spent": "12.3400", "is_new": False, "predicted_on": "2026-01-31"}
DEFINITION = {"name": "spenders", "rule": {"min_total_spend": 100}}
SECRETS = ("ada@example.com", "profiles-key", "audiences-key", "author-key", "browser-key")


@pytest.fixture
def api(client: redis.Redis, tmp_path: Path) -> Api:
    rows = pa.Table.from_pylist([{"customer_id": "ada", **ADA, "audiences": ["vip"]}])
    identifiers = [("email", "ada@example.com", "ada"), ("customer_id", "old", "ada")]
    profiles(client, tmp_path / "p", rows, identifiers, version=4)
    audience(client, ["ada", "bob", "=cmd"], version=7)
    return Api(client)


@pytest.mark.parametrize("path", ["email/ Ada@Example.com", "customer_id/ada", "customer_id/old"])
def test_a_profile_has_typed_values_scores_audiences_and_its_age(api: Api, path: str) -> None:
    found = api.get(f"/v1/profiles/{path}", "profiles-key")
    assert found.status_code == 200
    assert found.json() == {
        "customer_id": "ada",
        "version": 4,
        "audiences": ["vip"],
        "fields": {"orders": 3, "spent": "12.3400", "is_new": False},
        "scores": {"predicted_on": "2026-01-31", "age_seconds": 14 * 3600, "values": {"churn_probability": 0.25}},
        "as_of": "2026-01-31T12:00:00Z",
        "age_seconds": 7200,
    }
    assert found.headers["cache-control"] == "no-store"


def test_an_unknown_customer_is_404_only_where_profiles_are_published(api: Api, client: redis.Redis) -> None:
    assert api.get("/v1/profiles/email/eve@example.com", "profiles-key").status_code == 404
    client.flushall()
    emptied = api.get("/v1/profiles/email/ada@example.com", "profiles-key")
    assert (emptied.status_code, emptied.json()["error"]["code"]) == (503, "not_published")
    assert emptied.headers["retry-after"] == "5"


def test_audiences_are_listed_and_shown_with_size_and_age(api: Api) -> None:
    found = api.get("/v1/audiences").json()
    [listed] = found["audiences"]
    assert found["unreadable"] == []
    assert (listed["name"], listed["version"], listed["members"], listed["age_seconds"]) == ("vip", 7, 3, 7200)
    assert api.get("/v1/audiences/vip").json() == listed
    assert api.get("/v1/audiences/nothing").status_code == 404


def test_members_come_in_pages_of_one_version(api: Api, client: redis.Redis) -> None:
    many = {f"c{number}" for number in range(5_000)}
    audience(client, many, version=8)
    seen: set[str] = set()
    cursor = ""
    while True:
        page = api.get(f"/v1/audiences/vip/members?limit=500{cursor}").json()
        assert page["version"] == 8
        seen |= set(page["customer_ids"])
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == many


def test_the_csv_holds_every_member_once_and_no_formula(api: Api) -> None:
    answer = api.get("/v1/audiences/vip/members.csv")
    header, *rows = csv.reader(io.StringIO(answer.text))
    assert header == ["customer_id"]
    assert sorted(row[0] for row in rows) == ["'=cmd", "ada", "bob"]
    assert answer.headers["x-weft-version"] == "7"


def test_membership_is_told_with_its_version(api: Api) -> None:
    assert api.get("/v1/audiences/vip/members/ada").json()["is_member"] is True
    other = api.get("/v1/audiences/vip/members/eve").json()
    assert (other["is_member"], other["version"]) == (False, 7)


def test_a_published_audience_that_is_gone_from_redis_is_never_told_as_no(api: Api, client: redis.Redis) -> None:
    client.delete("weft:audience:vip:v7")
    for path in ("", "/members", "/members.csv", "/members/ada"):
        answer = api.get(f"/v1/audiences/vip{path}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "not_published")
    assert api.get("/v1/audiences").json() == {"audiences": [], "unreadable": ["vip"]}
    client.flushall()
    assert api.get("/v1/audiences/vip/members/ada").status_code == 503


def test_a_redis_that_is_away_is_503_with_a_sentence(own_server: EmbeddedRedis) -> None:
    client = redis.Redis.from_url(own_server.url, retry=Retry(NoBackoff(), 0))
    api = Api(client)
    own_server.stop()
    for path, key in (("/v1/audiences", "audiences-key"), ("/v1/profiles/email/a@b.example", "profiles-key")):
        answer = api.get(path, key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "store_unavailable")
    assert api.get("/ready", None).status_code == 503
    assert api.get("/health", None).status_code == 200


ROUTES = [
    ("GET", "/v1/profiles/email/ada@example.com", "profiles-key"),
    ("GET", "/v1/audiences", "audiences-key"),
    ("GET", "/v1/audiences/vip", "audiences-key"),
    ("GET", "/v1/audiences/vip/members", "audiences-key"),
    ("GET", "/v1/audiences/vip/members.csv", "audiences-key"),
    ("GET", "/v1/audiences/vip/members/ada", "audiences-key"),
    ("POST", "/v1/predictions/adder", "predictions-key"),
    ("POST", "/v1/audiences", "author-key"),
    ("POST", "/v1/audiences/vip/rebuild", "author-key"),
    ("DELETE", "/v1/audiences/vip", "author-key"),
]


def test_every_route_refuses_every_key_without_its_scope(api: Api) -> None:
    described = {
        (method.upper(), path)
        for path, methods in api.get("/openapi.json", None).json()["paths"].items()
        for method in methods
    }
    assert len(described) == len(ROUTES)
    for method, path, right in ROUTES:
        for key in KEYS:
            answer = api.http.request(method, path, headers={"Authorization": f"Bearer {key}"})
            assert (answer.status_code == 403) == (key != right), (method, path, key)
        for shown in (
            {},
            {"Authorization": "Bearer nobody"},
            {"Authorization": "Basic %%%"},
            {"Authorization": "Bearer "},
        ):
            assert api.http.request(method, path, headers=shown).status_code == 401


def test_the_key_may_be_shown_as_the_user_of_basic(api: Api) -> None:
    assert api.http.get("/v1/audiences", auth=("audiences-key", "")).status_code == 200


def test_keys_that_cannot_be_read_are_neither_good_nor_bad(api: Api) -> None:
    api.keys.are_readable = False
    assert api.get("/v1/audiences").status_code == 503


def test_a_rule_is_previewed_saved_rebuilt_and_deleted(api: Api) -> None:
    shown = api.post("/v1/audiences?preview=true", DEFINITION)
    assert (shown.status_code, shown.json()["size"]) == (200, 2)
    assert api.author.saved == {}
    assert api.post("/v1/audiences", DEFINITION).status_code == 201
    assert api.post("/v1/audiences/spenders/rebuild").status_code == 202
    [(name, by)] = api.author.rebuilt
    assert name == "spenders" and len(by) == 12
    headers = {"Authorization": "Bearer author-key"}
    assert api.http.delete("/v1/audiences/spenders", headers=headers).status_code == 204
    assert api.http.delete("/v1/audiences/spenders", headers=headers).status_code == 404
    assert api.http.delete("/v1/audiences/in_sql", headers=headers).status_code == 409


def test_a_wrong_definition_names_everything_that_is_wrong(api: Api) -> None:
    answer = api.post("/v1/audiences", {"rul": 1})
    assert answer.status_code == 422
    assert answer.json()["error"]["problems"] == ["$.name is missing.", "$.rule is missing."]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"{", 400),
        (b"[]", 400),
        (b'{"a": NaN}', 400),
        (b'{"a": 1, "a": 2}', 400),
        (b"\xff\xfe", 400),
        (b'{"a": ' + b"[" * 100_000, 400),
        (b'{"a": "' + b"x" * 300_000 + b'"}', 413),
    ],
)
def test_broken_and_huge_bodies_are_refused(api: Api, body: bytes, status: int) -> None:
    answer = api.http.post("/v1/audiences", content=body, headers={"Authorization": "Bearer author-key"})
    assert answer.status_code == status
    assert api.author.saved == {}


@pytest.mark.parametrize(
    "path",
    [
        "/v1/profiles/EMAIL/x",
        f"/v1/profiles/email/{'x' * 600}",
        "/v1/profiles/email/%00",
        "/v1/profiles/email/%F0%28%8C%BC",
        "/v1/audiences/vip/members?cursor=no",
        "/v1/audiences/vip/members?limit=0",
        "/v1/audiences/vip%0d%0aSet-Cookie:x",
        "/v1/nothing",
    ],
)
def test_hostile_paths_are_refused_without_an_echo(api: Api, path: str) -> None:
    key = "profiles-key" if "profiles" in path else "audiences-key"
    answer = api.get(path, key)
    assert answer.status_code in (404, 422)
    assert set(answer.json()["error"]) == {"code", "message", "request_id"}
    assert "xxx" not in answer.text and "Set-Cookie" not in answer.text


def test_nothing_personal_and_no_key_is_logged(api: Api, caplog: pytest.LogCaptureFixture, client: redis.Redis) -> None:
    with caplog.at_level(logging.DEBUG, logger="weft"):
        for method, path, key in ROUTES:
            api.http.request(method, path, headers={"Authorization": f"Bearer {key}"})
        client.flushall()
        for method, path, key in ROUTES:
            api.http.request(method, path, headers={"Authorization": f"Bearer {key}"})
    said = " ".join(record.getMessage() for record in caplog.records)
    assert "not_published" in said
    assert [secret for secret in SECRETS if secret in said] == []
