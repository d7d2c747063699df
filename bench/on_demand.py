"""Models on demand while four clients ask: `POST /v1/predictions/{model}`, beside a bare route that reads the same key and scores nothing.

Every client is a process with one connection that asks for one random customer (or a hundred) after the other; server, Redis and clients
share the machine. The server is uvicorn with one worker, as `weft serve api` runs it.
"""

import http.client
import json
import multiprocessing
import random
import socket
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pandas as pd
import pyarrow as pa
import redis
import uvicorn
from fastapi import FastAPI, Request

from activation import EmbeddedRedis, Reader, publish_profiles
from activation.api.app import create_api
from activation.api.settings import READ_PREDICTIONS, ApiSettings, Scorer
from bench.comparison import markdown_table, spread
from bench.harness import BenchError, Facts, Measurement, Run, measure, workspace
from bench.made_up_features import DATES, feature_rows, with_labels
from bench.publish import AS_OF
from ml import churn, ltv, segments, splits
from orchestration.on_demand import ChampionScorer

CLIENTS, SECONDS, WARM_SECONDS = 4, 5.0, 1.0
TRAINED_ON = 5_000
BARE, CHURN, LTV, SEGMENTS, HUNDRED = (
    "bare FastAPI + HGET",
    "churn, one customer, with reasons",
    "ltv, one customer, with reasons",
    "segments, one customer",
    "churn, 100 customers, with reasons",
)
_HEADERS = {"Authorization": "Bearer key", "Content-Type": "application/json"}


class AnyKey:
    """A key that may ask; looking keys up is measured elsewhere."""

    async def scopes_of(self, key_hash: str) -> frozenset[str]:
        """See activation's KeyRing."""
        return frozenset({READ_PREDICTIONS})


class OneModel:
    """A predictor with one model in memory."""

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer

    def scorer(self, model: str) -> Scorer:
        """See activation's Predictor."""
        return self._scorer


def run(size: int, repeats: int) -> str:
    """Measure each route over `size` customers, turn by turn; gives the result as Markdown."""
    works = {BARE: bare, CHURN: of_churn, LTV: of_ltv, SEGMENTS: of_segments, HUNDRED: of_a_hundred}
    measured: dict[str, list[Measurement]] = {name: [] for name in works}
    with workspace() as inputs:
        for _ in range(repeats):
            for name, work in works.items():
                measured[name].append(measure(work, inputs=inputs, size=size))

    def row(name: str) -> list[str]:
        facts = [each.facts for each in measured[name]]
        pairs = zip(facts, [each.facts for each in measured[BARE]], strict=True)
        return [
            name,
            f"{median(each['requests/s'] for each in facts):,.0f}",
            *(spread([each[fact] for each in facts]) for fact in ("p50 ms", "p99 ms")),
            spread([mine["p99 ms"] / other["p99 ms"] for mine, other in pairs]),
            f"{median(each['server ms'] for each in facts):.2f}",
        ]

    head = ["", "requests/s", "p50 ms", "p99 ms", "p99 / bare", "server CPU ms a request"]
    said = f"{size:,} customers, {CLIENTS} clients, {SECONDS:g} s each, n = {repeats}."
    return "\n".join(["### On demand", "", said, "", *markdown_table(head, [row(name) for name in works])])


def of_churn(run: Run) -> Facts:
    """One customer a request, scored by a churn model with its reasons."""
    return _asked(run, churn, churn.ChurnParams(seed=7), customers=1)


def of_ltv(run: Run) -> Facts:
    """One customer a request, scored by a model of value with interval and reasons."""
    return _asked(run, ltv, ltv.LtvParams(seed=7), customers=1)


def of_segments(run: Run) -> Facts:
    """One customer a request, the nearest centroid."""
    return _asked(run, segments, segments.SegmentParams(seed=7), customers=1)


def of_a_hundred(run: Run) -> Facts:
    """A hundred customers a request."""
    return _asked(run, churn, churn.ChurnParams(seed=7), customers=100)


