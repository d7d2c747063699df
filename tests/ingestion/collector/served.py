"""A collector, as a process of its own: `python -m tests.ingestion.collector.served RULES SECONDS URL FOLDER` prints its port.

RULES is JSON of ingestion.collector.settings.Connections; each append takes SECONDS; with URL the log is that Redis; with FOLDER uploads
of 100 kB go there. What it logs goes to stderr.
"""

import asyncio
import json
import logging
import sys
from dataclasses import dataclass
from pathlib import Path

from ingestion.collector.app import create_app
from ingestion.collector.serving import serve
from ingestion.collector.settings import CollectorSettings, Connections, Uploads
from ingestion.event_log import Received
from ingestion.redis_log_writer import RedisLogWriter
from ingestion.uploads import Preview
from tests.ingestion.collector.senders import SECRET, Keys, MemoryLog


@dataclass
class SlowLog(MemoryLog):
    """A log that takes its time, and forgets."""

    seconds: float = 0.0

    async def append(self, received: Received) -> str:
        await asyncio.sleep(self.seconds)
        return "1-0"


def uploads_in(folder: Path) -> Uploads:
    """Uploads into a folder; a preview shows nothing."""
    (folder / "inbox").mkdir(parents=True)
    return Uploads(folder / "spool", 100_000, inbox=folder / "inbox", preview=lambda _, mapping: Preview(mapping))


def main(rules_json: str, seconds: str, log_url: str = "", folder: str = "") -> None:
    """Serve until told to stop."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    rules = Connections(**json.loads(rules_json))
    settings = CollectorSettings(
        keys=Keys(), connections=rules, snowplow_source="snowplow", is_access_logged=True,
        webhook_secrets={"shop": (SECRET,)}, uploads=uploads_in(Path(folder)) if folder else None,
    )  # fmt: skip
    log = RedisLogWriter(log_url) if log_url else SlowLog(seconds=float(seconds))
    app = create_app(settings, log)
    serve(app, rules, host="127.0.0.1", port=0, on_started=lambda port: print(port, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
