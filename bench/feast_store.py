"""Feast's Redis store beside Weft's hashes: the same customers and fields, in a Python of its own."""

import json
import os
import subprocess
from pathlib import Path

import duckdb
import redis

from bench.harness import BenchError, Run

PYTHON = "WEFT_BENCH_FEAST_PYTHON"
PROGRAM = Path(__file__).with_name("feast_program.py")


def feast_python() -> str | None:
    """The Python that has Feast; None where none was named."""
    return os.environ.get(PYTHON)  # noqa: TID251  (which peers there are is the machine's business, not a setting of Weft)


def write(run: Run, shop: duckdb.DuckDBPyConnection, client: redis.Redis) -> int:
    """Let Feast write all customers with their fields as text (no identifiers, no audiences); the number of hashes."""
    python = feast_python()
    assert python is not None
    rows = run.scratch / "customers.parquet"
    described = shop.execute("select * exclude (customer_id, audiences) from customers limit 0").description or []
    texts = ", ".join(f"cast({name} as varchar) as {name}" for name, *_ in described)
    listed = """'["' || array_to_string(audiences, '","') || '"]' as audiences"""
    shop.execute(f"copy (select customer_id, {texts}, {listed} from customers) to '{rows}' (format parquet)")
    port = str(client.connection_pool.connection_kwargs["port"])
    done = subprocess.run(
        [python, "-P", str(PROGRAM), port, str(rows), str(run.scratch / "feast")],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError("Feast ended with an error:\n" + "\n".join(done.stderr.splitlines()[-15:]))
    took = json.loads(done.stdout.splitlines()[-1])
    run.clock.seconds += took["seconds"]
    run.clock.cpu_seconds += took["cpu_seconds"]
    return int(client.dbsize())
