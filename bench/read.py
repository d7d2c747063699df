"""Reading while eight clients do: a profile with its audiences through Weft's reader, beside bare HGETALL + SMEMBERS in one round trip.

Every client is a process of its own with one connection and asks for one random customer after the other; the server shares the
machine with them. The bare keys are those of the reference's anchor (publish.py --step read): a hash, and a set of audiences for each
customer.
"""

import multiprocessing
import random
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import duckdb
import redis

from activation import Reader, keys
from activation.embedded_redis import EmbeddedRedis
from activation.publisher import publish_profiles
from bench.comparison import markdown_table, spread
from bench.harness import BenchError, Facts, Measurement, Run, measure, workspace
from bench.publish import AS_OF
from bench.shop_customers import CUSTOMERS, REST

CLIENTS, SECONDS, WARM_SECONDS = 8, 5.0, 0.5
WEFT, BY_MAIL, MEMBER, BARE = (
    "Weft, by customer id",
    "Weft, by e-mail",
    "Weft, in one audience?",
    "bare HGETALL + SMEMBERS",
)
AT_MOST = 1.5
Ask = Callable[[str], bool]


def run(size: int, repeats: int) -> str:
    """Measure each way of reading `size` customers, turn by turn; gives the result as Markdown."""
    works = {BARE: bare, WEFT: by_customer_id, BY_MAIL: by_mail, MEMBER: one_audience}
    measured: dict[str, list[Measurement]] = {name: [] for name in works}
    with workspace() as inputs:
        for _ in range(repeats):
            for name, work in works.items():
                measured[name].append(measure(work, inputs=inputs, size=size))

    def row(name: str) -> list[str]:
        of_name = [each.facts for each in measured[name]]
        ratio = [
            each.facts["p99"] / limit.facts["p99"] for each, limit in zip(measured[name], measured[BARE], strict=True)
        ]
        is_judged = name == WEFT
        verdict = ("met" if median(ratio) <= AT_MOST else "**missed**") if is_judged else ""
        held = [f"{facts['bytes']:,}" for facts in of_name if "bytes" in facts][-1:] or [""]
        return [
            name,
            f"{median(facts['reads/s'] for facts in of_name):,.0f}",
            *(spread([facts[fact] for facts in of_name]) for fact in ("p50", "p99")),
            f"{median(facts['client us'] for facts in of_name):,.0f} + {median(facts['server us'] for facts in of_name):,.0f}",
            spread(ratio),
            f"<= {AT_MOST:g}" if is_judged else "",
            verdict,
            *held,
        ]

    head = [
        "",
        "reads/s",
        "p50 us",
        "p99 us",
        "CPU us: client + server",
        "p99 / bare",
        "target",
        "",
        "bytes a customer",
    ]
    said = (
        f"{size:,} customers, {CLIENTS} clients, {SECONDS:g} s each, n = {repeats}. Weft normalises, follows merged ids, tells missing "
        "from unknown and gives the age; the bare reader gets bytes. Bytes: used_memory_dataset, Weft's with two identifiers a customer."
    )
    return "\n".join(["### Reading", "", said, "", *markdown_table(head, [row(name) for name in works])])


def by_customer_id(run: Run) -> Facts:
    """Reader.profile by customer id: fields, audiences, version and age."""
    return _published_by_weft(run, _ask_by_id, "customer_id")


def by_mail(run: Run) -> Facts:
    """Reader.profile by e-mail address, which is looked up in the same round trip."""
    return _published_by_weft(run, _ask_by_mail, "email_hash || '@mail.example'")


def one_audience(run: Run) -> Facts:
    """Reader.is_member of one audience."""
    return _published_by_weft(run, _ask_member, "customer_id")


def bare(run: Run) -> Facts:
    """HGETALL and SMEMBERS in one pipeline without transaction, as the anchor does."""
    with (
        _shop(run) as shop,
        EmbeddedRedis(run.scratch / "redis", appendonly=False) as server,
        server.client() as client,
    ):
        pipeline = client.pipeline(transaction=False)
        rows = shop.execute("select * from customers")
        names = [column[0] for column in rows.description or []]
        while part := rows.fetchmany(1_000):
            for values in part:
                customer_id, *texts, audiences = values  # the first and the last column
                pipeline.hset(f"c:{customer_id}", mapping=dict(zip(names[1:-1], map(str, texts), strict=True)))
                pipeline.sadd(f"a:{customer_id}", *audiences)
            pipeline.execute()
        return _read(run, server.port, _ask_bare, _names(shop, "customer_id")) | _bytes(client, run)


