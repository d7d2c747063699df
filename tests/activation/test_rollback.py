"""Rollback pins a version until it is released."""

import pytest
import redis

from activation import NotPublishedError, Reader, RollbackError, release_audience, rollback_audience
from tests.activation.publications import audience, current_members


def test_a_rollback_holds_until_it_is_released(client: redis.Redis) -> None:
    for version in (1, 2, 3):
        audience(client, ["a", f"m{version}"], version=version)
    rollback_audience(client, "vip", 2)
    assert current_members(client) == {"a", "m2"}
    for version in (4, 5, 6, 7):
        report = audience(client, ["a", f"m{version}"], version=version)
        assert report.pinned_version == 2
        assert current_members(client) == {"a", "m2"}
    described = Reader(client).audience("vip")
    assert (described.version, described.pinned_version, described.kept_versions) == (2, 2, (2, 5, 6, 7))
    assert release_audience(client, "vip") == 7
    assert current_members(client) == {"a", "m7"}
    assert audience(client, ["a"], version=8).pinned_version is None
    assert Reader(client).audience("vip").kept_versions == (6, 7, 8)


def test_a_version_that_is_not_kept_cannot_be_rolled_back_to(client: redis.Redis) -> None:
    audience(client, ["a"])
    with pytest.raises(RollbackError, match="no version 9 in Redis; kept versions: 1"):
        rollback_audience(client, "vip", 9)
    with pytest.raises(RollbackError, match="kept versions: none"):
        rollback_audience(client, "unknown", 1)
    assert Reader(client).audience("vip").pinned_version is None


def test_a_damaged_version_cannot_be_rolled_back_to(client: redis.Redis) -> None:
    audience(client, ["a", "b"])
    audience(client, ["b", "c"], version=2)
    client.srem("weft:audience:vip:v1", "a")
    with pytest.raises(RollbackError, match="damaged"):
        rollback_audience(client, "vip", 1)


def test_releasing_what_is_not_published_is_an_error(client: redis.Redis) -> None:
    with pytest.raises(NotPublishedError):
        release_audience(client, "vip")
