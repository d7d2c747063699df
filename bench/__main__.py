"""`python -m bench [NAME ...] [--size N] [--repeats N]`: run benchmarks and print Markdown for bench/README.md."""

import argparse
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench import (
    collector,
    components,
    components_in_sql,
    customer360,
    features,
    fuzzy,
    identity,
    identity_quality,
    kmeans,
    landing,
    log_landing,
    normaliser,
    normaliser_latency,
    on_demand,
    online_retail,
    predictions,
    publish,
    read,
    recommendations,
    scoring,
    scoring_pass,
    training,
    whole_pass,
)
from bench.harness import BenchError


@dataclass(frozen=True)
class Benchmark:
    """A benchmark with the size and repeats that `make bench` uses; `run` gives Markdown."""

    run: Callable[[int, int], str]
    size: int
    repeats: int = 5


BENCHMARKS = {
    "online_retail": Benchmark(online_retail.run, 541_909, repeats=1),
    "landing": Benchmark(landing.COMPARISON.run, 200_000),
    "identity": Benchmark(identity.COMPARISON.run, 200_000),
    "identity_quality": Benchmark(identity_quality.run, 200_000, repeats=1),
    "fuzzy": Benchmark(fuzzy.run, 66_578, repeats=1),
    "kmeans": Benchmark(kmeans.COMPARISON.run, 1_000_000),
    "components": Benchmark(components.COMPARISON.run, 200_000),
    "components_in_sql": Benchmark(components_in_sql.COMPARISON.run, 200_000, repeats=1),
    "customer360": Benchmark(customer360.COMPARISON.run, 200_000),
    "features": Benchmark(features.COMPARISON.run, 20_000),
    "publish": Benchmark(publish.COMPARISON.run, 50_000),
    "recommendations": Benchmark(recommendations.run, 396_000, repeats=1),
    "read": Benchmark(read.run, 50_000),
    "collector": Benchmark(collector.run, 5),
    "normaliser": Benchmark(normaliser.COMPARISON.run, 100_000),
    "normaliser_latency": Benchmark(normaliser_latency.run, 5),
    "log_landing": Benchmark(log_landing.COMPARISON.run, 200_000),
    "on_demand": Benchmark(on_demand.run, 20_000, repeats=1),
    "scoring": Benchmark(scoring.COMPARISON.run, 200_000),
    "scoring_pass": Benchmark(scoring_pass.COMPARISON.run, 100_000, repeats=3),
    "training": Benchmark(training.COMPARISON.run, 100_000, repeats=3),
    "predictions": Benchmark(predictions.run, 94_000, repeats=1),
    "whole_pass": Benchmark(whole_pass.run, 200_000, repeats=1),
}


def main() -> int:
    """Run the benchmarks that were named, else all; exit code 1 where one could not be run."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Weft beside its peers and limits.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument(
        "--size", type=int, help="events, evidence, customers, or seconds of load; a modest default for each"
    )
    parser.add_argument(
        "--repeats",
        type=int,
        help="runs of each contender; a default for each, mostly 5",
    )
    parser.add_argument("--set", action="append", default=[], help="of predictions: the set, several by repeating it")
    parser.add_argument(
        "--keep", type=Path, help="of predictions: a folder whose installations are kept and read again"
    )
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        parser.error(f"no benchmark is called {unknown[0]}; there are {', '.join(BENCHMARKS)}")
    of_sets = {"sets": tuple(arguments.set), "keep": arguments.keep and arguments.keep.absolute()}
    failed = 0
    for name in arguments.names or BENCHMARKS:
        benchmark = BENCHMARKS[name]
        try:
            run = partial(benchmark.run, **of_sets) if name == "predictions" else benchmark.run
            print(run(arguments.size or benchmark.size, arguments.repeats or benchmark.repeats))
        except BenchError as error:
            failed = 1
            print(f"{name}: {error}", file=sys.stderr)
        print(f"\nLoad average at the end: {', '.join(f'{load:.1f}' for load in os.getloadavg())}.\n", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
