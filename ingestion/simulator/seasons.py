"""The shop's calendar: busy weekends, a December peak, a summer dip, and an evening rush."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from ingestion.simulator.arrays import MICROS_PER_DAY, Floats, Ints

_BY_WEEKDAY = (0.95, 0.90, 0.92, 0.97, 1.08, 1.18, 1.10)
_BY_MONTH = (0.95, 0.90, 0.96, 1.0, 1.02, 0.94, 0.78, 0.76, 0.98, 1.05, 1.28, 1.62)
_BY_HOUR_ONLINE = (2, 1, 1, 1, 1, 2, 4, 7, 10, 12, 13, 13, 14, 13, 12, 12, 13, 15, 18, 21, 22, 19, 12, 6)
_BY_HOUR_STORE = (0, 0, 0, 0, 0, 0, 0, 0, 2, 7, 10, 12, 13, 12, 11, 11, 12, 14, 13, 9, 0, 0, 0, 0)
_BEFORE = 60  # days before the window, in which an order rhythm may have begun


@dataclass(frozen=True)
class Seasons:
    """Turns busy time (in which people act evenly) into days since the window's start, and days into microseconds."""

    start: datetime
    days: int
    elapsed: Floats  # busy time at the start of each day from -_BEFORE to `days`

    @staticmethod
    def of(start: datetime, days: int) -> Seasons:
        """The calendar of `days` days from `start`."""
        dates = [start + timedelta(days=day) for day in range(-_BEFORE, days)]
        busy = np.array([_BY_WEEKDAY[date.weekday()] * _BY_MONTH[date.month - 1] for date in dates])
        elapsed = np.r_[0.0, np.cumsum(busy / busy.mean())]
        return Seasons(start, days, elapsed - elapsed[_BEFORE])

    @property
    def _knots(self) -> Floats:
        return np.arange(-_BEFORE, self.days + 1, dtype=np.float64)

    def busy(self, day: Floats) -> Floats:
        """Busy time at a moment given in days since the start."""
        return np.interp(day, self._knots, self.elapsed)

    def day(self, busy: Floats) -> Floats:
        """The inverse of `busy`; it goes on evenly beyond the end, so that nothing piles up on the last day."""
        inside = np.interp(busy, self.elapsed, self._knots)
        return np.where(busy > self.elapsed[-1], self.days + (busy - self.elapsed[-1]), inside)

    def at_opening_hours(self, rng: np.random.Generator, day: Floats, *, in_store: bool) -> Floats:
        """The same dates with a time of day as people have it: evenings online, daytime in a store."""
        weights = np.asarray(_BY_HOUR_STORE if in_store else _BY_HOUR_ONLINE, np.float64)
        shares = np.r_[0.0, np.cumsum(weights / weights.sum())]
        return np.floor(day) + np.interp(rng.random(day.size), shares, np.arange(25) / 24.0)

    def micros(self, day: Floats) -> Ints:
        """Days since the start as microseconds since 1970."""
        epoch = round((self.start - datetime(1970, 1, 1)) / timedelta(days=1) * MICROS_PER_DAY)
        return epoch + np.rint(day * MICROS_PER_DAY).astype(np.int64)
