"""Profile publication against a real Redis: hashes, identifiers, differences, fencing, damage."""

import json
import threading
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activation import EmbeddedRedis, PublicationError, StalePublisherError
from activation.profile_publisher import publish_profiles
from tests.activation.publications import AS_OF, PUBLISHED_AT, hash_of, identifiers_of, profile_table, profiles

ADA = {"orders": 3, "city": "Wien", "audiences": ["vip", "lapsed"]}
BOB = {"orders": 1, "city": None, "audiences": []}


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    return tmp_path / "published" / "profiles.parquet"


def test_a_profile_is_one_hash_of_texts_without_its_nulls(client: redis.Redis, snapshot: Path) -> None:
    report = profiles(client, snapshot, {"ada": ADA, "bob": BOB}, [("email", "ada@example.com", "ada")])
    assert (report.mode, report.count, report.profiles_written, report.identifiers_written) == ("whole", 2, 2, 1)
    stamp = {"_version": "1", "_as_of": "2026-01-31T12:00:00.000000Z"}
    assert hash_of(client, "ada") == {"orders": "3", "city": "Wien", "audiences": '["lapsed","vip"]'} | stamp
    assert hash_of(client, "bob") == {"orders": "1", "audiences": "[]"} | stamp
    assert client.get("weft:id:email:ada@example.com") == b"ada"


def test_the_manifest_tells_what_was_published(client: redis.Redis, snapshot: Path) -> None:
    profiles(client, snapshot, {"ada": ADA}, [("email", "a@b.c", "ada"), ("phone", "431", "ada")], version=7, build=9)
    manifest = {key.decode(): value.decode() for key, value in client.hgetall("weft:profiles:manifest").items()}
    assert manifest["state"] == "complete"
    assert [manifest[key] for key in ("version", "build", "count", "identifier_count")] == ["7", "9", "1", "2"]
    assert manifest["published_at"] == "2026-01-31T12:05:00.000000Z"


def test_only_what_changed_is_sent(client: redis.Redis, snapshot: Path) -> None:
    profiles(client, snapshot, {"ada": ADA, "bob": BOB, "eve": BOB}, [("email", "x", "ada"), ("email", "y", "bob")])
    changed = {"ada": ADA, "bob": BOB | {"orders": 2}, "new": BOB}
    report = profiles(client, snapshot, changed, [("email", "x", "bob"), ("phone", "1", "ada")], version=2)
    assert (report.mode, report.profiles_written, report.profiles_removed) == ("diff", 2, 1)
    assert (report.identifiers_written, report.identifiers_removed) == (2, 1)
    assert hash_of(client, "ada")["_version"] == "1"
    assert hash_of(client, "bob")["orders"] == "2"
    assert not client.exists("weft:profile:eve", "weft:id:email:y")
    assert client.get("weft:id:email:x") == b"bob"


def test_publishing_the_same_again_sends_nothing_but_moves_the_manifest(client: redis.Redis, snapshot: Path) -> None:
    profiles(client, snapshot, {"ada": ADA, "bob": BOB})
    reordered = profile_table({"bob": BOB, "ada": ADA | {"audiences": ["lapsed", "vip"]}})
    report = profiles(client, snapshot, reordered, version=2, as_of=datetime(2026, 2, 1))
    assert (report.mode, report.commands_sent) == ("nothing", 0)
    assert client.hmget("weft:profiles:manifest", "version", "as_of") == [b"2", b"2026-02-01T00:00:00.000000Z"]
    assert profiles(client, snapshot, reordered, version=3).mode == "nothing"


def test_a_field_that_became_null_goes_and_a_new_column_comes(client: redis.Redis, snapshot: Path) -> None:
    profiles(client, snapshot, {"ada": ADA, "bob": BOB})
    wider = profile_table({"ada": ADA | {"city": None}, "bob": BOB}).append_column("score", pa.array([0.5, None]))
    report = profiles(client, snapshot, wider, version=2)
    assert (report.mode, report.profiles_written) == ("diff", 2)
    assert hash_of(client, "ada").keys() == {"orders", "audiences", "score", "_version", "_as_of"}
    assert hash_of(client, "bob").keys() == {"orders", "audiences", "_version", "_as_of"}


