"""Publishers killed by SIGKILL at named steps: the old version stays readable, the next call finishes."""

import signal
from pathlib import Path

import pytest
import redis

from activation import EmbeddedRedis, Reader
from tests.activation.publications import (
    audience,
    current_members,
    hash_of,
    identifiers_of,
    new_members,
    new_profiles,
    old_members,
    old_profiles,
    profiles,
    publish_and_die,
)

AUDIENCE_STEPS = ["planned", "registered", "copied", "srem 10 %", "sadd 10 %", "sadd 50 %", "sadd 100 %", "staged"]
PROFILE_STEPS = ["planned", "begun", "profiles 17 %", "profiles 51 %", "profiles 100 %", "identifiers", "removals"]


@pytest.mark.parametrize("step", AUDIENCE_STEPS)
def test_an_audience_publisher_killed_before_the_switch_changes_nothing(
    redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path, step: str
) -> None:
    audience(client, old_members())
    assert publish_and_die("audience", redis_server.port, step, tmp_path) == -signal.SIGKILL
    assert set(Reader(client).members("vip")) == current_members(client)
    assert current_members(client) == set(old_members())
    audience(client, new_members(), version=2, build=3)
    assert current_members(client) == set(new_members())
    assert not client.keys("weft:audience:vip:staging*"), "what the crash staged must be gone"


def test_an_audience_publisher_killed_after_the_switch_has_published(
    redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    audience(client, old_members())
    assert publish_and_die("audience", redis_server.port, "switched", tmp_path) == -signal.SIGKILL
    assert current_members(client) == set(new_members())
    assert audience(client, new_members(), version=2).mode == "nothing"


@pytest.mark.parametrize("step", [*PROFILE_STEPS, "written", "snapshot", "complete"])
def test_a_killed_profile_publisher_leaves_whole_profiles_and_the_next_call_finishes(
    redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path, step: str
) -> None:
    snapshot, old, new = tmp_path / "profiles.parquet", old_profiles(), new_profiles()
    profiles(client, snapshot, old, identifiers_of(old))
    assert publish_and_die("profiles", redis_server.port, step, snapshot) == -signal.SIGKILL
    before = {"orders": "1", "city": "Graz", "audiences": '["old"]', "_version": "1"}
    after = {"orders": "2", "audiences": '["new"]', "_version": "2"}
    for customer in ("c1000", "c1500", "c2999"):
        found = hash_of(client, customer)
        assert {key: value for key, value in found.items() if key != "_as_of"} in (before, after)
    report = profiles(client, snapshot, new, identifiers_of(new), version=2, build=3)
    assert report.mode == ("nothing" if step == "complete" else "diff" if step == "planned" else "whole")
    assert {key.decode() for key in client.keys("weft:profile:*")} == {f"weft:profile:{customer}" for customer in new}
    assert len(client.keys("weft:id:*")) == len(new)
    assert {key: value for key, value in hash_of(client, "c1500").items() if key != "_as_of"} == after
    assert report.count == 3_000
