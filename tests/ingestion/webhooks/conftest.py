"""A collector whose sources have webhook secrets, over a log in memory."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from ingestion.collector.app import create_app
from ingestion.collector.settings import CollectorSettings
from ingestion.normalise.source_settings import SOURCE_FILES
from tests.ingestion.collector.conftest import Client, Keys, MemoryLog
from tests.ingestion.webhooks.payloads import SECRETS


@pytest.fixture
def log() -> MemoryLog:
    """The log behind `client`."""
    return MemoryLog()


@pytest.fixture
def client(log: MemoryLog) -> Iterator[Client]:
    """A client of a collector over `log`; its address, 203.0.113.9, is no trusted proxy."""
    proxies = (ip_network("10.0.0.0/8"),)
    made = Client(create_app(CollectorSettings(keys=Keys(), webhook_secrets=SECRETS, trusted_proxies=proxies), log))
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _no_source_files() -> Iterator[None]:
    """A test that says something of a source sets the folder itself."""
    yield
    SOURCE_FILES.folder = None
