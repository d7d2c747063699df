"""A collector, as a process of its own: `python -m tests.ingestion.collector.served RULES SECONDS [URL]` prints its port.

RULES is JSON of ingestion.collector.settings.Connections; each append takes SECONDS; with URL the log is that Redis. What it logs goes
to stderr.
"""

import asyncio
import json
import logging
import sys
from dataclasses import dataclass

from ingestion.collector.app import create_app
from ingestion.collector.serving import serve
from ingestion.collector.settings import CollectorSettings, Connections
from ingestion.event_log import Received
from ingestion.redis_log_writer import RedisLogWriter
from tests.ingestion.collector.senders import Keys, MemoryLog


@dataclass
class SlowLog(MemoryLog):
    """A log that takes its time, and forgets."""

    seconds: float = 0.0

    async def append(self, received: Received) -> str:
        await asyncio.sleep(self.seconds)
        return "1-0"


def main(rules_json: str, seconds: str, log_url: str = "") -> None:
    """Serve until told to stop."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    rules = Connections(**json.loads(rules_json))
    settings = CollectorSettings(keys=Keys(), connections=rules, snowplow_source="snowplow", is_access_logged=True)
    log = RedisLogWriter(log_url) if log_url else SlowLog(seconds=float(seconds))
    app = create_app(settings, log)
    serve(app, rules, host="127.0.0.1", port=0, on_started=lambda port: print(port, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