def _published_by_weft(run: Run, ask: Callable[[redis.Redis], Ask], name: str) -> Facts:
    with (
        _shop(run) as shop,
        EmbeddedRedis(run.scratch / "redis", appendonly=False) as server,
        server.client() as client,
    ):
        publish_profiles(
            client,
            version=1,
            build=1,
            profiles=shop.sql("select * from customers").to_arrow_table(),
            identifiers=shop.sql("select * from identifiers_customers").to_arrow_table(),
            as_of=AS_OF,
            snapshot=run.scratch / "profiles.arrow",
            published_at=AS_OF,
        )
        held = _bytes(client, run)
        members = [row[0] for row in shop.execute("select customer_id from members_customers limit 10000").fetchall()]
        client.sadd(keys.audience_set_key("vip", 1), *members)
        client.hset(
            keys.audience_manifest_key("vip", 1),
            mapping={"count": len(members), "as_of": "2026-12-31T00:00:00.000000Z"},
        )
        client.set(keys.audience_pointer_key("vip"), 1)
        return _read(run, server.port, ask, _names(shop, name)) | held


def _ask_by_id(client: redis.Redis) -> Ask:
    reader = Reader(client)
    return lambda name: reader.profile("customer_id", name, now=AS_OF) is not None


def _ask_by_mail(client: redis.Redis) -> Ask:
    reader = Reader(client)
    return lambda name: reader.profile("email", name, now=AS_OF) is not None


def _ask_member(client: redis.Redis) -> Ask:
    reader = Reader(client)
    return lambda name: reader.is_member("vip", name) in (True, False)


def _ask_bare(client: redis.Redis) -> Ask:
    def ask(name: str) -> bool:
        pipeline = client.pipeline(transaction=False)
        pipeline.hgetall(f"c:{name}")
        pipeline.smembers(f"a:{name}")
        fields, audiences = pipeline.execute()
        return bool(fields and audiences)

    return ask


def _read(run: Run, port: int, ask: Callable[[redis.Redis], Ask], names: list[str]) -> Facts:
    """Latencies of all clients together, in microseconds."""
    context = multiprocessing.get_context("fork")
    answers: Any = context.SimpleQueue()
    begin = context.Barrier(CLIENTS)
    clients = [
        context.Process(target=_client, args=(port, ask, names, number, (begin, answers))) for number in range(CLIENTS)
    ]
    with redis.Redis(port=port) as server, run.clock.running():
        before = _server_seconds(server)
        for client in clients:
            client.start()
        taken = [microseconds for _ in clients for microseconds in answers.get()]
        for client in clients:
            client.join()
        server_seconds = _server_seconds(server) - before
    if any(client.exitcode for client in clients):
        raise BenchError("A reading client ended with an error.")
    taken.sort()
    return {
        "reads/s": len(taken) / SECONDS,
        "p50": taken[len(taken) // 2],
        "p99": taken[len(taken) * 99 // 100],
        # those of the warm-up are not counted as reads, so this is a tenth too much, for all alike
        "client us": run.clock.cpu_seconds * 1_000_000 / len(taken),
        "server us": server_seconds * 1_000_000 / len(taken),
    }


def _server_seconds(server: redis.Redis) -> float:
    used = server.info("cpu")
    return float(used["used_cpu_user"] + used["used_cpu_sys"])


def _client(
    port: int, ask: Callable[[redis.Redis], Ask], names: list[str], number: int, shared: tuple[Any, Any]
) -> None:
    begin, answers = shared
    chosen, taken = random.Random(number), []
    with redis.Redis(port=port) as client:
        is_found = ask(client)
        begin.wait()
        until = time.perf_counter() + WARM_SECONDS
        while time.perf_counter() < until:
            is_found(chosen.choice(names))
        until = time.perf_counter() + SECONDS
        while (began := time.perf_counter()) < until:
            assert is_found(chosen.choice(names))
            taken.append((time.perf_counter() - began) * 1_000_000)
    answers.put(taken)


def _shop(run: Run) -> duckdb.DuckDBPyConnection:
    shop = duckdb.connect(str(run.scratch / "shop.duckdb"))
    shop.execute(CUSTOMERS.format(name="customers", change="0", size=run.size))
    shop.execute(REST.format(name="customers"))
    return shop


def _names(shop: duckdb.DuckDBPyConnection, expression: str) -> list[str]:
    return [row[0] for row in shop.execute(f"select {expression} from customers using sample 200000 rows").fetchall()]


def _bytes(client: redis.Redis, run: Run) -> Facts:
    return {"bytes": round(client.info("memory")["used_memory_dataset"] / run.size)}
