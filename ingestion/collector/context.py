"""What every route of the collector is given: settings, keys, limits, metrics and the way into the log."""

import time
from collections.abc import Mapping

from starlette.requests import Request

from ingestion.collector.answers import Refusal
from ingestion.collector.bodies import BodyMemory, read_body
from ingestion.collector.keys import CachedKeys, basic_key
from ingestion.collector.limits import RateLimits
from ingestion.collector.log_metrics import LogMetrics
from ingestion.collector.metrics import Metrics
from ingestion.collector.routing import sent_headers
from ingestion.collector.settings import EVENTS_SCOPE, CollectorSettings, KeyFacts
from ingestion.event_log import LogError, LogFullError, LogWriter, Received, UnsafeLogError


class CollectorContext:
    """One collector's parts. The order in a route: read (size), authenticate, look at the shape, `append`, answer."""

    def __init__(self, settings: CollectorSettings, log: LogWriter) -> None:
        self.settings = settings
        self.log = log
        self.keys = CachedKeys(settings.keys, settings.key_cache_seconds)
        self.limits = RateLimits()
        self.metrics = Metrics()
        if settings.log_reader is not None:
            self.metrics.registry.register(LogMetrics(settings.log_reader))
        self.body_memory = BodyMemory(settings.limits.bodies_in_memory_bytes)

    async def body(self, request: Request, *, limit: int, too_large_status: int = 413) -> bytes:
        """The request's body as it was sent. Raises Refusal where it is larger than `limit` (bytes)."""
        body = await read_body(request, limit=limit, memory=self.body_memory, too_large_status=too_large_status)
        self.settings.on_step("received")
        return body

    def key_in_header(self, request: Request) -> str | None:
        """The write key that the request shows by Basic authentication; None where it shows none there. Raises Refusal (401)."""
        authorization = sent_headers(request).get(b"authorization")
        return None if authorization is None else basic_key(authorization)

    async def authenticate(self, key: str | None, *, scope: str = EVENTS_SCOPE) -> KeyFacts:
        """Whose key it is. Raises Refusal: 401, 403 (another scope), or 429 where the source is above its limit."""
        facts = await self.keys.facts(key, scope)
        self.limits.admit(facts.source, self.limit_of(facts))
        self.settings.on_step("authenticated")
        return facts

    def limit_of(self, facts: KeyFacts) -> float | None:
        """Events a second that a key's source may send; None: as many as come."""
        own = facts.limit_per_second
        return self.settings.limits.events_per_second if own is None else own

    async def append(
        self, kind: str, facts: KeyFacts, body: bytes, of_request: Mapping[str, str], *, events: int = 1
    ) -> tuple[str, Received]:
        """Put one request into the log; returns the entry's id and the entry once it is on disk.

        `events` is how many it holds, as far as that is known. Raises Refusal (503 with Retry-After) where the log does not take it.
        """
        received = Received(kind, facts.source, time.time_ns() // 1_000_000, body, of_request)
        self.limits.charge(facts.source, self.limit_of(facts), events)
        self.settings.on_step("before_append")
        self.body_memory.take(len(body))  # a log that stands still would fill the memory until its patience ends
        try:
            entry = await self.log.append(received)
        except LogError as error:
            raise not_taken(error) from error
        finally:
            self.body_memory.give_back(len(body))
        self.metrics.appended(facts.source, kind, events)
        self.settings.on_step("before_answer")
        return entry, received


def not_taken(error: LogError) -> Refusal:
    """The refusal (503) that a sender gets where the log does not take an entry."""
    if isinstance(error, LogFullError):
        return Refusal(503, "log_full", "The event log is full; try again.", headers={"retry-after": "10"})
    if isinstance(error, UnsafeLogError):
        return Refusal(
            503,
            "log_unsafe",
            "The event log is set up unsafely; its operator has to mend it.",
            headers={"retry-after": "60"},
        )
    return Refusal(503, "log_unavailable", "The event log does not answer; try again.", headers={"retry-after": "2"})
