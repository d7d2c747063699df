"""A place for each test: a log of its own, a port for its collector, and the books of its senders."""

import os
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from activation.embedded_redis import EmbeddedRedis
from activation.redis_server import Fsync, free_port
from ingestion.event_log import Received
from ingestion.log_entries import RAW, raw_fields
from ingestion.normaliser import run_once
from ingestion.redis_log import RedisEventLog
from tests.ingestion.kills.ledger import OK, Books, Ledger, all_normalized, all_raw
from tests.ingestion.kills.processes import Running, running
from tests.ingestion.kills.senders import Senders

MEMORY_MB = 64


@dataclass
class Place:
    """Where a test happens. `port` is the collector's, also of the one that comes after a kill."""

    folder: Path
    server: EmbeddedRedis
    log: RedisEventLog
    port: int = field(default_factory=free_port)
    ledger: Ledger = field(default_factory=Ledger)

    def collector(self, *, variant: str = "", crash_at: str = "", log_url: str = "") -> AbstractContextManager[Running]:
        """A collector for the block."""
        return running(
            "collector", self.folder, log_url or self.server.url, self.port, variant=variant, crash_at=crash_at
        )

    def normaliser(self, *, variant: str = "", crash_at: str = "") -> AbstractContextManager[Running]:
        """A normaliser for the block."""
        return running("normaliser", self.folder, self.server.url, variant=variant, crash_at=crash_at)

    def senders(self, *, threads: int = 8, batches: int = 15) -> Senders:
        """Senders to the collector."""
        return Senders(self.ledger, self.port, threads=threads, batches=batches)

    def start_log_again(self, *, appendfsync: Fsync = "always") -> None:
        """Start the log's Redis, which has ended, on the same folder and port."""
        port = self.server.port
        self.server.stop()
        self.server = EmbeddedRedis(
            self.server.folder, port=port, maxmemory_mb=MEMORY_MB, appendfsync=appendfsync
        ).start()

    def append(self, requests: int) -> None:
        """Append requests as a collector does, all of them acknowledged."""
        with self.server.client() as redis:
            for start in range(0, requests, 25):
                together = redis.pipeline(transaction=False)
                for number in range(start, min(start + 25, requests)):
                    attempt = self.ledger.begin(self.ledger.compose(1 + number % 3))
                    attempt.status = OK
                    fields = raw_fields(Received("segment", "shop", 1_790_000_000_000, attempt.body, {"path": "batch"}))
                    together.execute_command("XADD", RAW, "*", *fields)
                together.execute()

    def kill_log(self) -> None:
        """SIGKILL to the log's Redis."""
        os.kill(self.server.pid, signal.SIGKILL)

    def normalise(self) -> None:
        """Normalise what is left to be normalised."""
        while run_once(self.log):
            pass

    def books(self) -> Books:
        """Compare what was sent with all that is in the log, requests only where nothing is normalised."""
        return self.ledger.books(all_raw(self.log), all_normalized(self.log) or None)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A place with a log of 64 MB that syncs every write."""
    server = EmbeddedRedis(tmp_path / "log", maxmemory_mb=MEMORY_MB).start()
    with closing(RedisEventLog(server.url)) as log:
        made = Place(tmp_path, server, log)
        try:
            yield made
        finally:
            made.server.stop()
