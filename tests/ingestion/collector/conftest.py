"""A collector over a log in memory, and a client of it."""

from collections.abc import Iterator

import pytest

from ingestion.collector.app import create_app
from ingestion.collector.settings import CollectorSettings
from tests.ingestion.collector.senders import Client, Keys, MemoryLog


@pytest.fixture
def log() -> MemoryLog:
    """The log behind `client`."""
    return MemoryLog()


@pytest.fixture
def keys() -> Keys:
    """The key ring behind `client`."""
    return Keys()


@pytest.fixture
def settings(keys: Keys) -> CollectorSettings:
    """Settings behind `client`; a module may override this fixture."""
    return CollectorSettings(keys=keys, snowplow_source="snowplow")


@pytest.fixture
def client(settings: CollectorSettings, log: MemoryLog) -> Iterator[Client]:
    """A client of a collector over `log`."""
    made = Client(create_app(settings, log))
    yield made
    made.close()
