"""dbt-duckdb plugin: every dbt process queues on the warehouse's writer lock before it opens the file.

DuckDB admits one writing process. With this plugin an analyst's own `dbt build` waits for a run in progress (and a run for it)
in place of meeting a locked file. Named in dbt_project/profiles.yml; the lock is freed when the dbt process ends, however it ends.
"""

import sys
from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from filelock import FileLock, Timeout

from orchestration.writer_lock import PATIENCE_SECONDS, lock_path


class Plugin(BasePlugin):
    """Holds the writer lock from before the first connection to the end of the process."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        assert self.creds is not None
        if self.creds.path == ":memory:":
            return
        warehouse = Path(self.creds.path).absolute()
        warehouse.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(lock_path(warehouse), thread_local=False)
        try:
            self._lock.acquire(timeout=PATIENCE_SECONDS)
        except Timeout:
            sys.stderr.write("Another run is writing to the warehouse; waiting for it to finish.\n")
            self._lock.acquire()
