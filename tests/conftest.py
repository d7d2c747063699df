"""What tests share: the project's dbt manifest, and an installation of their own that has seen a small simulated shop."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

# A run of the tests never touches a person's own installation.
for name in [key for key in os.environ if key.startswith("WEFT_") or key in ("REDIS_URL", "DAGSTER_HOME")]:
    del os.environ[name]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """WEFT_HOME of this test session; set before orchestration.definitions is imported, which reads it."""
    folder = tmp_path_factory.mktemp("weft-home")
    os.environ["WEFT_HOME"] = str(folder)
    os.environ["WEFT_INSTALLATION_SALT"] = "tests"
    return folder


@pytest.fixture(scope="session")
def manifest(home: Path) -> dict[str, Any]:
    """dbt's description of the project as its files stand now."""
    from orchestration.settings import load_settings
    from orchestration.transform import prepare_manifest

    content: dict[str, Any] = json.loads(prepare_manifest(load_settings()).read_text(encoding="utf-8"))
    return content


@pytest.fixture(scope="session")
def redis_url(home: Path) -> Iterator[str]:
    """The embedded Redis of the session's installation, kept running for all tests."""
    from activation.embedded_redis import EmbeddedRedis

    with EmbeddedRedis(home / "redis") as server:
        yield server.url