def bare(run: Run) -> Facts:
    """What anybody would write first: read the key, answer what is in it."""

    def make(port: int) -> FastAPI:
        app, client = FastAPI(), redis.Redis(port=port)

        @app.post("/v1/predictions/model")
        def answer(body: dict[str, Any], request: Request) -> dict[str, Any]:
            [asked] = body["customers"]
            return {"features": json.loads(client.hget(f"weft:profile:{asked['value']}", "_features") or "[]")}

        return app

    return _measured(run, make, customers=1)


def _asked(run: Run, module: Any, params: Any, *, customers: int) -> Facts:
    dated = [with_labels(feature_rows(TRAINED_ON, day, seed=number), seed=number) for number, day in enumerate(DATES)]
    rows = pd.concat(dated, ignore_index=True)
    scorer = ChampionScorer(module, module.train(rows, splits.time_split(rows), params).model, "bench")

    def make(port: int) -> FastAPI:
        settings = ApiSettings(keys=AnyKey(), predictor=OneModel(scorer), now=lambda: AS_OF)
        return create_api(settings, Reader(redis.Redis(port=port)))

    return _measured(run, make, customers=customers)


def _measured(run: Run, make: Callable[[int], FastAPI], *, customers: int) -> Facts:
    """Latencies of all clients together, and the CPU time of the server."""
    features = feature_rows(run.size, DATES[-1], seed=99)
    table = pa.Table.from_pandas(features, preserve_index=False)
    nobody = pa.table(
        {name: pa.array([], pa.string()) for name in ("identifier_type", "identifier_value", "customer_id")}
    )
    with EmbeddedRedis(run.scratch / "redis", appendonly=False) as store, store.client() as client:
        publish_profiles(
            client,
            version=1,
            build=1,
            profiles=table.select(["customer_id"]),
            identifiers=nobody,
            as_of=AS_OF,
            snapshot=run.scratch / "profiles.arrow",
            published_at=AS_OF,
            features=table,
        )
        context = multiprocessing.get_context("fork")
        port, answers, begin = _free_port(), context.SimpleQueue(), context.Barrier(CLIENTS)
        used = context.SimpleQueue()
        server = context.Process(target=_serve, args=(make, store.port, port, used))
        server.start()
        _wait_for(port)
        names = features["customer_id"].tolist()
        clients = [
            context.Process(target=_client, args=(port, names, number, customers, (begin, answers)))
            for number in range(CLIENTS)
        ]
        with run.clock.running():
            for each in clients:
                each.start()
            taken = sorted(seconds for _ in clients for seconds in answers.get())
            for each in clients:
                each.join()
        server.terminate()
        cpu_seconds = used.get()
        server.join()
    if any(each.exitcode for each in clients):
        raise BenchError("A client ended with an error.")
    asked = len(taken) * (SECONDS + WARM_SECONDS) / SECONDS
    return {
        "requests/s": len(taken) / SECONDS,
        "p50 ms": taken[len(taken) // 2] * 1_000,
        "p99 ms": taken[len(taken) * 99 // 100] * 1_000,
        "server ms": cpu_seconds * 1_000 / asked,
    }


def _serve(make: Callable[[int], FastAPI], redis_port: int, port: int, used: Any) -> None:
    app = make(redis_port)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, access_log=False, lifespan="off"))
    began = time.process_time()
    server.handle_exit = lambda *_: setattr(server, "should_exit", True)  # type: ignore[method-assign]
    server.run()
    used.put(time.process_time() - began)


def _client(port: int, names: list[str], number: int, customers: int, shared: tuple[Any, Any]) -> None:
    begin, answers = shared
    chosen, taken = random.Random(number), list[float]()
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask() -> None:
        people = [{"type": "customer_id", "value": chosen.choice(names)} for _ in range(customers)]
        connection.request("POST", "/v1/predictions/model", json.dumps({"customers": people}), _HEADERS)
        answer = connection.getresponse()
        said = answer.read()
        assert answer.status == 200, said

    begin.wait()
    until = time.perf_counter() + WARM_SECONDS
    while time.perf_counter() < until:
        ask()
    until = time.perf_counter() + SECONDS
    while (began := time.perf_counter()) < until:
        ask()
        taken.append(time.perf_counter() - began)
    answers.put(taken)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise BenchError("The server did not start within 60 s.")
