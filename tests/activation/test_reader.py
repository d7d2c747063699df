"""What a shop developer gets from the reader."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from activation import EmbeddedRedis, NotPublishedError, Reader
from activation.errors import AudienceChangedError, StoreUnavailableError
from tests.activation.publications import AS_OF, audience, profiles

ADA = {"orders": 3, "city": "Wien", "audiences": ["vip"]}
NOW = AS_OF + timedelta(hours=2)


@pytest.fixture
def reader(client: redis.Redis, tmp_path: Path) -> Reader:
    identifiers = [
        ("email", "ada@example.com", "ada"),
        ("phone", "+436641234567", "ada"),
        ("customer_id", "older", "old"),
        ("customer_id", "old", "ada"),
    ]
    profiles(client, tmp_path / "p.parquet", {"ada": ADA}, identifiers, version=4)
    return Reader(client, default_country="43")


@pytest.mark.parametrize(
    ("identifier_type", "value"),
    [("email", " ADA@Example.com"), ("phone", "0664 123 45 67"), ("customer_id", "ada"), ("customer_id", "older")],
)
def test_a_profile_is_found_by_any_identifier(reader: Reader, identifier_type: str, value: str) -> None:
    found = reader.profile(identifier_type, value, now=NOW)
    assert found is not None
    assert (found.customer_id, found.fields, found.audiences) == ("ada", {"orders": "3", "city": "Wien"}, ("vip",))
    assert (found.version, found.as_of, found.age) == (4, AS_OF, timedelta(hours=2))


@pytest.mark.parametrize(
    ("identifier_type", "value"), [("email", "eve@example.com"), ("email", "?"), ("customer_id", "x")]
)
def test_an_unknown_identifier_is_nobody(reader: Reader, identifier_type: str, value: str) -> None:
    assert reader.profile(identifier_type, value) is None


def test_a_profile_that_did_not_change_is_as_fresh_as_the_last_publication(client: redis.Redis, tmp_path: Path) -> None:
    later = AS_OF + timedelta(days=1)
    profiles(client, tmp_path / "p", {"ada": ADA})
    profiles(client, tmp_path / "p", {"ada": ADA}, version=2, as_of=later)
    found = Reader(client).profile("customer_id", "ada")
    assert found is not None
    assert (found.version, found.as_of, found.age) == (1, later, None)


def test_before_the_first_publication_nobody_is_unknown(client: redis.Redis, tmp_path: Path) -> None:
    reader = Reader(client)
    with pytest.raises(NotPublishedError):
        reader.profile("customer_id", "ada")

    def ask(step: str) -> None:
        if step == "begun":
            with pytest.raises(NotPublishedError):
                reader.profile("customer_id", "ada")

    profiles(client, tmp_path / "p", {"ada": ADA}, on_step=ask)
    assert reader.profile("customer_id", "bob") is None


def test_redirects_in_a_circle_end(client: redis.Redis, tmp_path: Path) -> None:
    profiles(client, tmp_path / "p", {}, [("customer_id", "a", "b"), ("customer_id", "b", "a")])
    assert Reader(client).profile("customer_id", "a") is None


@pytest.mark.parametrize("loss", ["never published", "flushed", "pointer", "set", "manifest", "wrong database"])
def test_a_lost_audience_is_never_answered_as_not_a_member(
    redis_server: EmbeddedRedis, client: redis.Redis, loss: str
) -> None:
    if loss != "never published":
        audience(client, ["a"])
    match loss:
        case "flushed":
            client.flushall()
        case "pointer":
            client.delete("weft:audience:vip:current")
        case "set":
            client.delete("weft:audience:vip:v1")
        case "manifest":
            client.delete("weft:audience:vip:v1:manifest")
    with redis.Redis(port=redis_server.port, db=1 if loss == "wrong database" else 0) as connected:
        reader = Reader(connected)
        for ask in (
            lambda: reader.is_member("vip", "a"),
            lambda: reader.is_member("vip", "b"),
            lambda: reader.audience("vip"),
            lambda: list(reader.members("vip")),
        ):
            with pytest.raises(NotPublishedError, match="publish it first"):
                ask()


def test_an_audience_tells_its_size_age_and_versions(client: redis.Redis) -> None:
    audience(client, ["a", "b"])
    audience(client, ["a", "b", "c"], version=2, build=7)
    found = Reader(client).audience("vip", now=NOW)
    assert (found.version, found.build, found.count, found.age) == (2, 7, 3, timedelta(hours=2))
    assert (found.kept_versions, found.pinned_version, found.definition_hash) == ((1, 2), None, "d1")
    assert found.published_at == datetime(2026, 1, 31, 12, 5)
    assert Reader(client).audience_names() == ("vip",)


def test_members_and_membership(client: redis.Redis) -> None:
    everyone = {f"m{number}" for number in range(5_000)}
    audience(client, everyone)
    reader = Reader(client)
    listed = list(reader.members("vip", page_size=300))
    assert len(listed) == len(everyone)
    assert set(listed) == everyone
    assert reader.is_member("vip", "m17") is True
    assert reader.is_member("vip", "stranger") is False


def test_pages_stay_in_the_version_they_began_with(client: redis.Redis) -> None:
    audience(client, [f"1:{number}" for number in range(3_000)])
    reader = Reader(client)
    page = reader.members_page("vip", limit=500)
    ids = set(page.customer_ids)
    audience(client, [f"2:{number}" for number in range(3_000)], version=2)
    while page.next_cursor is not None:
        page = reader.members_page("vip", cursor=page.next_cursor, limit=500)
        ids |= set(page.customer_ids)
    assert page.version == 1
    assert ids == {f"1:{number}" for number in range(3_000)}


def test_pages_of_a_version_that_is_gone_say_so(client: redis.Redis) -> None:
    audience(client, [f"1:{number}" for number in range(3_000)])
    reader = Reader(client)
    cursor = reader.members_page("vip").next_cursor
    for version in (2, 3, 4):
        audience(client, [f"{version}:{number}" for number in range(10)], version=version)
    with pytest.raises(AudienceChangedError, match="start again"):
        reader.members_page("vip", cursor=cursor)


@pytest.mark.parametrize("cursor", ["", "1.2", "x.y.z", "1.abc.-", "1.abc.5+"])
def test_a_cursor_from_elsewhere_is_refused(client: redis.Redis, cursor: str) -> None:
    audience(client, ["a"])
    with pytest.raises(ValueError, match="cursor"):
        Reader(client).members_page("vip", cursor=cursor)


def test_a_client_that_decodes_reads_the_same(redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path) -> None:
    profiles(client, tmp_path / "p", {"ada": ADA}, [("email", "ada@example.com", "ada")])
    audience(client, ["ada"])
    for protocol in (2, 3):
        with redis.Redis(port=redis_server.port, decode_responses=True, protocol=protocol) as decoding:
            reader = Reader(decoding)
            assert reader.profile("email", "ada@example.com") == Reader(client).profile("email", "ada@example.com")
            assert reader.is_member("vip", "ada")
            assert list(reader.members("vip")) == ["ada"]
            assert reader.audience("vip") == Reader(client).audience("vip")


def test_a_redis_that_is_gone_is_one_sentence_without_the_password() -> None:
    reader = Reader(redis.Redis.from_url("redis://weft:hunter2@127.0.0.1:1/0", retry=Retry(NoBackoff(), 0)))
    for ask in (
        lambda: reader.profile("customer_id", "a"),
        lambda: reader.is_member("vip", "a"),
        reader.audience_names,
    ):
        with pytest.raises(StoreUnavailableError, match=r"^Redis at 127\.0\.0\.1:1 does not answer: start it\.$"):
            ask()
