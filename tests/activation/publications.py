"""What the activation tests publish."""

from collections.abc import Iterable, Mapping
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
