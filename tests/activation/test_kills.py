"""Publishers killed at every failpoint while readers read: nothing torn, no removal lost, the next run finishes.

Each check is also given a publisher that breaks the promise, and must notice. Full counts run under `nightly`."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from activation import ActivationError, EmbeddedRedis, NotPublishedError, Reader, rollback_audience
from activation.errors import AudienceChangedError
from tests.activation.killed_publishers import (
    Job,
    Shape,
    customers_of,
    fields_of,
    publish_audience,
    publish_profiles,
    watched,
)
from tests.activation.publications import current_members, hash_of

SHAPES = {
    "in place": Shape(steady=600, changing=200),
    "copied": Shape(steady=600, changing=200, most_in_place=0),
    "whole": Shape(steady=100, changing=500),
}
LARGE = {
    "in place": Shape(steady=96_000, changing=4_000),
    "copied": Shape(steady=60_000, changing=40_000),
    "whole": Shape(steady=10_000, changing=90_000),
}
BEFORE_SWITCH = ["planned", "registered", "added 1", "added 50", "added 99", "staged"]
AFTER_SWITCH = ["switched", "remembered"]
REMOVING = ["removed 1", "removed 50", "removed 99"]
PROFILE_FAILPOINTS = [
    *("planned", "begun", "profiles 1", "profiles 50", "profiles 99"),
    *("identifiers", "removals", "written", "snapshot", "complete"),
]


def audience_problems(
    server: EmbeddedRedis,
    folder: Path,
    *,
    publisher: str,
    shape: Shape,
    failpoints: list[str],
    audiences: int = 1,
    rounds: int = 1,
) -> Iterator[str]:
    """Kill a publisher at each failpoint, `rounds` times, audience after audience, and let the next run finish."""
    names = [f"vip-{number}" for number in range(audiences)]
    version = dict.fromkeys(names, 1)

    def read(client: redis.Redis) -> str | None:
        try:
            return None if shape.is_whole(Reader(client).members(random.choice(names))) else "torn read"
        except AudienceChangedError:
            return None  # said so instead of mixing two versions
        except NotPublishedError:
            return "readers were told that the audience is not published"

    with server.client() as client:
        for name in names:
            publish_audience(client, Job("audience", server.port, folder, 1, shape=shape, name=name), lambda _: None)
        with watched(server, read) as watch:
            for number, failpoint in enumerate(failpoints * rounds):
                name = names[number % audiences]
                old, new = shape.members(version[name]), shape.members(version[name] + 1)
                version[name] += 1
                job = Job(publisher, server.port, folder, version[name], failpoint, shape, name)
                if job.run() != -signal.SIGKILL:
                    yield f"{failpoint}: was not reached"
                if current_members(client, name) != set(new if failpoint in AFTER_SWITCH else old):
                    yield f"{failpoint}: readers are left with neither the old nor the new version"
                if Job(publisher, server.port, folder, version[name], "", shape, name).run() != 0:
                    yield f"{failpoint}: the next run fails"
                if current_members(client, name) != set(new):
                    yield f"{failpoint}: the next run does not finish"
                if client.keys(f"weft:audience:{name}:staging*"):
                    yield f"{failpoint}: something staged is left over"
        yield from watch.torn
        for name in names:
            try:
                rollback_audience(client, name, version[name] - 1)
            except ActivationError as error:
                yield str(error)
            if current_members(client, name) != set(shape.members(version[name] - 1)):
                yield "the version before cannot be had back"


@pytest.mark.parametrize("mode", SHAPES)
def test_an_audience_publisher_killed_anywhere_tears_and_loses_nothing(
    redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path, mode: str
) -> None:
    failpoints = [
        *BEFORE_SWITCH,
        *AFTER_SWITCH,
        *(REMOVING if mode != "whole" else []),
        *["copied"][: mode == "copied"],
    ]
    problems = audience_problems(
        redis_server, tmp_path, publisher="audience", shape=SHAPES[mode], failpoints=failpoints
    )
    assert list(problems) == []


@pytest.mark.nightly
@pytest.mark.parametrize("mode", LARGE)
def test_ten_large_audiences_killed_twenty_times_at_each_failpoint(
    redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path, mode: str
) -> None:
    failpoints = ["added 1", "added 50", "added 99", "staged", "switched"]
    problems = audience_problems(
        redis_server,
        tmp_path,
        publisher="audience",
        shape=LARGE[mode],
        failpoints=failpoints,
        audiences=10,
        rounds=20,
    )
    assert list(problems) == []


def test_the_check_notices_a_publisher_that_empties_and_fills_the_set(
    redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    shape = SHAPES["in place"]
    problems = set(
        audience_problems(
            redis_server, tmp_path, publisher="delete and add", shape=shape, failpoints=["added 1", "added 50"]
        )
    )
    assert "torn read" in problems
    assert "added 50: readers are left with neither the old nor the new version" in problems


def test_the_check_notices_a_publisher_that_forgets_removals(
    redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    shape = SHAPES["in place"]
    problems = audience_problems(
        redis_server, tmp_path, publisher="forget removals", shape=shape, failpoints=["switched"]
    )
    assert "switched: readers are left with neither the old nor the new version" in set(problems)


def profile_problems(
    server: EmbeddedRedis, folder: Path, *, publisher: str, failpoints: list[str], rounds: int = 1
) -> Iterator[str]:
    """Kill a publisher of profiles at each failpoint, `rounds` times, and let the next run finish."""

    def read(client: redis.Redis) -> str | None:
        customer = f"c{random.randrange(40, 400)}"  # in every version
        found = Reader(client).profile("email", f"{customer}@example.com")
        if found is None:
            return "a customer of every version was not found"
        wanted = {key: str(value) for key, value in fields_of(found.version).items() if value is not None}
        is_whole = found.fields | {"audiences": str(list(found.audiences))} == wanted
        return None if is_whole else "a profile was torn"

    with server.client() as client:
        version = 1
        publish_profiles(client, Job("profiles", server.port, folder, version), lambda _: None)
        with watched(server, read) as watch:
            for failpoint in failpoints * rounds:
                version += 1
                if Job(publisher, server.port, folder, version, failpoint).run() != -signal.SIGKILL:
                    yield f"{failpoint}: was not reached"
                if Job(publisher, server.port, folder, version).run() != 0:
                    yield f"{failpoint}: the next run fails"
                wanted = customers_of(version)
                if {key.decode()[13:] for key in client.keys("weft:profile:*")} != wanted.keys():
                    yield f"{failpoint}: removals are lost, or customers"
                if len(client.keys("weft:id:*")) != len(wanted):
                    yield f"{failpoint}: identifiers are lost or left over"
                if any(hash_of(client, name)["_version"] != str(version) for name in list(wanted)[::50]):
                    yield f"{failpoint}: the next run does not finish"
        yield from watch.torn


@pytest.mark.parametrize("rounds", [1, pytest.param(20, marks=pytest.mark.nightly)])
def test_a_profile_publisher_killed_anywhere_tears_and_loses_nothing(
    redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path, rounds: int
) -> None:
    problems = profile_problems(
        redis_server, tmp_path, publisher="profiles", failpoints=PROFILE_FAILPOINTS, rounds=rounds
    )
    assert list(problems) == []


def test_the_check_notices_a_publisher_of_profiles_without_transactions(
    redis_server: EmbeddedRedis, client: redis.Redis, tmp_path: Path
) -> None:
    wanted = {"a customer of every version was not found", "a profile was torn"}
    for turn in range(12):
        client.flushall()
        folder = tmp_path / str(turn)
        problems = profile_problems(redis_server, folder, publisher="without transactions", failpoints=["profiles 50"])
        if set(problems) & wanted:
            return
    pytest.fail("nobody noticed")
