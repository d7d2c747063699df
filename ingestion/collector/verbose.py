"""`?verbose=1`: what will become of each event, by the normaliser's own decision."""

import asyncio

from starlette.requests import Request

from ingestion.event_log import Received
from ingestion.normalise import segment

_FLAGS = (b"verbose=1", b"verbose=true")


def is_verbose(request: Request) -> bool:
    """Whether the sender asks for a result per event."""
    query: bytes = request.scope["query_string"]
    return bool(query) and any(flag in _FLAGS for flag in query.split(b"&"))


async def results(received: Received, entry: str, events: int) -> list[dict[str, object]]:
    """One result per event of a request that the log has: `index`, `ok`, and where it is refused `reason` and `detail`."""
    normalized = await asyncio.to_thread(segment.normalise, received, entry)
    refused = {part.index: part for part in normalized.refused}
    answers: list[dict[str, object]] = []
    for index in range(events):
        part = refused.get(index)
        if part is None:
            answers.append({"index": index, "ok": True})
        else:
            answers.append({"index": index, "ok": False, "reason": part.reason, "detail": part.detail})
    return answers
