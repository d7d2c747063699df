"""The whole pass on a simulated shop, first and again unchanged: seconds by stage."""

from statistics import median

from bench.comparison import markdown_table, spread
from bench.harness import measure, workspace

PREPARE, TWO_PASSES = "bench.two_passes:prepare", "bench.two_passes:two_passes"


def run(size: int, repeats: int) -> str:
    """Measure and give the result as Markdown."""
    with workspace() as inputs:
        events = measure(PREPARE, inputs=inputs, size=size).facts["events"]
        runs = [measure(TWO_PASSES, inputs=inputs, size=size) for _ in range(repeats)]
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
        f"{events:,} simulated events, n = {repeats}, peak {peak:,.0f} MB. dbt's start-up is inside the stages, Dagster's",
        "own time (start, between steps, sensor) beside them.",
    ]
    return "\n".join(["### Whole pass", "", *lines, "", *markdown_table(["seconds", *stages, "publications"], rows)])