def test_a_profile_is_replaced_in_one_step(redis_server: EmbeddedRedis, client: redis.Redis, snapshot: Path) -> None:
    """Readers of one hash never find fields of two versions, nor a hash on its way from one to the other.

    The long value makes the server read the commands of one customer in pieces, serving readers in between."""
    long = "long" * 20_000
    first: dict[str, Any] = {"city": long, "orders": 1, "audiences": ["first"]}
    second: dict[str, Any] = {"city": None, "orders": 2, "audiences": ["second"]}
    whole = (
        {"city": long, "orders": "1", "audiences": '["first"]'},
        {"orders": "2", "audiences": '["second"]'},
    )
    ended, torn, seen = threading.Event(), [], set()

    def keep_reading() -> None:
        with redis_server.client() as reader:
            while not ended.is_set():
                found = {key: value for key, value in hash_of(reader, "c7").items() if not key.startswith("_")}
                seen.add(found.get("orders"))
                if found not in whole:
                    torn.append(found.keys())

    customers = [f"c{number}" for number in range(10)]
    profiles(client, snapshot, dict.fromkeys(customers, first))
    readers = [threading.Thread(target=keep_reading) for _ in range(3)]
    for reader in readers:
        reader.start()
    for version in range(2, 42):
        profiles(client, snapshot, dict.fromkeys(customers, second if version % 2 else first), version=version)
        if version % 10 == 0:
            snapshot.unlink()  # the next publication is whole: also then old or new
    ended.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert seen == {"1", "2"}


@pytest.mark.parametrize("loss", ["flushed", "snapshot lost", "snapshot cut", "manifest changed", "manifest lost"])
def test_where_snapshot_and_redis_disagree_everything_is_sent(client: redis.Redis, snapshot: Path, loss: str) -> None:
    profiles(client, snapshot, {"ada": ADA, "old": BOB}, [("email", "old", "old")])
    match loss:
        case "flushed":
            client.flushall()
        case "snapshot lost":
            snapshot.unlink()
        case "snapshot cut":
            snapshot.write_bytes(snapshot.read_bytes()[:-20])
        case "manifest changed":
            client.hset("weft:profiles:manifest", "checksum", "0" * 16)
        case "manifest lost":
            client.delete("weft:profiles:manifest")
    client.hset("weft:profile:stray", "orders", "1")
    client.set("weft:id:email:stray", "stray")
    client.set("weft:profile:ada", "a key of a wrong type")
    report = profiles(client, snapshot, {"ada": ADA}, [("email", "new", "ada")], version=2)
    assert report.mode == "whole"
    assert set(client.keys()) == {b"weft:profile:ada", b"weft:id:email:new", b"weft:profiles:manifest"}
    assert hash_of(client, "ada")["orders"] == "3"
    assert profiles(client, snapshot, {"ada": ADA}, [("email", "new", "ada")], version=3).mode == "nothing"


def test_other_peoples_keys_and_live_state_are_left_alone(client: redis.Redis, snapshot: Path) -> None:
    others = {"weft:audience:vip:current": "3", "user:1:features:5min": "x", "weft:profile": "x", "weft:ids": "x"}
    client.mset(others)
    profiles(client, snapshot, {"ada": ADA})
    assert {key.decode() for key in client.scan_iter()} >= set(others)


@pytest.mark.parametrize(("version", "build"), [(2, 1), (1, 2)])
def test_an_older_build_or_version_is_refused(client: redis.Redis, snapshot: Path, version: int, build: int) -> None:
    profiles(client, snapshot, {"ada": ADA}, version=2, build=2)
    with pytest.raises(StalePublisherError, match="Profiles are at version 2 of build 2"):
        profiles(client, snapshot, {"bob": BOB}, version=version, build=build)
    assert client.exists("weft:profile:ada")


@pytest.mark.parametrize("step", ["profiles 50 %", "identifiers", "written"])
def test_a_stale_publisher_that_wakes_up_cannot_win(client: redis.Redis, snapshot: Path, step: str) -> None:
    """While version 2 sleeps half-way, version 3 publishes; whatever version 2 still sends has no effect."""
    many = {f"c{number}": ADA for number in range(2_048)}
    newest = {name: BOB for name in many}
    elsewhere = snapshot.with_name("elsewhere.parquet")
    slept: list[bool] = []

    def newer_one_comes(now: str) -> None:
        if now == step and not slept:
            slept.append(True)
            profiles(client, elsewhere, newest, identifiers_of(newest), version=3)

    profiles(client, snapshot, {name: ADA | {"orders": 0} for name in many})
    with pytest.raises(StalePublisherError):
        profiles(client, snapshot, many, identifiers_of(many), version=2, on_step=newer_one_comes)
    assert slept
    assert all(hash_of(client, name)["_version"] == "3" for name in many)
    assert client.hget("weft:profiles:manifest", "state") == b"complete"
    assert profiles(client, elsewhere, newest, identifiers_of(newest), version=4).mode == "nothing"


