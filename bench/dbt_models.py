"""dbt models run in this process for a benchmark: the clock runs while a model does, not while dbt starts or parses."""

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from dbt.cli.main import dbtRunner
from dbt_common.events.base_types import EventMsg

from bench.harness import BenchError, Clock
from orchestration.transform import DBT_PROJECT, PASS_VARS


def run_models(
    warehouse: Path, scratch: Path, clock: Clock, select: Sequence[str], *, exclude: Sequence[str] = ()
) -> list[tuple[str, float]]:
    """Run the models of a selection; their names with their seconds, as dbt takes them. Raises BenchError where one fails."""
    os.environ["WEFT_DUCKDB_PATH"] = str(warehouse)  # noqa: TID251  (dbt reads it; the harness gave this process an environment of its own)
    folders = [
        "--project-dir",
        str(DBT_PROJECT),
        "--profiles-dir",
        str(DBT_PROJECT),
        "--target-path",
        str(scratch / "target"),
    ]
    chosen = ["--select", *select, *(["--exclude", *exclude] if exclude else [])]
    arguments = ["--quiet", "--log-level-file", "none", "run", *chosen, "--vars", PASS_VARS, *folders]
    models = _ModelClock(clock)
    result = dbtRunner(callbacks=[models.hear]).invoke(arguments)
    if not result.success:
        raise BenchError(f"dbt could not build {' '.join(select)}: {result.exception or 'see its output'}.")
    return models.seconds


class _ModelClock:
    """Adds the time between dbt's start of a model and its commit to a clock; one model runs at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running = ExitStack()
        self.seconds: list[tuple[str, float]] = []

    def hear(self, event: EventMsg) -> None:
        """What dbt tells."""
        if event.info.name == "NodeStart":
            self._before = self._clock.seconds
            self._running.enter_context(self._clock.running())
        elif event.info.name == "NodeFinished":
            self._running.close()
            self.seconds.append((event.data.node_info.node_name, round(self._clock.seconds - self._before, 3)))
