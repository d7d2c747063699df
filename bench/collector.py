"""The collector under load: Weft's beside the obvious FastAPI route, bare Starlette, and the log's own limit.

wrk keeps 32 requests under way from one thread; every request is in the log's file (`appendfsync always`) before it is answered. Each run
has a collector and a Redis of its own, on an empty log.
"""

import json
import os
import selectors
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

import hiredis
import redis

from activation.embedded_redis import EmbeddedRedis
from bench.collector_routes import ROUTE
from bench.comparison import Ratio, markdown_table, spread
from bench.harness import ROOT, BenchError, Facts, Measurement, Run, measure, workspace
from ingestion.event_log import Received
from ingestion.log_entries import RAW, raw_fields

UNDER_WAY = 32
LOG_MEMORY_MB = 4_096
WARM_SECONDS = 1
SETTLE_SECONDS = 10.0
BATCHES = (1, 100)
SCRIPT = Path(__file__).with_name("wrk_post.lua")
EVENT = (
    '{"type":"track","messageId":"3f0e1c52-77aa-4c1e-9d55-%012d","anonymousId":"0b1c2d3e4f5061728394a5b6c7d8e9f0","userId":"user_%d",'
    '"event":"Product Viewed","timestamp":"2026-11-20T10:00:00.000Z","properties":{"product_id":"sku-%d","category":"cat_7",'
    '"price":19.9,"quantity":2,"currency":"EUR","experiment":{"name":"hero","variant":"v1"}},"context":{"ip":"10.1.2.7",'
    '"userAgent":"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1) AppleWebKit/605","library":{"name":"analytics.js","version":"4.1.2"},'
    '"page":{"path":"/p/123","referrer":"https://www.example.com/"},"locale":"fr-FR"}}'
)
WEFT, FASTAPI, STARLETTE, LOG = "Weft", "FastAPI + pydantic", "bare Starlette", "the log alone"
WORK = {WEFT: "weft", FASTAPI: "fastapi", STARLETTE: "starlette", LOG: "log_alone"}
RATIOS = {
    1: (Ratio(FASTAPI, WEFT, at_least=1.9), Ratio(STARLETTE, WEFT, at_least=0.8), Ratio(LOG, WEFT)),
    100: (Ratio(FASTAPI, WEFT, at_least=8), Ratio(STARLETTE, WEFT), Ratio(LOG, WEFT)),
}
NOTE = (
    f"wrk, {UNDER_WAY} connections, 1 thread; server, Redis and wrk share the machine. Only 2xx count, and the log holds them all. "
    "FastAPI puts each event into the log by itself (one pipeline a request), the others a request as one entry. CPU is that of the "
    "server (the log alone: of the client that appends) and of Redis. Ratios are of the time per acknowledged event."
)


@dataclass(frozen=True)
class Load:
    """What became of some seconds of load; CPU in seconds."""

    taken: int
    refused: int
    seconds: float
    p50_ms: float
    p99_ms: float
    server_cpu: float = 0.0
    redis_cpu: float = 0.0


def run(size: int, repeats: int) -> str:
    """Measure `size` seconds of load for each contender and size of batch; gives the result as Markdown."""
    if shutil.which("wrk") is None:
        return "### Collector\n\nSkipped: wrk is not installed, and nothing else here makes so much load (`apt-get install wrk`)."
    measured: dict[int, dict[str, list[Measurement]]] = {events: {name: [] for name in WORK} for events in BATCHES}
    with workspace() as inputs:
        for events in BATCHES:
            (inputs / str(events)).mkdir()
            _body_file(inputs / str(events)).write_bytes(batch_of(events))
        for turn in range(repeats):
            for events, runs in measured.items():
                for name, work in WORK.items():
                    runs[name].append(measure(f"{__name__}:{work}", inputs=inputs / str(events), size=size))
                    rate = runs[name][-1].facts["taken"] / runs[name][-1].facts["seconds"]
                    print(
                        f"  {turn + 1}/{repeats} {name}, {events}: {rate:,.0f} requests/s", file=sys.stderr, flush=True
                    )
    lines = ["### Collector", "", f"{size} s of load for each, n = {repeats}. {NOTE}"]
    for events, runs in measured.items():
        lines += ["", *tables(events, runs)]
    return "\n".join(lines)


