"""The product's side of the whole-pass benchmark; imported only where WEFT_HOME is the run's own (Dagster's definitions read it)."""

from datetime import timedelta
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from bench.harness import Clock, Facts, Run
from ingestion.simulator import SimulationConfig, simulate
from orchestration.demo import put_into_inbox
from orchestration.passes import run_pass
from orchestration.resources import build_platform
from orchestration.settings import export_for_tools

NEW_SHARE = 0.01
PASSES = ("first", "after 1 % more", "again, unchanged")


def prepare(run: Run) -> Facts:
    """Simulate the shop, and put the newest 1 % of its events aside."""
    events = simulate(_config(run), run.inputs / "shop").rows
    return {"events": events, "new": _put_aside(run.inputs, round(events * NEW_SHARE))}


def passes(run: Run) -> Facts:
    """run_pass on the shop, on its newest events an hour later, and again with nothing new; seconds by stage, publications."""
    platform = build_platform()
    export_for_tools(platform.settings)
    as_of, facts = _config(run).end, {}
    for name, folder, later in zip(PASSES, ("shop", "new", None), (0, 1, 1), strict=True):
        if folder:
            put_into_inbox(run.inputs / folder, platform.settings.inbox)
        clock = Clock()
        with clock.running():
            report = run_pass(platform, as_of=as_of + timedelta(hours=later))
        beside = clock.seconds - sum(report.seconds.values())
        seconds = {**report.seconds, "Dagster beside": beside, "in all": clock.seconds}
        facts[name] = {"seconds": seconds, "published": len(report.published)}
        run.clock.seconds += clock.seconds
    return facts


def _put_aside(inputs: Path, count: int) -> int:
    """Move the newest web events into files of their own, in the folder `new`; returns how many."""
    folder = inputs / "new" / "simulator_web"
    folder.mkdir(parents=True)
    left = count
    for file in sorted((inputs / "shop" / "simulator_web").iterdir(), reverse=True):
        rows = pq.read_table(file)
        newest = rows.take(pc.sort_indices(rows, [("received_at", "descending")]))
        pq.write_table(newest.slice(0, left), folder / file.name)
        pq.write_table(newest.slice(left), file)
        left -= min(left, rows.num_rows)
        if not left:
            break
    return count - left


def _config(run: Run) -> SimulationConfig:
    return SimulationConfig(events=run.size, seed=7)
