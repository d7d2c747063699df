"""An installation that pulls, and a clock on which nobody waits."""

from pathlib import Path

import pytest

from tests.fakes.vendor import FakeClock
from tests.ingestion.crm.pulls import Shop


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def shop(tmp_path: Path, clock: FakeClock) -> Shop:
    return Shop(tmp_path, clock)
