"""A publisher that slept is refused, and a Redis that lost its data is never taken for one without members.

Each check is also given an implementation that breaks the promise, and must notice."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from activation import EmbeddedRedis, NotPublishedError, PublicationError, Reader, audience_scripts, profile_scripts
from tests.activation.killed_publishers import watched
from tests.activation.publications import audience, current_members, hash_of, identifiers_of, profiles

MANY = [f"m{number}" for number in range(10_000)]


def overtaken_audience(client: redis.Redis, folder: Path, step: str, newest: list[str]) -> Iterator[str]:
    """Version 2 sleeps at `step` until version 3 is published."""

    def newer_one_comes(now: str) -> None:
        if now == step:
            audience(client, newest, version=3, snapshot=folder / "newer.arrow")

    audience(client, MANY, snapshot=folder / "vip.arrow")
    try:
        audience(client, [*MANY, "sleeper"], version=2, snapshot=folder / "vip.arrow", on_step=newer_one_comes)
        yield "the sleeper was not refused"
    except PublicationError:
        pass
    if current_members(client) != set(newest):
        yield "the newest version does not stand"


@pytest.mark.parametrize("step", ["planned", "registered", "added 100 %", "staged"])
@pytest.mark.parametrize("newest", [[*MANY, "newest"], ["newest"]], ids=["in place", "whole"])
def test_a_sleeping_publisher_of_an_audience_is_refused(
    client: redis.Redis, tmp_path: Path, step: str, newest: list[str]
) -> None:
    assert list(overtaken_audience(client, tmp_path, step, newest)) == []


def test_the_check_notices_a_publisher_of_audiences_without_a_fence(
    client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PREPARE_AUDIENCE", "SWITCH_AUDIENCE"):
        sound = getattr(audience_scripts, name)
        monkeypatch.setattr(audience_scripts, name, sound.replace("return {'stale', newest, known[1] or '0'}", ""))
        assert getattr(audience_scripts, name) != sound
    assert list(overtaken_audience(client, tmp_path, "planned", ["newest"])) != []


def overtaken_profiles(client: redis.Redis, folder: Path) -> Iterator[str]:
    """Version 2 sleeps half-way until version 3 is published."""

    def customers(orders: int) -> dict[str, dict[str, object]]:
        return {f"c{number}": {"orders": orders, "city": None, "audiences": []} for number in range(1_100)}

    def newer_one_comes(now: str) -> None:
        if now == "profiles 46 %":
            profiles(client, folder / "newer.arrow", customers(3), identifiers_of(customers(3)), version=3)

    profiles(client, folder / "p.arrow", customers(1))
    try:
        profiles(client, folder / "p.arrow", customers(2), version=2, on_step=newer_one_comes)
        yield "the sleeper was not refused"
    except PublicationError:
        pass
    if any(hash_of(client, customer)["orders"] != "3" for customer in customers(3)):
        yield "an older profile replaced a newer one"


def test_a_sleeping_publisher_of_profiles_is_refused(client: redis.Redis, tmp_path: Path) -> None:
    assert list(overtaken_profiles(client, tmp_path)) == []


def test_the_check_notices_a_publisher_of_profiles_without_a_fence(
    client: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profile_scripts, "FENCE_PROFILES", "return 1")
    # how much the sleeper had handed to Redis before it slept differs from time to time: now and then that was all of it
    found: set[str] = set()
    for attempt in range(5):
        client.flushall()
        (tmp_path / str(attempt)).mkdir()
        found |= set(overtaken_profiles(client, tmp_path / str(attempt)))
    assert "an older profile replaced a newer one" in found


def wrong_answers(server: EmbeddedRedis, is_member: Callable[[redis.Redis, str], bool]) -> list[str]:
    """Readers ask for a member of every version while Redis is emptied and filled again."""

    def read(client: redis.Redis) -> str | None:
        try:
            return None if is_member(client, "m7") else "a member was said to be none"
        except NotPublishedError:
            return None

    with server.client() as client:
        audience(client, MANY)
        with watched(server, read) as watch:
            for version in range(2, 8):
                client.flushall()
                audience(client, [*MANY, str(version)], version=version)
    return watch.torn


def test_an_emptied_redis_is_never_taken_for_one_without_members(
    redis_server: EmbeddedRedis, client: redis.Redis
) -> None:
    assert wrong_answers(redis_server, lambda reader, member: Reader(reader).is_member("vip", member)) == []


def test_the_check_notices_a_reader_that_takes_missing_for_no(redis_server: EmbeddedRedis, client: redis.Redis) -> None:
    def trusting(reader: redis.Redis, member: str) -> bool:
        version = (reader.get("weft:audience:vip:current") or b"1").decode()
        return bool(reader.sismember(f"weft:audience:vip:v{version}", member))

    assert wrong_answers(redis_server, trusting) != []
