"""The time as the sync engine and the adapters see it."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Clock:
    """Seconds since 1970, and how to wait for some."""

    now: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
