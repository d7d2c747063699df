"""What the tests of the platform's event log share: requests as the collector appends them."""

import asyncio
import json
from datetime import datetime

from ingestion.event_log import Received
from ingestion.redis_log_writer import RedisLogWriter
from orchestration.resources import Platform

RECEIVED_AT = int(datetime(2026, 3, 1).timestamp() * 1000)


def call(id_: str, **changes: object) -> dict[str, object]:
    """One track call of Segment's spec."""
    return {"messageId": id_, "type": "track", "event": "Product Viewed", "userId": "u", **changes}


def send(platform: Platform, *calls: dict[str, object] | bytes, kind: str = "segment") -> None:
    """One request for each call, as the collector appends it."""
    assert platform.settings.log_url is not None
    url = platform.settings.log_url.get_secret_value()

    async def append() -> None:
        writer = RedisLogWriter(url)
        for body in calls:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            await writer.append(Received(kind, "web", RECEIVED_AT, content, {"path": "track"}))
        await writer.close()

    asyncio.run(append())


def rows(platform: Platform, query: str) -> list[tuple[object, ...]]:
    """Rows of its warehouse."""
    with platform.warehouse.writer() as connection:
        return connection.rows(query)
