"""A destination's rate: requests keep their distance."""

from activation.syncs.clock import Clock


class Pacer:
    """Lets a request go at most every 1 / `rate_per_second` seconds; for the one thread that a destination has."""

    def __init__(self, rate_per_second: float, clock: Clock) -> None:
        self._spacing, self._clock = 1.0 / rate_per_second, clock
        self._free_at = 0.0

    def wait(self) -> None:
        """Wait for one's turn."""
        now = self._clock.now()
        # a clock that was set back must not stop the destination for hours
        turn = min(max(self._free_at, now), now + self._spacing)
        self._free_at = turn + self._spacing
        if turn > now:
            self._clock.sleep(turn - now)
