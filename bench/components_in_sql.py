"""Components in SQL alone, on Spark: the materialization `components` beside the loop that the reference was measured with."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import yaml

from bench.comparison import Comparison, Ratio
from bench.harness import ROOT, BenchError, Contender, Facts, Run
from bench.pairs import NAME_PAIRS, pair_codes

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHAPE = (
    "select sum(members), count(*), sum(members * members) from (select count(*) as members from {} group by component)"
)
MODEL = "{{ config(materialized='components') }}\nselect a, b from pairs"


def prepare(run: Run) -> Facts:
    """Write the pairs as one Parquet file."""
    one, other = pair_codes(run.size)
    with duckdb.connect() as native:
        native.register("pair_codes", pa.table({"place": pa.array(range(len(one))), "one": one, "other": other}))
        native.execute(NAME_PAIRS)
        native.execute(f"copy pairs to '{run.inputs / 'pairs.parquet'}' (format parquet)")
    return {}


def materialization(run: Run) -> Facts:
    """Build a model that is materialized as `components`: from the pairs to the table, without the start-up of dbt and Spark."""
    from dbt.cli.main import dbtRunner  # noqa: PLC0415  (imports are in nobody's time)

    project = run.scratch / "project"
    (project / "models").mkdir(parents=True)
    (project / "macros").mkdir()
    shutil.copy(ROOT / "dbt_project" / "macros" / "components.sql", project / "macros")
    (project / "models" / "connected.sql").write_text(MODEL, encoding="utf-8")
    _write(project / "dbt_project.yml", {"name": "bench", "version": "1.0.0", "profile": "bench"})
    here = {"type": "spark", "method": "session", "host": "none", "schema": "default"}
    _write(project / "profiles.yml", {"bench": {"target": "here", "outputs": {"here": here}}})
    with _spark(run) as session:
        session.read.parquet(str(run.inputs / "pairs.parquet")).createOrReplaceTempView("pairs")
        before = _jvm(session, "cpu")
        where = ["--project-dir", str(project), "--profiles-dir", str(project)]
        done = dbtRunner().invoke(["--no-send-anonymous-usage-stats", "--quiet", "run", *where])
        if not done.success:
            raise BenchError(f"dbt could not build the model: {done.exception or done.result.results[0].message}")
        [execution] = [step for step in done.result.results[0].timing if step.name == "execute"]
        run.clock.seconds = (execution.completed_at - execution.started_at).total_seconds()
        run.clock.cpu_seconds = _jvm(session, "cpu") - before
        return _found(session, "default.connected") | {"jvm peak MB of the model": _jvm(session, "peak")}


def reference_loop(run: Run) -> Facts:
    """A dictionary by joins on the texts; rounds, each in a new order: nearest neighbour, a jump, contraction; composed at the end."""
    with _spark(run) as session:
        before = _jvm(session, "cpu")
        with run.clock.running():
            session.read.parquet(str(run.inputs / "pairs.parquet")).createOrReplaceTempView("pairs")

            def keep(name: str, query: str) -> None:
                path = str(run.scratch / name)
                session.sql(query).write.option("compression", "lz4").parquet(path)
                session.read.parquet(path).createOrReplaceTempView(name)

            keep("names", NAMES)
            keep("coded", CODED)
            keep("edges_0", "select a, b from coded where a <> b")
            rounds = 0
            while session.sql(f"select 1 from edges_{rounds} limit 1").count():
                for name, query in ROUND.items():
                    keep(name.format(rounds, next=rounds + 1), query.format(rounds))
                rounds += 1
            session.table(f"map_{rounds - 1}").createOrReplaceTempView(f"composed_{rounds - 1}")
            for number in range(rounds - 2, -1, -1):
                keep(f"composed_{number}", COMPOSED.format(number, later=number + 1))
            keep("connected", CONNECTED)
        run.clock.cpu_seconds = _jvm(session, "cpu") - before
        return _found(session, "connected") | {"jvm peak MB of the loop": _jvm(session, "peak")}


NAMES = (
    "select name, monotonically_increasing_id() as code from (select a as name from pairs union select b from pairs)"
)
CODED = """
    select distinct one.code as a, other.code as b
    from pairs inner join names as one on pairs.a = one.name inner join names as other on pairs.b = other.name
"""
ROUND = {
    "nearest_{}": """
        select node, min_by(near, xxhash64(near, {0})) as root
        from (
            select a as node, b as near from edges_{0} union all select b, a from edges_{0}
            union all select a, a from edges_{0} union all select b, b from edges_{0}
        )
        group by node
    """,
    "map_{}": "select one.node, two.root from nearest_{0} as one inner join nearest_{0} as two on one.root = two.node",
    "edges_{next}": """
        select distinct least(one.root, other.root) as a, greatest(one.root, other.root) as b
        from edges_{0} inner join map_{0} as one on a = one.node inner join map_{0} as other on b = other.node
        where one.root <> other.root
    """,
}
COMPOSED = """
    select map_{0}.node, coalesce(later.root, map_{0}.root) as root
    from map_{0} left join composed_{later} as later on map_{0}.root = later.node
"""
CONNECTED = """
    select name as identifier, coalesce(root, code) as component
    from names left join composed_0 on names.code = composed_0.node
"""


@contextmanager
def _spark(run: Run) -> "Iterator[SparkSession]":
    """The settings of the reference: two cores, 8 partitions, tables up to 64 MB broadcast."""
    from pyspark.sql import SparkSession  # noqa: PLC0415  (an extra)

    settings = {
        "spark.driver.memory": "6g",
        "spark.sql.shuffle.partitions": "8",
        "spark.sql.autoBroadcastJoinThreshold": "64MB",
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": str(run.scratch),
        "spark.sql.warehouse.dir": str(run.scratch / "tables"),
    }
    session = SparkSession.builder.master("local[2]").config(map=settings).getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        session.read.parquet(str(run.inputs / "pairs.parquet")).selectExpr("count(*)").collect()
        yield session
    finally:
        session.stop()


def _found(session: "SparkSession", table: str) -> Facts:
    identifiers, components, squares = session.sql(SHAPE.format(table)).collect()[0]
    return {"identifiers": identifiers, "components": components, "sum of squared sizes": squares}


def _jvm(session: "SparkSession", what: str) -> float:
    """CPU seconds of Spark's JVM so far, or its peak memory in MB: the work is done there, not in this process."""
    process = Path("/proc") / str(session.sparkContext._gateway.proc.pid)
    if what == "peak":
        [line] = [line for line in (process / "status").read_text().splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) // 1024
    ticks = (process / "stat").read_text().rsplit(")", 1)[1].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


MACRO, LOOP = "Weft, materialized='components'", "the reference's loop"

COMPARISON = Comparison(
    title="Components in SQL only: a dbt materialization on Spark (local[2])",
    unit="pairs",
    prepare=prepare,
    contenders=(Contender(MACRO, materialization), Contender(LOOP, reference_loop)),
    ratios=(Ratio(LOOP, MACRO, at_least=1),),
    note="CPU seconds are those of Spark's JVM; the memory is the Python process's, the JVM's own is a fact.",
)


def run(size: int, repeats: int) -> str:
    """Measure where Spark is, an extra; say so where it is not."""
    if importlib.util.find_spec("pyspark") and shutil.which("java"):
        return COMPARISON.run(size, repeats)
    return f"### {COMPARISON.title}\n\nNot run: it needs `pip install -e .[spark]` and Java 17 or newer."