def test_a_diff_is_given_up_when_its_ground_moved(client: redis.Redis, snapshot: Path) -> None:
    profiles(client, snapshot, {"ada": ADA})

    def same_build_comes(step: str) -> None:
        if step == "planned":
            profiles(client, snapshot.with_name("other.parquet"), {"bob": BOB}, version=2)

    with pytest.raises(PublicationError, match="began meanwhile"):
        profiles(client, snapshot, {"ada": BOB}, version=2, on_step=same_build_comes)


def test_a_merged_id_becomes_a_redirect(client: redis.Redis, snapshot: Path) -> None:
    profiles(client, snapshot, {"ada": ADA, "old": BOB}, identifiers_of(["ada", "old"]))
    merged = [("email", "ada@example.com", "ada"), ("email", "old@example.com", "ada"), ("customer_id", "old", "ada")]
    profiles(client, snapshot, {"ada": ADA}, merged, version=2)
    assert client.get("weft:id:customer_id:old") == b"ada"
    assert not client.exists("weft:profile:old")
    split = identifiers_of(["ada", "old"])
    profiles(client, snapshot, {"ada": ADA, "old": BOB}, split, version=3)
    assert not client.exists("weft:id:customer_id:old")
    assert client.exists("weft:profile:old")


def test_every_type_has_its_text(client: redis.Redis, snapshot: Path) -> None:
    columns: dict[str, Any] = {
        "customer_id": pa.array(["ada"]),
        "amount": pa.array([Decimal("0.00000001")], pa.decimal128(18, 8)),
        "share": pa.array([0.1]),
        "unknown": pa.array([float("nan")]),
        "is_new": pa.array([True]),
        "birth_date": pa.array([date(2001, 2, 3)]),
        "seen_at": pa.array([datetime(2026, 1, 2, 3, 4, 5, 6)], pa.timestamp("us")),
        "zoned_at": pa.array([datetime(2026, 1, 2, tzinfo=UTC)], pa.timestamp("ns", "Europe/Vienna")),
        "segment": pa.array(["gold"]).dictionary_encode(),
        "reasons": pa.array([[{"feature": "x", "value": 1}]]),
        "nothing": pa.nulls(1),
        "bytes": pa.array([b"\x00\xff"]),
        "large": pa.array(["l"], pa.large_string()),
        "audiences": pa.array([['quo"te', "a"]], pa.large_list(pa.string())),
    }
    profiles(client, snapshot, pa.table(columns))
    found = client.hgetall("weft:profile:ada")
    assert found[b"bytes"] == b"\x00\xff"
    texts = {key.decode(): value.decode() for key, value in found.items() if key != b"bytes" and key[:1] != b"_"}
    assert json.loads(texts.pop("reasons")) == [{"feature": "x", "value": 1}]
    assert texts == {
        "amount": "0.00000001",
        "share": "0.1",
        "is_new": "true",
        "birth_date": "2001-02-03",
        "seen_at": "2026-01-02T03:04:05.000006Z",
        "zoned_at": "2026-01-02T00:00:00.000000Z",
        "segment": "gold",
        "large": "l",
        "audiences": '["a","quo\\"te"]',
    }
    assert profiles(client, snapshot, pa.table(columns), version=2).mode == "nothing"


def test_hostile_values_stay_data(client: redis.Redis, snapshot: Path) -> None:
    evil = ["a\r\nFLUSHALL\r\n", "\0", "weft:profiles:manifest", "😀", "-ERR x", "m" * 1_000_000, ""]
    customers = {
        f"id:{number}\r\n{text[:20]}": {"city": text, "orders": None, "audiences": []}
        for number, text in enumerate(evil)
    }
    identifiers = [("email", f"{number}{text}", "x") for number, text in enumerate(evil)]
    for version in (1, 2, 3):
        profiles(client, snapshot, customers, identifiers, version=version)
        if version == 2:
            snapshot.unlink()
    assert [hash_of(client, customer)["city"] for customer in customers] == evil
    assert all(client.get(f"weft:id:email:{value}") == b"x" for _, value, _ in identifiers)
    assert len(client.keys()) == 2 * len(evil) + 1


