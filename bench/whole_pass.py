"""The whole pass on a simulated shop: first, after 1 % more events, and again unchanged; seconds by stage."""

from statistics import median

from bench.comparison import markdown_table, spread
from bench.harness import Measurement, measure, workspace

PREPARE, PASSES = "bench.passes_in_a_row:prepare", "bench.passes_in_a_row:passes"


def run(size: int, repeats: int) -> str:
    """Measure and give the result as Markdown."""
    with workspace() as inputs:
        events = measure(PREPARE, inputs=inputs, size=size).facts["events"]
        runs = [measure(PASSES, inputs=inputs, size=size) for _ in range(repeats)]
    passes = runs[0].facts
    stages = list(next(iter(passes.values()))["seconds"])
    rows = [
        [
            name,
            *(spread([run.facts[name]["seconds"][stage] for run in runs]) for stage in stages),
            str(one["published"]),
        ]
        for name, one in passes.items()
    ]
    peak = median(run.peak_mb for run in runs)
    lines = [
        f"{events:,} simulated events, n = {repeats}, peak {peak:,.0f} MB. dbt's start-up is inside the stages, Dagster's own time",
        f"(start, between steps, sensor) beside them. After 1 % more events: {_share(runs)} of the first pass (target: at most 10 %).",
    ]
    return "\n".join(["### Whole pass", "", *lines, "", *markdown_table(["seconds", *stages, "publications"], rows)])


def _share(runs: list[Measurement]) -> str:
    totals = [[run.facts[name]["seconds"]["in all"] for name in ("first", "after 1 % more")] for run in runs]
    return spread([100 * again / first for first, again in totals]) + " %"
