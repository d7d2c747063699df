"""`python -m tests.orchestration.killed_stitches FOLDER [torn]`: stitch FOLDER/<step>.duckdb and die of SIGKILL at that step.

A process of its own, which forks before any library has started a thread. `torn` is the broken variant: every statement
commits for itself.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import nullcontext
from pathlib import Path

import duckdb

from identity.tables import DECISIONS
from orchestration import duckdb_warehouse, stitch_scope
from orchestration.stitching import stitch
from tests.identity.histories import SALT, day, strict_rules

DATES = [day(5), day(10)]


def die_at(path: Path) -> None:
    """Never comes back, unless the step is not passed."""

    def on_step(step: str) -> None:
        if step == path.stem:
            os.kill(os.getpid(), signal.SIGKILL)

    native = duckdb.connect(str(path))
    connection = duckdb_warehouse.DuckDBConnection(native)
    stitch_scope.LARGEST_SHARE = 0  # an increment, however small the shop
    stitch(
        connection,
        rules=strict_rules(),
        decisions=DECISIONS.empty_table(),
        dates=DATES,
        salt=SALT,
        on_step=on_step,
    )


def main(folder: str, *variant: str) -> None:
    """One child for each warehouse of the folder; fails where one was not killed."""
    if variant:
        duckdb_warehouse.transaction = lambda _: nullcontext()  # type: ignore[assignment]
    for path in sorted(Path(folder).glob("*.duckdb")):
        child = os.fork()
        if not child:
            die_at(path)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(f"{path.stem} was not passed")


if __name__ == "__main__":
    main(*sys.argv[1:])
