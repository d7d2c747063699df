"""Confirmations: a newer build that changes nothing moves the age and the life time of what is published, and only that."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
import redis

from activation import NotPublishedError, Reader, release_audience, rollback_audience
from activation.confirmation import Answer, Unchanged, confirm
from tests.activation.publications import AS_OF, audience, current_members, hash_of, profile_table, profiles

LATER = AS_OF + timedelta(hours=3)
NOW = LATER + timedelta(minutes=10)
DAY = timedelta(days=1)


def confirmed(
    client: redis.Redis, *unchanged: Unchanged, number: int = 5, as_of: datetime = LATER, at: datetime = NOW
) -> list[Answer]:
    return confirm(client, unchanged, confirmation=number, as_of=as_of, confirmed_at=at)


def vip(version: int = 1, build: int | None = None, *, expires_after: timedelta | None = None) -> Unchanged:
    return Unchanged(name="vip", version=version, build=build or version, expires_after=expires_after)


def lives(client: redis.Redis, pattern: str = "weft:audience:vip*") -> dict[str, int]:
    """Milliseconds that each key has left; -1 = it stays."""
    return {key.decode(): client.pttl(key) for key in client.keys(pattern)}


def contents(client: redis.Redis) -> dict[str, bytes | None]:
    return {key.decode(): client.dump(key) for key in client.keys("*") if not key.decode().endswith(":manifest")}


def test_an_unchanged_audience_is_as_old_as_the_build_that_confirmed_it(client: redis.Redis) -> None:
    audience(client, ["a", "b"])
    before, held = Reader(client).audience("vip", now=NOW), contents(client)
    assert confirmed(client, vip()) == ["confirmed"]
    after = Reader(client).audience("vip", now=NOW)
    assert (before.age, before.confirmed_as_of) == (NOW - AS_OF, None)
    assert (after.age, after.confirmed_as_of, after.as_of) == (NOW - LATER, LATER, AS_OF)
    assert (after.version, after.count, after.checksum) == (before.version, before.count, before.checksum)
    assert contents(client) == held
    audience(client, ["a"], version=2, as_of=LATER)
    assert Reader(client).audience("vip", now=NOW).confirmed_as_of is None


def test_an_older_build_may_not_confirm(client: redis.Redis) -> None:
    audience(client, ["a"])
    audience(client, ["b"], version=2, build=8)
    assert confirmed(client, vip(1)) == ["stale"]
    assert confirmed(client, vip(2, 7)) == ["stale"]
    assert confirmed(client, vip(2, 8), number=6) == ["confirmed"]
    assert confirmed(client, vip(2, 8), number=5, as_of=AS_OF) == ["stale"]
    assert confirmed(client, vip(2, 8), number=6) == ["confirmed"]  # the same again after a kill
    assert Reader(client).audience("vip").confirmed_as_of == LATER


@pytest.mark.parametrize("lost", ["everything", "the set", "the pointer", "a member"])
def test_what_redis_does_not_hold_whole_is_not_confirmed(client: redis.Redis, lost: str) -> None:
    audience(client, ["a", "b"])
    if lost == "everything":
        client.flushall()
    elif lost == "a member":
        client.srem("weft:audience:vip:v1", "a")
    else:
        client.delete({"the set": "weft:audience:vip:v1", "the pointer": "weft:audience:vip:current"}[lost])
    assert confirmed(client, vip(), vip(2)) == ["missing", "missing"]


def test_a_rolled_back_version_is_not_made_younger(client: redis.Redis) -> None:
    audience(client, ["a"])
    audience(client, ["b"], version=2)
    rollback_audience(client, "vip", 1)
    assert confirmed(client, vip(2)) == ["confirmed"]
    pinned = Reader(client).audience("vip", now=NOW)
    assert (pinned.version, pinned.age) == (1, NOW - AS_OF)
    release_audience(client, "vip")
    assert Reader(client).audience("vip", now=NOW).age == NOW - LATER


def test_confirmed_profiles_are_as_of_the_newer_build(client: redis.Redis, tmp_path: Path) -> None:
    table = profile_table({"c1": {"orders": 3, "audiences": []}})
    profiles(client, tmp_path / "p", table, build=4)
    everybody = Unchanged(name=None, version=1, build=4)
    held = hash_of(client, "c1")
    assert confirmed(client, everybody) == ["confirmed"]
    found = Reader(client).profile("customer_id", "c1", now=NOW)
    assert found is not None
    assert (found.as_of, found.age) == (LATER, NOW - LATER)
    assert hash_of(client, "c1") == held
    assert confirmed(client, everybody, number=4) == ["stale"]
    assert confirmed(client, Unchanged(name=None, version=2, build=5)) == ["missing"]
    # a run clock that was set back: the newer publication is as of an earlier instant, and says so
    profiles(client, tmp_path / "p", table, version=2, build=5)
    again = Reader(client).profile("customer_id", "c1", now=NOW)
    assert again is not None
    assert again.as_of == AS_OF


def test_profiles_that_are_being_written_are_not_confirmed(client: redis.Redis, tmp_path: Path) -> None:
    def look(step: str) -> None:
        if step == "begun":
            answers.extend(confirmed(client, Unchanged(name=None, version=1, build=1)))

    answers: list[Answer] = []
    table = profile_table({"c1": {"orders": 3, "audiences": []}})
    profiles(client, tmp_path / "p", table)
    profiles(client, tmp_path / "p", table, version=2, on_step=look)
    assert answers == ["stale"]


def test_a_life_time_is_that_of_all_keys_and_each_confirmation_renews_it(client: redis.Redis) -> None:
    audience(client, ["a", "b", "c"], expires_after=2 * DAY)
    audience(client, ["a", "b", "d"], version=2, expires_after=2 * DAY)
    published = lives(client)
    assert len(published) >= 6
    assert all(timedelta(milliseconds=left) > DAY for left in published.values())
    for key in published:
        client.pexpire(key, 60_000)
    assert confirmed(client, vip(2, expires_after=DAY)) == ["confirmed"]
    renewed = lives(client)
    assert renewed.keys() == published.keys()
    assert all(DAY - timedelta(minutes=2) < timedelta(milliseconds=left) <= DAY for left in renewed.values())
    assert client.pttl("weft:audiences") == -1
    assert Reader(client).audience("vip").expires_after == DAY
    # taken back: with the same number, as where only the definition changed
    assert confirmed(client, vip(2)) == ["confirmed"]
    assert set(lives(client).values()) == {-1}
    assert Reader(client).audience("vip").expires_after is None


def test_a_rollback_and_its_release_leave_the_life_time_as_it_was(client: redis.Redis) -> None:
    for version in (1, 2):
        audience(client, [*"abcdef", str(version)], version=version, expires_after=DAY)
    rollback_audience(client, "vip", 1)
    assert all(0 < left <= DAY.total_seconds() * 1000 for left in lives(client).values())
    assert "weft:audience:vip:pinned" in lives(client)
    release_audience(client, "vip")
    assert all(0 < left <= DAY.total_seconds() * 1000 for left in lives(client).values())
    audience(client, ["z"], version=3)
    assert set(lives(client).values()) == {-1}


def test_an_expired_audience_is_not_published_and_its_readers_were_told_that_it_grew_old(client: redis.Redis) -> None:
    audience(client, ["a"], expires_after=timedelta(hours=1))
    audience(client, ["b"], name="steady")
    reader = Reader(client)
    assert reader.audience("vip", now=AS_OF + timedelta(minutes=59)).is_past_expiry is False
    assert reader.audience("vip", now=AS_OF + timedelta(minutes=61)).is_past_expiry is True
    assert reader.audience("vip").is_past_expiry is None
    assert reader.audience("steady", now=AS_OF + 100 * DAY).is_past_expiry is False
    for key in client.keys("weft:audience:vip*"):
        client.pexpire(key, 0)
    assert reader.audience_names() == ("steady",)
    with pytest.raises(NotPublishedError):
        reader.is_member("vip", "a")
    audience(client, ["a"], expires_after=timedelta(hours=1))
    assert current_members(client) == {"a"}


def test_a_life_time_below_a_second_is_refused(client: redis.Redis) -> None:
    with pytest.raises(ValueError, match="a second at least"):
        audience(client, ["a"], expires_after=timedelta(0))
