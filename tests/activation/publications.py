"""What the activation tests publish, and a publisher process that kills itself at a named step."""

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import redis

from activation import ProfilesReport, PublicationReport, publish_audience, publish_profiles

AS_OF = datetime(2026, 1, 31, 12)
PUBLISHED_AT = datetime(2026, 1, 31, 12, 5)


def audience(
    client: redis.Redis,
    members: Iterable[str],
    version: int = 1,
    *,
    name: str = "vip",
    build: int | None = None,
    **more: Any,
) -> PublicationReport:
    given = {"as_of": AS_OF, "definition_hash": "d1", "published_at": PUBLISHED_AT} | more
    build = version if build is None else build
    ids = pa.array(list(members), pa.string())
    return publish_audience(client, name=name, version=version, build=build, members=ids, **given)


def profiles(
    client: redis.Redis,
    snapshot: Path,
    customers: pa.Table | Mapping[str, Mapping[str, Any]],
    identifiers: Iterable[tuple[str, str, str]] = (),
    version: int = 1,
    *,
    build: int | None = None,
    **more: Any,
) -> ProfilesReport:
    rows = customers if isinstance(customers, pa.Table) else profile_table(customers)
    triples = list(identifiers)
    names = ("identifier_type", "identifier_value", "customer_id")
    columns = {name: pa.array([row[at] for row in triples], pa.string()) for at, name in enumerate(names)}
    given = {"as_of": AS_OF, "published_at": PUBLISHED_AT} | more
    build = version if build is None else build
    return publish_profiles(
        client, version=version, build=build, profiles=rows, identifiers=pa.table(columns), snapshot=snapshot, **given
    )


def profile_table(customers: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    schema = [("customer_id", pa.string()), ("orders", pa.int64()), ("city", pa.string())]
    fields = [{"customer_id": key, **values} for key, values in customers.items()]
    table = pa.Table.from_pylist(fields, schema=pa.schema([*schema, ("audiences", pa.list_(pa.string()))]))
    return table


def current_members(client: redis.Redis, name: str = "vip") -> set[str]:
    version = client.get(f"weft:audience:{name}:current").decode()
    return {member.decode() for member in client.smembers(f"weft:audience:{name}:v{version}")}


def hash_of(client: redis.Redis, customer_id: str) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in client.hgetall(f"weft:profile:{customer_id}").items()}


def publish_and_die(kind: str, port: int, step: str, snapshot: Path) -> int | None:
    """Run a publisher in a process of its own that kills itself at `step`; returns its exit code (-9 when it did)."""
    process = _PROCESSES.Process(target=_publish, args=(kind, port, step, snapshot))
    process.start()
    process.join(60)
    return process.exitcode


def old_members() -> list[str]:
    return [f"old-{number}" for number in range(10_000)] + [f"kept-{number}" for number in range(20_000)]


def new_members() -> list[str]:
    return [f"new-{number}" for number in range(10_000)] + [f"kept-{number}" for number in range(20_000)]


def old_profiles() -> dict[str, dict[str, Any]]:
    return {f"c{number}": {"orders": 1, "city": "Graz", "audiences": ["old"]} for number in range(3_000)}


def new_profiles() -> dict[str, dict[str, Any]]:
    return {f"c{number}": {"orders": 2, "city": None, "audiences": ["new"]} for number in range(1_000, 4_000)}


def identifiers_of(customers: Iterable[str]) -> list[tuple[str, str, str]]:
    return [("email", f"{customer}@example.com", customer) for customer in customers]


def _kill_at(step: str) -> Callable[[str], None]:
    def reached(now: str) -> None:
        if now == step:
            os.kill(os.getpid(), signal.SIGKILL)

    return reached


def _publish(kind: str, port: int, step: str, snapshot: Path) -> None:
    with redis.Redis(port=port) as client:
        if kind == "audience":
            audience(client, new_members(), version=2, on_step=_kill_at(step))
        else:
            new = new_profiles()
            profiles(client, snapshot, new, identifiers_of(new), version=2, on_step=_kill_at(step))


# Forked from a clean process that has everything imported: a start takes milliseconds instead of a second.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload([__name__])
