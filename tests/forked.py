"""Processes that tests start again and again, forked from a clean one that has everything imported: milliseconds instead of seconds.

There is one such process for all of the files that a run of pytest goes through, so what any of them needs is named here.
"""

import multiprocessing

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "pytest",
        "dbt.cli.main",
        "dbt.adapters.duckdb.impl",
        "tests.activation.killed_publishers",
        "tests.orchestration.automated_shop",
        "tests.orchestration.model_shop",
        "tests.orchestration.sync_sink",
    ]
)