@pytest.mark.parametrize(
    ("customers", "identifiers", "complaint"),
    [
        (["a", "a"], [], "stands twice in the profiles"),
        (["a", None], [], "missing"),
        (["a", ""], [], "missing"),
        (["a"], [("email", "x", "a"), ("email", "x", "b")], "stands twice in the identifiers"),
        (["a"], [("e:mail", "x", "a")], "cannot be an identifier type"),
        (["a"], [("email", "", "a")], "missing"),
        (["a"], [("email", "x", None)], "missing"),
    ],
)
def test_tables_that_make_no_sense_are_refused_before_anything_is_written(
    client: redis.Redis, snapshot: Path, customers: list[str], identifiers: list[tuple[str, str, str]], complaint: str
) -> None:
    table = pa.table({"customer_id": pa.array(customers, pa.string())})
    with pytest.raises(ValueError, match=complaint):
        profiles(client, snapshot, table, identifiers)
    assert not client.keys()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        (pa.table({"id": ["a"]}), "lack the column customer_id"),
        (pa.table({"customer_id": ["a"], "_version": [1]}), "must not start with '_'"),
        (pa.table({"customer_id": ["a"], "audiences": [["vip", None]]}), "'audiences' holds a null"),
        (pa.table({"customer_id": ["a"], "gap": pa.nulls(1, pa.month_day_nano_interval())}), "cannot be published"),
    ],
)
def test_columns_that_cannot_be_published_are_named(
    client: redis.Redis, snapshot: Path, table: pa.Table, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        profiles(client, snapshot, table)
    assert not client.keys()


def test_the_snapshot_is_for_its_owner_only(client: redis.Redis, snapshot: Path) -> None:
    profiles(client, snapshot, {"ada": ADA})
    assert snapshot.stat().st_mode & 0o077 == 0
    assert [path.name for path in snapshot.parent.iterdir()] == ["profiles.parquet"]


def test_no_profiles_at_all_is_a_publication_too(client: redis.Redis, snapshot: Path) -> None:
    profiles(client, snapshot, {"ada": ADA}, [("email", "x", "ada")])
    profiles(client, snapshot, {}, version=2)
    assert client.keys() == [b"weft:profiles:manifest"]
    assert profiles(client, snapshot, {}, version=3).mode == "nothing"


texts = st.one_of(st.none(), st.text(max_size=12))
customer = st.fixed_dictionaries(
    {
        "orders": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)),
        "city": texts,
        "audiences": st.one_of(st.none(), st.lists(st.text(max_size=3), unique=True, max_size=4)),
    }
)
ids = st.text(min_size=1, max_size=4)
states = st.tuples(
    st.dictionaries(ids, customer, max_size=8),
    st.dictionaries(ids, ids, max_size=8),
    st.sampled_from(["", "flush", "forget"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(inputs=st.lists(states, min_size=1, max_size=4))
def test_after_any_sequence_of_publications_redis_holds_the_last_input(
    redis_server: EmbeddedRedis, tmp_path: Path, inputs: list[Any]
) -> None:
    path = tmp_path / "p.parquet"
    with redis_server.client() as client:
        client.flushall()
        for version, (customers, emails, accident) in enumerate(inputs, start=1):
            if accident == "flush":
                client.flushall()
            elif accident == "forget":
                path.unlink(missing_ok=True)
            profiles(client, path, customers, [("email", *pair) for pair in emails.items()], version=version)
            assert held(client) == (expected_hashes(customers), emails)


def held(client: redis.Redis) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    names = [key.decode().removeprefix("weft:profile:") for key in client.scan_iter("weft:profile:*")]
    emails = {
        key.decode().removeprefix("weft:id:email:"): client.get(key).decode() for key in client.scan_iter("weft:id:*")
    }
    hashes = {name: {k: v for k, v in hash_of(client, name).items() if k[0] != "_"} for name in names}
    return hashes, emails


def expected_hashes(customers: dict[str, dict[str, Any]]) -> dict[str, dict[str, str]]:
    expected = {}
    for name, fields in customers.items():
        audiences = json.dumps(
            sorted(fields["audiences"] or [], key=str.encode), ensure_ascii=False, separators=(",", ":")
        )
        texts = {key: str(value) for key, value in fields.items() if value is not None}
        expected[name] = texts | {"audiences": audiences}
    return expected


def test_a_publisher_speaks_for_itself_whatever_client_it_is_given(redis_server: EmbeddedRedis, snapshot: Path) -> None:
    with redis.Redis(port=redis_server.port, decode_responses=True, protocol=3) as other:
        other.flushall()
        for version in (1, 2):
            rows = {f"c{number}": ADA | {"orders": version} for number in range(1_500)}
            profiles(other, snapshot, rows, version=version)
        assert other.hget("weft:profile:c7", "orders") == "2"


def test_the_function_takes_what_its_signature_says(client: redis.Redis, snapshot: Path) -> None:
    report = publish_profiles(
        client,
        version=1,
        build=1,
        profiles=pa.table({"customer_id": ["a"]}),
        identifiers=pa.table({"identifier_type": ["email"], "identifier_value": ["x"], "customer_id": ["a"]}),
        as_of=AS_OF,
        snapshot=snapshot,
        published_at=PUBLISHED_AT,
    )
    assert report.count == 1
    assert hash_of(client, "a").keys() == {"_version", "_as_of"}