def batch_of(events: int) -> bytes:
    """A body with so many track calls, 590 bytes each."""
    return b'{"batch":[%b]}' % ",".join(EVENT % (i, i, i) for i in range(events)).encode()


def weft(run: Run) -> Facts:
    """Weft's collector; it must say that it has put into the log what the log holds."""
    return _measured("weft", run)


def fastapi(run: Run) -> Facts:
    """FastAPI + pydantic, one XADD an event."""
    return _measured("fastapi", run)


def starlette(run: Run) -> Facts:
    """Bare Starlette, one XADD a request."""
    return _measured("starlette", run)


def log_alone(run: Run) -> Facts:
    """The limit: a client that does nothing but append the same bytes, as many at a time as wrk has under way."""
    body = _body_file(run.inputs).read_bytes()
    facts = {"path": "batch", "ip": "127.0.0.1"}
    command = hiredis.pack_command(
        (b"XADD", RAW, b"*", *raw_fields(Received("segment", "bench", 1 << 40, body, facts)))
    )
    with _log(run) as server, server.client() as client:
        before, own = _redis_cpu(client), time.process_time()
        took, seconds = _appended(server.port, command, run.size)
        load = Load(
            taken=len(took),
            refused=0,
            seconds=seconds,
            p50_ms=1000 * median(took),
            p99_ms=1000 * sorted(took)[len(took) * 99 // 100],
            server_cpu=time.process_time() - own,
            redis_cpu=_redis_cpu(client) - before,
        )
        if client.xlen(RAW) != load.taken:
            raise BenchError(f"The log holds {client.xlen(RAW)} entries of {load.taken}.")
        return asdict(load)


def _appended(port: int, command: bytes, size: int) -> tuple[list[float], float]:
    """How long each append took, and all of them together (seconds). A connection sends the next one when the last was answered."""
    took, sent = [], {}
    with ExitStack() as stack, selectors.DefaultSelector() as answered:
        began = time.perf_counter()
        for _ in range(UNDER_WAY):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            answered.register(connection, selectors.EVENT_READ, connection)
            sent[connection] = time.perf_counter()
            connection.sendall(command)
        while sent:
            for key, _ in answered.select():
                connection, now = key.data, time.perf_counter()
                if not connection.recv(1 << 10).startswith(b"$"):  # an id is shorter than what comes in one piece
                    raise BenchError("Redis refused an entry.")
                took.append(now - sent.pop(connection))
                if now - began < size:
                    sent[connection] = now
                    connection.sendall(command)
        return took, time.perf_counter() - began


def _measured(name: str, run: Run) -> Facts:
    body = _body_file(run.inputs)
    a_request = body.read_bytes().count(b'"messageId"') if name == "fastapi" else 1
    with _log(run) as server, server.client() as client, _serving(name, run, server.url) as (pid, port, key):
        warm = _loaded(port, key, body, WARM_SECONDS) if WARM_SECONDS else Load(0, 0, 0.0, 0.0, 0.0)
        of_server, of_redis = _cpu_seconds(pid), _redis_cpu(client)
        load = _loaded(port, key, body, run.size)
        of_server, of_redis = _cpu_seconds(pid) - of_server, _redis_cpu(client) - of_redis
        taken, held = warm.taken + load.taken, client.xlen(RAW) / a_request
        # wrk hangs up on what is under way at either end, which is in the log or not
        if not taken <= held <= taken + 2 * UNDER_WAY:
            raise BenchError(f"{name} acknowledged {taken} requests, and the log holds {held:g}.")
        if name == "weft":
            _check_own_count(port, client)
        return asdict(load) | {"server_cpu": of_server, "redis_cpu": of_redis}


def _check_own_count(port: int, client: "redis.Redis") -> None:
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SETTLE_SECONDS) as answer:
            lines = answer.read().decode().splitlines()
        [counted] = [float(line.split()[1]) for line in lines if line.startswith("weft_collector_log_entries_total ")]
        if counted == (held := client.xlen(RAW)):
            return
        if time.monotonic() > deadline:
            raise BenchError(f"The collector counts {counted:g} entries, and the log holds {held}.")


