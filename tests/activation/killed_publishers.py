"""Publishers that kill themselves at a named failpoint, sound ones and broken ones, and readers that watch meanwhile."""

import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis

from activation import (
    EmbeddedRedis,
    audience_plan,
    audience_publisher,
    audience_scripts,
    profile_publisher,
)
from activation.command_stream import CommandStream
from tests.activation.publications import audience, identifiers_of, profiles
from tests.forked import PROCESSES

READERS = 8
OnStep = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """Audiences whose version v has `changing` members of its own and `steady` ones that each version has."""

    steady: int
    changing: int
    most_in_place: int = 50_000
    """Above this many changes a version gets a set of its own."""

    def members(self, version: int) -> list[str]:
        return [f"{version}:{n}" for n in range(self.changing + version)] + [f"all:{n}" for n in range(self.steady)]

    def is_whole(self, members: Iterable[str]) -> bool:
        found = set(members)
        versions = {int(each.partition(":")[0]) for each in found if not each.startswith("all:")}
        return len(versions) == 1 and found == set(self.members(versions.pop()))


@dataclass(frozen=True)
class Job:
    """One publication in a process of its own: `publisher` by name, killed at `failpoint` ("added 50" = the first step
    named `added` at 50 % or more; "" = never)."""

    publisher: str
    port: int
    folder: Path
    version: int
    failpoint: str = ""
    shape: Shape | None = None
    name: str = "vip"

    def run(self) -> int | None:
        """Exit code of the process: -9 when it was killed."""
        process = PROCESSES.Process(target=_publish, args=(self,))
        process.start()
        process.join(120)
        return process.exitcode


def fields_of(version: int) -> dict[str, Any]:
    """Fields of each customer of a version; whether there is a city depends on it."""
    return {"orders": version, "city": f"city {version}" if version % 2 else None, "audiences": [f"v{version}"]}


def customers_of(version: int) -> dict[str, dict[str, Any]]:
    """Customers of a version: each one drops and adds a tenth."""
    return {f"c{n}": fields_of(version) for n in range(40 * (version % 2), 400 + 40 * (version % 2))}


@dataclass
class Watch:
    """What the readers saw: `reads` of each, and what was wrong with any of them."""

    reads: list[int] = field(default_factory=lambda: [0] * READERS)
    torn: list[str] = field(default_factory=list)


@contextmanager
def watched(server: EmbeddedRedis, read: Callable[[redis.Redis], str | None]) -> Iterator[Watch]:
    """Readers that read all the time while the block runs; `read` says what was wrong, or None."""
    watch, ended, began = Watch(), threading.Event(), threading.Barrier(READERS + 1)

    def keep_reading(reader: int) -> None:
        with server.client() as client:
            began.wait()
            while not ended.is_set():
                complaint = read(client)
                watch.reads[reader] += 1
                if complaint is not None:
                    watch.torn.append(complaint)

    threads = [threading.Thread(target=keep_reading, args=(number,)) for number in range(READERS)]
    for thread in threads:
        thread.start()
    began.wait()
    try:
        yield watch
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert all(watch.reads)


def _killed_at(failpoint: str) -> OnStep:
    wanted, _, percent = failpoint.partition(" ")

    def reached(now: str) -> None:
        step, *share = now.removesuffix(" %").split(" ")
        if step == wanted and int((share or ["0"])[0]) >= int(percent or "0"):
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


def _publish(job: Job) -> None:
    audience_publisher._MEMBERS_PER_COMMAND = 5  # so that there is a 1 % and a 99 % of few members too
    profile_publisher._ROWS_PER_TRANSACTION = 4
    if job.shape:
        audience_plan._MOST_CHANGED_IN_PLACE = job.shape.most_in_place
    with redis.Redis(port=job.port) as client:
        PUBLISHERS[job.publisher](client, job, _killed_at(job.failpoint))


def publish_audience(client: redis.Redis, job: Job, on_step: OnStep) -> None:
    assert job.shape is not None
    snapshot = job.folder / f"{job.name}.arrow"
    members = job.shape.members(job.version)
    audience(client, members, job.version, name=job.name, snapshot=snapshot, on_step=on_step)


def _delete_and_add(client: redis.Redis, job: Job, on_step: OnStep) -> None:
    """Broken: the set that readers see is emptied and filled again in pieces."""
    assert job.shape is not None
    set_key = f"weft:audience:{job.name}:v{client.get(f'weft:audience:{job.name}:current').decode()}"
    members = job.shape.members(job.version)
    client.delete(set_key)
    for start in range(0, len(members), 20):
        client.sadd(set_key, *members[start : start + 20])
        on_step(f"added {(start + 20) * 100 // len(members)} %")
    on_step("staged")
    on_step("switched")


def _forget_removals(client: redis.Redis, job: Job, on_step: OnStep) -> None:
    """Broken: only what is new is written, as by a store without deletions."""
    sound = audience_scripts.SWITCH_AUDIENCE
    audience_scripts.SWITCH_AUDIENCE = sound.replace("call_in_parts('SREM', from, removed_members)", "")
    assert sound != audience_scripts.SWITCH_AUDIENCE
    publish_audience(client, job, on_step)


def publish_profiles(client: redis.Redis, job: Job, on_step: OnStep) -> None:
    customers = customers_of(job.version)
    snapshot = job.folder / "profiles.arrow"
    profiles(client, snapshot, customers, identifiers_of(customers), job.version, on_step=on_step)


def _without_transactions(client: redis.Redis, job: Job, on_step: OnStep) -> None:
    """Broken: a profile is deleted and written in two steps, as Feast's pipeline(transaction=False) does."""

    def one_by_one(stream: CommandStream, parts: Any, *, count: int, **_fences: bytes) -> None:
        commands = b"".join(map(bytes, parts)).split(b"*")[1:]
        assert len(commands) == count
        for command in commands:
            stream.send(b"*" + command, count=1)
            stream.wait()

    CommandStream.transaction = one_by_one  # type: ignore[method-assign]
    publish_profiles(client, job, on_step)


PUBLISHERS: dict[str, Callable[[redis.Redis, Job, OnStep], None]] = {
    "audience": publish_audience,
    "profiles": publish_profiles,
    "delete and add": _delete_and_add,
    "forget removals": _forget_removals,
    "without transactions": _without_transactions,
}
