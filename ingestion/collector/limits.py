"""How many events a second a source may send: a bucket of tokens for each."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from ingestion.collector.answers import Refusal

_BURST_SECONDS = 2.0


@dataclass
class _Bucket:
    tokens: float
    filled_at: float


class RateLimits:
    """Tokens for two seconds at most. A batch is taken where a token is left and may overdraw: it is never taken in part."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    def admit(self, source: str, limit_per_second: float | None) -> None:
        """Raises Refusal (429, with the seconds to wait) where the source has no token left."""
        if limit_per_second is None:
            return
        bucket = self._filled(source, limit_per_second)
        if bucket.tokens <= 0:
            seconds = str(max(1, math.ceil(-bucket.tokens / limit_per_second)))
            raise Refusal(
                429,
                "too_many_events",
                "This source sends more events a second than it may; send it again after the time in Retry-After.",
                headers={"retry-after": seconds, "x-ratelimit-reset": seconds},
            )

    def charge(self, source: str, limit_per_second: float | None, events: int) -> None:
        """Take a token for each event of a request; also of a webhook's, whose sender is never asked to wait."""
        if limit_per_second is not None:
            self._filled(source, limit_per_second).tokens -= events

    def _filled(self, source: str, limit_per_second: float) -> _Bucket:
        """The source's bucket as it is now; a new one is full."""
        now = self._clock()
        most = max(limit_per_second * _BURST_SECONDS, 1.0)
        bucket = self._buckets.setdefault(source, _Bucket(most, now))
        bucket.tokens = min(most, bucket.tokens + (now - bucket.filled_at) * limit_per_second)
        bucket.filled_at = now
        return bucket
