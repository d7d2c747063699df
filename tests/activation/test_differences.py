"""Versions kept as differences to the newest set: every kept one can be read to its end and rolled back to."""

import uuid
from pathlib import Path

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activation import EmbeddedRedis, Reader, audience_plan, release_audience, rollback_audience, withdraw_audience
from activation.errors import AudienceChangedError, RollbackError
from tests.activation.publications import audience, current_members

STEADY = [f"s{number}" for number in range(3_000)]


def read_from(reader: Reader, name: str, cursor: str | None, *, limit: int = 200) -> set[str]:
    """Everything from a cursor to the end of its version."""
    found: set[str] = set()
    while cursor is not None:
        page = reader.members_page(name, cursor=cursor, limit=limit)
        found.update(page.customer_ids)
        cursor = page.next_cursor
    return found


def whole_version(client: redis.Redis, name: str, version: int) -> set[str]:
    checksum = client.hget(f"weft:audience:{name}:v{version}:manifest", "checksum").decode()
    return read_from(Reader(client), name, f"{version}.{checksum}.0")


def test_a_small_difference_copies_no_set(client: redis.Redis, tmp_path: Path) -> None:
    audience(client, [*STEADY, "a"])
    audience(client, [*STEADY, "b", "c"], version=2)
    audience(client, [*STEADY, "a", "c"], version=3)
    sizes = {key.decode(): client.scard(key) for key in client.scan_iter("weft:audience:vip:v?*", _type="set")}
    assert sizes.pop("weft:audience:vip:v3") == 3_002
    assert sizes == {
        "weft:audience:vip:v1:minus": 3,
        "weft:audience:vip:v1:plus": 1,
        "weft:audience:vip:v2:minus": 1,
        "weft:audience:vip:v2:plus": 1,
    }
    assert whole_version(client, "vip", 1) == {*STEADY, "a"}
    assert whole_version(client, "vip", 2) == {*STEADY, "b", "c"}


@pytest.mark.parametrize("pages_before", [1, 5, 100])
def test_a_page_after_page_reader_stays_in_its_version_while_the_set_is_changed(
    client: redis.Redis, pages_before: int
) -> None:
    first = {*STEADY, *(f"old{number}" for number in range(300))}
    audience(client, first)
    reader, found, cursor = Reader(client), set(), None
    for _ in range(pages_before):
        page = reader.members_page("vip", cursor=cursor, limit=100)
        found.update(page.customer_ids)
        cursor = page.next_cursor
        if cursor is None:
            break
    audience(client, [*STEADY, *(f"new{number}" for number in range(300))], version=2)
    if cursor is not None:
        page = reader.members_page("vip", cursor=cursor, limit=100)
        found.update(page.customer_ids)
        audience(client, STEADY[100:], version=3)
        found |= read_from(reader, "vip", page.next_cursor)
    assert found == first


@pytest.mark.parametrize("loss", ["minus", "plus", "member of the base"])
def test_a_damaged_difference_is_neither_read_nor_rolled_back_to(client: redis.Redis, loss: str) -> None:
    audience(client, [*STEADY, "a"])
    cursor = Reader(client).members_page("vip", limit=100).next_cursor
    audience(client, [*STEADY, "b"], version=2)
    if loss == "member of the base":
        client.srem("weft:audience:vip:v2", "s7")
    else:
        client.delete(f"weft:audience:vip:v1:{loss}")
    with pytest.raises(AudienceChangedError):
        Reader(client).members_page("vip", cursor=cursor)
    with pytest.raises(RollbackError):
        rollback_audience(client, "vip", 1)
    assert client.get("weft:audience:vip:current") == b"2"


def test_a_rollback_to_a_difference_checks_every_member(client: redis.Redis) -> None:
    audience(client, [*STEADY, "a"])
    audience(client, [*STEADY, "b"], version=2)
    client.srem("weft:audience:vip:v2", "s7")
    client.sadd("weft:audience:vip:v2", "stranger")
    with pytest.raises(RollbackError, match="damaged"):
        rollback_audience(client, "vip", 1)


