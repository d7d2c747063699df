"""A collector as a process of its own: `python -m tests.clients.collector_process KEYS URL` prints its port.

KEYS is JSON: write key -> [source, events a second or null]; URL is the Redis of its log. What Snowplow's trackers send, who have no
key, is of the source `snowplow`.
"""

import json
import sys
from collections.abc import Mapping

from ingestion.collector.app import create_app
from ingestion.collector.keys import key_hash
from ingestion.collector.serving import serve
from ingestion.collector.settings import EVENTS_SCOPE, CollectorSettings, KeyFacts
from ingestion.redis_log_writer import RedisLogWriter


class Keys:
    """A key ring that was given."""

    def __init__(self, keys: Mapping[str, tuple[str, float | None]]) -> None:
        self._facts = {
            key_hash(key): KeyFacts(source, frozenset({EVENTS_SCOPE}), limit) for key, (source, limit) in keys.items()
        }

    async def source_of(self, key_hash: str) -> KeyFacts | None:
        return self._facts.get(key_hash)


def main(keys: str, log_url: str) -> None:
    """Serve until told to stop."""
    settings = CollectorSettings(keys=Keys(json.loads(keys)), snowplow_source="snowplow")
    app = create_app(settings, RedisLogWriter(log_url))
    serve(app, settings.connections, host="127.0.0.1", port=0, on_started=lambda port: print(port, flush=True))


if __name__ == "__main__":
    main(*sys.argv[1:])