def _loaded(port: int, key: str, body: Path, seconds: int) -> Load:
    authorization = f"Basic {b64encode(f'{key}:'.encode()).decode()}"
    how = ["-t1", f"-c{UNDER_WAY}", f"-d{seconds}s", "--timeout", "10s", "-s", SCRIPT]
    command = ["wrk", *how, f"http://127.0.0.1:{port}{ROUTE}", "--", body, authorization]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"wrk ended with {done.returncode}: {done.stderr.strip()}")
    said = json.loads(done.stdout.strip().splitlines()[-1])
    if said["broken"]:
        raise BenchError(f"{said['broken']} requests had no answer within ten seconds.")
    taken, seconds_taken = said["answers"] - said["refused"], said["microseconds"] / 1e6
    return Load(taken, said["refused"], seconds_taken, said["p50_us"] / 1000, said["p99_us"] / 1000)


@contextmanager
def _serving(name: str, run: Run, log_url: str) -> Iterator[tuple[int, int, str]]:
    """Process id, port and write key of a contender's server."""
    program = ["bench.collector_of_weft"] if name == "weft" else ["bench.collector_routes", name, log_url]
    where = [
        f"WEFT_HOME={run.scratch / 'weft'}",
        f"WEFT_DUCKDB_PATH={run.scratch / 'weft.duckdb'}",
        f"WEFT_LOG_URL={log_url}",
    ]
    command = ["env", *where, "WEFT_TARGET=duckdb", sys.executable, "-m", *program]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port, key = process.stdout.readline().split()
            yield process.pid, int(port), key
        finally:
            process.terminate()


def _log(run: Run) -> EmbeddedRedis:
    return EmbeddedRedis(run.scratch / "log", maxmemory_mb=LOG_MEMORY_MB)


def _body_file(inputs: Path) -> Path:
    return inputs / "body.json"


def _cpu_seconds(pid: int) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _redis_cpu(client: "redis.Redis") -> float:
    used = client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def tables(events: int, runs: dict[str, list[Measurement]]) -> list[str]:
    """What each contender took of requests with so many events, and the ratios."""
    loads = {name: [Load(**each.facts) for each in of_name] for name, of_name in runs.items()}
    head = [
        f"{events} a request",
        "requests/s",
        "events/s",
        "p50 ms",
        "p99 ms",
        "CPU us/request: server",
        "Redis",
        "not 2xx",
    ]
    # a machine that is busy with other things may let nothing through
    rows = [
        [
            name,
            _whole([load.taken / load.seconds for load in of_name]),
            f"{median(events * load.taken / load.seconds for load in of_name):,.0f}",
            f"{median(load.p50_ms for load in of_name):.1f}",
            spread([load.p99_ms for load in of_name]),
            f"{median(1e6 * load.server_cpu / max(load.taken, 1) for load in of_name):,.0f}",
            f"{median(1e6 * load.redis_cpu / max(load.taken, 1) for load in of_name):,.0f}",
            str(sum(load.refused for load in of_name)),
        ]
        for name, of_name in loads.items()
    ]
    per_event = {
        name: [
            Measurement(load.seconds / max(load.taken, 1), load.server_cpu / max(load.taken, 1), 0.0, {})
            for load in of_name
        ]
        for name, of_name in loads.items()
    }
    ratio_head = ["ratio", "wall: median (min-max)", "CPU of the server", "target", ""]
    ratios = [ratio.row(per_event) for ratio in RATIOS[events]]
    return [*markdown_table(head, rows), "", *markdown_table(ratio_head, ratios)]


def _whole(values: list[float]) -> str:
    return f"{median(values):,.0f} ({min(values):,.0f}-{max(values):,.0f})"
