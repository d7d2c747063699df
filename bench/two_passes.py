"""The product's side of the whole-pass benchmark; imported only where WEFT_HOME is the run's own (Dagster's definitions read it)."""

from bench.harness import Clock, Facts, Run
from ingestion.simulator import SimulationConfig, simulate
from orchestration.demo import put_into_inbox
from orchestration.passes import run_pass
from orchestration.resources import build_platform
from orchestration.settings import export_for_tools

PASSES = ("first pass", "again, unchanged")


def prepare(run: Run) -> Facts:
    """Simulate the shop."""
    return {"events": simulate(_config(run), run.inputs / "shop").rows}


def two_passes(run: Run) -> Facts:
    """run_pass twice on the same inbox; by pass: seconds by stage, and how much was published."""
    platform = build_platform()
    export_for_tools(platform.settings)
    put_into_inbox(run.inputs / "shop", platform.settings.inbox)
    facts: Facts = {}
    for name in PASSES:
        clock = Clock()
        with clock.running():
            report = run_pass(platform, as_of=_config(run).end)
        beside = clock.seconds - sum(report.seconds.values())
        seconds = {**report.seconds, "Dagster beside": beside, "in all": clock.seconds}
        facts[name] = {"seconds": seconds, "published": len(report.published)}
        run.clock.seconds += clock.seconds
    return facts


def _config(run: Run) -> SimulationConfig:
    return SimulationConfig(events=run.size, seed=7)
