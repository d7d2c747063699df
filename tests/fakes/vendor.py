"""What the fakes of CRM sources share beside the stand-in's server: a clock that waits in no time."""

import time

from activation.fake_destinations.vendor import Call, Reply, RollingLimit, Vendor
from ingestion.crm.calls import Clock

__all__ = ["Call", "FakeClock", "Reply", "RollingLimit", "Vendor", "iso"]


class FakeClock:
    """Seconds since 1970 that pass only where somebody waits; every wait is kept."""

    def __init__(self) -> None:
        self.seconds = time.time()
        self.waits: list[float] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.seconds += seconds

    @property
    def clock(self) -> Clock:
        return Clock(self.now, self.sleep)


def iso(seconds: float) -> str:
    """Milliseconds, with a Z, as HubSpot writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{int(seconds * 1000) % 1000:03}Z"
