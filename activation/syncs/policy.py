"""When what failed is tried again, and when no more."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """Waits are exponential with jitter: installations and rows that failed together do not come back together."""

    quarantine_after: int = 10
    """Failures of the row itself."""
    unavailable_in_a_row: int = 5
    """Requests without an answer to work with, after which the run ends."""
    first_wait_seconds: float = 2.0
    longest_wait_seconds: float = 3600.0
    longest_rest_seconds: float = 86_400.0
    """What a destination may ask for with Retry-After; a year would be a mistake of its."""
    patience_seconds: float = 30.0
    """A run waits this long for a row or a destination that wants to be tried later, budget permitting; else the next run does."""
    jitter: Callable[[], float] = random.random

    def wait(self, tries: int) -> float:
        """Seconds until the next try, after `tries` of them failed: between half and all of the exponential wait."""
        longest = min(self.longest_wait_seconds, self.first_wait_seconds * 2.0 ** min(max(tries, 1) - 1, 30))
        return longest * (0.5 + 0.5 * self.jitter())