def test_a_publication_during_a_rollback_does_not_spoil_it(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    audience(client, [*STEADY, "a"])
    audience(client, [*STEADY, "b"], version=2)
    copied, sound = [], audience_plan.members_of

    def published_meanwhile(connection: redis.Redis, key: str, size: int) -> object:
        if not copied:
            audience(client, [*STEADY, "c"], version=3)
        copied.append(key)
        return sound(connection, key, size)

    monkeypatch.setattr("activation.rollback.members_of", published_meanwhile)
    rollback_audience(client, "vip", 1)
    assert copied
    assert current_members(client) == {*STEADY, "a"}
    assert release_audience(client, "vip") == 3
    assert current_members(client) == {*STEADY, "c"}


def test_a_stranger_in_the_set_is_found_within_fifty_publications(client: redis.Redis, tmp_path: Path) -> None:
    """A member exchanged by hand leaves count and manifest right; each publication looks through another part."""
    audience(client, STEADY, snapshot=tmp_path / "vip.arrow")
    client.srem("weft:audience:vip:v1", "s7")
    client.sadd("weft:audience:vip:v1", "stranger")
    for version in range(2, 52):
        wanted = {*STEADY, f"v{version}"}
        report = audience(client, wanted, version=version, snapshot=tmp_path / "vip.arrow")
        if report.mode == "whole":
            break
    assert report.mode == "whole"
    assert current_members(client) == wanted


@pytest.mark.parametrize("loss", ["lost", "cut", "of another audience", "older", "with another name in it"])
def test_a_snapshot_that_is_not_right_is_not_believed(client: redis.Redis, tmp_path: Path, loss: str) -> None:
    path, older = tmp_path / "vip.arrow", tmp_path / "older.arrow"
    audience(client, STEADY, snapshot=older)
    audience(client, [*STEADY, "gone"], version=2, snapshot=path)
    match loss:
        case "lost":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-50])
        case "of another audience":
            audience(client, [*STEADY, "gone"], version=2, name="other", snapshot=path)
        case "older":
            older.replace(path)
        case "with another name in it":
            path.write_bytes(path.read_bytes().replace(b"gone", b"same"))
    audience(client, STEADY, version=3, snapshot=path)
    assert current_members(client) == set(STEADY)
    assert audience(client, [*STEADY, "x"], version=4, snapshot=path).mode == "diff"
    assert path.stat().st_mode & 0o077 == 0


few = st.sets(st.sampled_from([f"m{number}" for number in range(12)]), max_size=12)
actions = st.one_of(
    st.tuples(st.just("publish"), few),
    st.tuples(st.just("again"), few),
    st.tuples(st.just("roll back"), st.just(set())),
)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(actions, min_size=1, max_size=9), remembers=st.booleans())
def test_after_any_history_each_kept_version_has_its_members(
    redis_server: EmbeddedRedis, tmp_path: Path, history: list[tuple[str, set[str]]], remembers: bool
) -> None:
    name = f"a{uuid.uuid4().hex}"
    snapshot = tmp_path / f"{name}.arrow" if remembers else None
    published: dict[int, set[str]] = {}
    with redis_server.client() as client:
        for build, (action, members) in enumerate(history, start=1):
            kept = [int(version) for version in client.zrange(f"weft:audience:{name}:versions", 0, -1)]
            if action == "roll back" and kept:
                rollback_audience(client, name, kept[0])
                assert current_members(client, name) == published[kept[0]]
            elif action != "roll back":
                release_audience(client, name) if build % 2 and kept else None
                version = max(kept) if action == "again" and kept else len(published) + 1
                # a few members more that stay, so that a change is rarely as large as the whole
                published[version] = members | {f"k{number}" for number in range(15)}
                audience(client, published[version], version, name=name, build=build, snapshot=snapshot)
            for number in client.zrange(f"weft:audience:{name}:versions", 0, -1):
                assert whole_version(client, name, int(number)) == published[int(number)]
        withdraw_audience(client, name)
        assert not client.keys(f"weft:audience:{name}*")
