"""Audience publication against a real Redis: versions, differences, fencing, damage."""

import threading
import uuid
from datetime import datetime

import pyarrow as pa
import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from activation import PublicationError, Reader, StalePublisherError, rollback_audience, withdraw_audience
from tests.activation.publications import audience, current_members


def test_the_first_publication_is_whole_and_readable(client: redis.Redis) -> None:
    report = audience(client, ["a", "b", "c"])
    assert (report.mode, report.count, report.added, report.removed) == ("whole", 3, 3, 0)
    assert current_members(client) == {"a", "b", "c"}
    manifest = client.hgetall("weft:audience:vip:v1:manifest")
    assert manifest[b"count"] == b"3"
    assert manifest[b"as_of"] == b"2026-01-31T12:00:00.000000Z"
    assert manifest[b"definition_hash"] == b"d1"


def test_a_second_publication_sends_only_the_difference(client: redis.Redis) -> None:
    audience(client, ["a", "b", "c", "d"])
    report = audience(client, ["b", "c", "d", "e"], version=2)
    assert (report.mode, report.added, report.removed, report.unchanged) == ("diff", 1, 1, 3)
    assert current_members(client) == {"b", "c", "d", "e"}
    rollback_audience(client, "vip", 1)
    assert current_members(client) == {"a", "b", "c", "d"}


def test_publishing_the_same_version_again_sends_nothing_and_renews_its_age(client: redis.Redis) -> None:
    audience(client, ["a", "b"])
    report = audience(client, ["b", "a"], build=2, as_of=datetime(2026, 2, 1))
    assert (report.mode, report.commands_sent) == ("nothing", 0)
    assert Reader(client).audience("vip").as_of == datetime(2026, 2, 1)
    assert Reader(client).audience("vip").build == 2


def test_an_audience_that_lost_every_member_is_published_as_empty(client: redis.Redis) -> None:
    audience(client, ["a", "b"])
    audience(client, [], version=2)
    assert current_members(client) == set()
    assert client.hget("weft:audience:vip:v2:manifest", "count") == b"0"
    assert Reader(client).is_member("vip", "a") is False
    assert audience(client, ["a"], version=3).count == 1
    assert current_members(client) == {"a"}


def test_three_versions_are_kept_and_nothing_is_left_over(client: redis.Redis) -> None:
    for version in range(1, 6):
        audience(client, ["a", f"m{version}"], version=version)
    expected = {"weft:audiences", "weft:audience:vip:current", "weft:audience:vip:versions"}
    for version in (3, 4, 5):
        expected |= {f"weft:audience:vip:v{version}", f"weft:audience:vip:v{version}:manifest"}
    assert {key.decode() for key in client.scan_iter()} == expected
    assert not any(client.ttl(key) != -1 for key in client.scan_iter())


def test_repeated_members_count_once(client: redis.Redis) -> None:
    assert audience(client, ["a", "a", "b"]).count == 2
    assert current_members(client) == {"a", "b"}


def test_a_chunked_array_is_taken_as_it_is(client: redis.Redis) -> None:
    chunks = pa.chunked_array([["a"], [], ["b"]], pa.large_string())
    audience(client, chunks.to_pylist())
    assert current_members(client) == {"a", "b"}


@pytest.mark.parametrize(("version", "build"), [(2, 1), (1, 2), (1, 1)])
def test_an_older_build_or_version_is_refused(client: redis.Redis, version: int, build: int) -> None:
    audience(client, ["a", "b"], version=2, build=2)
    with pytest.raises(StalePublisherError, match="is at version 2 of build 2 in Redis"):
        audience(client, ["old"], version=version, build=build)
    assert current_members(client) == {"a", "b"}


def test_a_publisher_that_sleeps_before_the_switch_loses_to_a_newer_one(client: redis.Redis) -> None:
    audience(client, ["a"], version=1)

    def newer_one_finishes_first(step: str) -> None:
        if step == "staged":
            audience(client, ["a", "newest"], version=3)

    with pytest.raises(PublicationError):
        audience(client, ["a", "sleeper"], version=2, on_step=newer_one_finishes_first)
    assert current_members(client) == {"a", "newest"}
    assert client.zcard("weft:audience:vip:staging") == 0
    assert not client.keys("weft:audience:vip:staging:*")


def test_two_publishers_of_one_build_do_not_mix(client: redis.Redis) -> None:
    """The second takes the first one's staging for a crash's and clears it; the first must notice."""
    other = {f"other-{number}" for number in range(5_000)}
    came: list[bool] = []

    def second_comes(step: str) -> None:
        if step == "added 50 %":
            came.append(True)
            audience(client, other, version=2)

    with pytest.raises(PublicationError, match="ran at the same time"):
        audience(client, [f"m{number}" for number in range(10_000)], version=2, on_step=second_comes)
    assert came
    assert current_members(client) == other


