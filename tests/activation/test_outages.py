"""Redis that dies, is full, locked or holds odd keys: one clear sentence, the old version stays readable."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from activation import EmbeddedRedis, PublicationError, Reader
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
)


def kill_at(server: EmbeddedRedis, step: str) -> Callable[[str], None]:
    def reached(now: str) -> None:
        if now == step:
            os.kill(server.pid, signal.SIGKILL)

    return reached


@pytest.mark.parametrize("step", ["planned", "added 50 %", "staged"])
def test_a_redis_that_dies_during_an_audience_keeps_the_old_version(own_server: EmbeddedRedis, step: str) -> None:
    with own_server.client() as client:
        audience(client, old_members())
        with pytest.raises(
            PublicationError, match=rf"Redis at 127\.0\.0\.1:{own_server.port} does not answer"
        ) as error:
            audience(client, new_members(), version=2, on_step=kill_at(own_server, step))
        assert "\n" not in str(error.value)
        own_server.start()
        with own_server.client() as again:
            assert current_members(again) == set(old_members())
            audience(again, new_members(), version=2)
            assert current_members(again) == set(new_members())
            assert not again.keys("weft:audience:vip:staging*")


@pytest.mark.parametrize("step", ["planned", "profiles 51 %", "identifiers", "snapshot"])
def test_a_redis_that_dies_during_profiles_is_made_good_by_the_next_call(
    own_server: EmbeddedRedis, tmp_path: Path, step: str
) -> None:
    snapshot, old, new = tmp_path / "p.parquet", old_profiles(), new_profiles()
    with own_server.client() as client:
        profiles(client, snapshot, old, identifiers_of(old))
        with pytest.raises(PublicationError, match="does not answer"):
            profiles(client, snapshot, new, identifiers_of(new), version=2, on_step=kill_at(own_server, step))
    own_server.start()
    with own_server.client() as again:
        assert hash_of(again, "c1500")["orders"] in ("1", "2")
        profiles(again, snapshot, new, identifiers_of(new), version=2)
        assert {key.decode()[13:] for key in again.keys("weft:profile:*")} == set(new)
        assert all(hash_of(again, name)["orders"] == "2" for name in list(new)[::100])


def test_no_redis_at_all_is_one_sentence_without_the_password() -> None:
    client = redis.Redis.from_url("redis://weft:hunter2@127.0.0.1:1/0")
    with pytest.raises(PublicationError, match=r"audience 'vip' failed: Redis at 127\.0\.0\.1:1 does not") as error:
        audience(client, ["a"])
    assert "hunter2" not in str(error.value)


def test_a_wrong_password_is_said_without_it(own_server: EmbeddedRedis) -> None:
    with own_server.client() as client:
        client.config_set("requirepass", "secret1")
        for url in (f"redis://:hunter2@127.0.0.1:{own_server.port}", f"redis://127.0.0.1:{own_server.port}"):
            with redis.Redis.from_url(url) as wrong, pytest.raises(PublicationError, match="password") as error:
                audience(wrong, ["a"])
            assert "hunter2" not in str(error.value)
        client.config_set("requirepass", "")


def test_a_redis_out_of_memory_keeps_the_old_version(client: redis.Redis, tmp_path: Path) -> None:
    audience(client, old_members())
    profiles(client, tmp_path / "p", old_profiles())
    client.config_set("maxmemory", client.info("memory")["used_memory"])
    with pytest.raises(PublicationError, match=r"is out of memory .* stays readable"):
        audience(client, new_members(), version=2)
    with pytest.raises(PublicationError, match="is out of memory"):
        profiles(client, tmp_path / "p", new_profiles(), version=2)
    assert set(Reader(client).members("vip")) == set(old_members())
    assert hash_of(client, "c1500")["orders"] == "1"
    client.config_set("maxmemory", 0)
    audience(client, new_members(), version=2)
    profiles(client, tmp_path / "p", new_profiles(), version=2)
    assert current_members(client) == set(new_members())
    assert hash_of(client, "c1500")["orders"] == "2"


@pytest.mark.parametrize(
    "key", ["current", "versions", "staging", "pinned", "v1", "v1:manifest", "v1:minus", "v1:plus", "v2"]
)
def test_a_key_of_a_wrong_type_stops_the_publication_before_the_switch(client: redis.Redis, key: str) -> None:
    audience(client, ["a", "b", "c", "d"])
    full = f"weft:audience:vip:{key}"
    before = client.dump(full)
    client.delete(full)
    client.xadd(full, {"odd": "key"})
    with pytest.raises(PublicationError, match="holds a key of Weft's with another type"):
        audience(client, ["a", "b", "c", "e"], version=2)
    client.delete(full)
    if before:
        client.restore(full, 0, before)
    assert current_members(client) == {"a", "b", "c", "d"}
    audience(client, ["a", "b", "c", "e"], version=2)
    assert current_members(client) == {"a", "b", "c", "e"}


def test_a_profiles_manifest_of_a_wrong_type_is_said(client: redis.Redis, tmp_path: Path) -> None:
    client.set("weft:profiles:manifest", "x")
    with pytest.raises(PublicationError, match="another type"):
        profiles(client, tmp_path / "p", old_profiles())


def test_a_disk_that_takes_no_snapshot_is_said(client: redis.Redis, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(PublicationError, match="cannot be written"):
        profiles(client, tmp_path / "file" / "p.parquet", old_profiles())