def test_of_eight_publishers_at_once_the_highest_build_stands(client: redis.Redis) -> None:
    def publish(build: int) -> None:
        members = [f"b{build}"] + [f"m{number}" for number in range(3_000)]
        try:
            audience(client, members, version=build)
        except PublicationError:
            refused.append(build)

    refused: list[int] = []
    threads = [threading.Thread(target=publish, args=(build,)) for build in range(1, 9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 8 not in refused
    assert "b8" in current_members(client)
    assert len(current_members(client)) == 3_001


def test_an_emptied_redis_is_filled_whole_again(client: redis.Redis) -> None:
    audience(client, ["a", "b"])
    client.flushall()
    assert audience(client, ["a", "b", "c"], version=2).mode == "whole"
    assert current_members(client) == {"a", "b", "c"}


@pytest.mark.parametrize("damage", ["member removed", "member swapped", "set deleted", "manifest deleted", "checksum"])
def test_a_damaged_version_is_never_built_upon(client: redis.Redis, damage: str) -> None:
    audience(client, ["a", "b", "c", "d", "e"])
    key = "weft:audience:vip:v1"
    match damage:
        case "member removed":
            client.srem(key, "a")
        case "member swapped":
            client.srem(key, "a")
            client.sadd(key, "stranger")
        case "set deleted":
            client.delete(key)
        case "manifest deleted":
            client.delete(f"{key}:manifest")
        case "checksum":
            client.hset(f"{key}:manifest", "checksum", "0" * 16)
    report = audience(client, ["a", "b", "c", "d", "e", "f"], version=2)
    assert report.mode == "whole"
    assert current_members(client) == {"a", "b", "c", "d", "e", "f"}
    assert not client.exists(key), "a damaged version must not be there to roll back to"


def test_a_damaged_version_is_repaired_by_publishing_it_again(client: redis.Redis) -> None:
    audience(client, ["a", "b", "c"])
    client.srem("weft:audience:vip:v1", "a")
    assert audience(client, ["a", "b", "c"]).mode == "whole"
    assert current_members(client) == {"a", "b", "c"}


def test_a_damaged_pinned_version_is_left_to_the_operator(client: redis.Redis) -> None:
    audience(client, ["a", "b"])
    rollback_audience(client, "vip", 1)
    client.srem("weft:audience:vip:v1", "a")
    audience(client, ["a", "b", "c"], version=2)
    assert client.exists("weft:audience:vip:v1")


def test_a_large_audience_is_copied_in_pages_for_a_rollback(client: redis.Redis) -> None:
    everyone = {f"m{number}" for number in range(260_000)}
    audience(client, everyone)
    report = audience(client, everyone - {"m7"} | {"new"}, version=2)
    assert (report.mode, report.added, report.removed) == ("diff", 1, 1)
    assert current_members(client) == everyone - {"m7"} | {"new"}
    rollback_audience(client, "vip", 1)
    assert current_members(client) == everyone


def test_hostile_ids_stay_data(client: redis.Redis) -> None:
    hostile = [
        "a\r\nFLUSHALL\r\n",
        "\0",
        "*3\r\n$3\r\nSET\r\n",
        "weft:audience:vip:current",
        "ü😀",
        "-ERR",
        "x" * 1_000_000,
    ]
    audience(client, [*hostile, "$-1"])
    audience(client, hostile, version=2)
    assert current_members(client) == set(hostile)
    assert Reader(client).is_member("vip", hostile[0])


@pytest.mark.parametrize("name", ["", "vip:v1", "vip current", "vip*", "-vip", "x" * 129, "víp"])
def test_a_name_that_could_spell_another_key_is_refused(client: redis.Redis, name: str) -> None:
    with pytest.raises(ValueError, match="cannot be an audience name"):
        audience(client, ["a"], name=name)
    assert not client.keys()


@pytest.mark.parametrize("members", [[None], [""]])
def test_a_missing_id_is_refused(client: redis.Redis, members: list[str]) -> None:
    with pytest.raises(ValueError, match="missing id"):
        audience(client, members)


def test_audiences_do_not_touch_each_other(client: redis.Redis) -> None:
    audience(client, ["a"], name="vip")
    audience(client, ["b"], name="vip.v2")
    withdraw_audience(client, "vip")
    assert current_members(client, "vip.v2") == {"b"}
    assert not client.keys("weft:audience:vip:*")
    assert Reader(client).audience_names() == ("vip.v2",)


def test_a_client_that_decodes_and_speaks_resp3_is_as_good(redis_server, client: redis.Redis) -> None:
    with redis.Redis(port=redis_server.port, decode_responses=True, protocol=3) as other:
        audience(other, ["a", "b"])
        audience(other, ["b", "c"], version=2)
    assert current_members(client) == {"b", "c"}


ids = st.sets(st.text(min_size=1, max_size=4), max_size=12)


@settings(max_examples=60, deadline=None)
@given(inputs=st.lists(st.tuples(ids, st.sampled_from(["", "flush", "tamper"])), min_size=1, max_size=5))
def test_after_any_sequence_of_publications_redis_holds_the_last_input(redis_server, inputs) -> None:
    name = f"a{uuid.uuid4().hex}"
    with redis_server.client() as client:
        for version, (members, accident) in enumerate(inputs, start=1):
            if accident == "flush":
                client.flushall()
            elif accident == "tamper":
                client.sadd(f"weft:audience:{name}:v{version - 1}", "tampered")
            report = audience(client, members, version=version, name=name)
            assert current_members(client, name) == members
            assert report.count == len(members)
        withdraw_audience(client, name)
