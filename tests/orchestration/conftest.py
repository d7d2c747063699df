"""Operator state on both of its databases; an event log of a test's own, and a new warehouse beside it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from activation.embedded_redis import EmbeddedRedis
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.state import State
from tests.orchestration.logged import Logged


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where operator state is kept: a file, and a PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'state.sqlite'}"
    settings = load_settings(home=tmp_path, target="postgres", postgres_url=request.getfixturevalue("postgres_url"))
    return settings.state_url


@pytest.fixture
def state(url: str) -> State:
    """Empty operator state."""
    return State(url)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """An online store that forgets."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis"), appendonly=False) as running:
        yield running


@pytest.fixture(scope="module")
def log_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """The Redis of the event log."""
    with EmbeddedRedis(tmp_path_factory.mktemp("log"), maxmemory_mb=256) as running:
        yield running


@pytest.fixture
def logged(log_server: EmbeddedRedis, tmp_path: Path) -> Iterator[Logged]:
    """An empty event log."""
    with log_server.client() as client:
        client.flushall()
    opened = Logged(log_server, tmp_path)
    yield opened
    opened.log.close()


@pytest.fixture
def platform(log_server: EmbeddedRedis, tmp_path: Path) -> Platform:
    """An installation with an event log of its own, which is empty; a file whose tests need another one defines its own."""
    with log_server.client() as client:
        client.flushall()
    return Platform(load_settings(home=tmp_path / "home", log_url=log_server.url))


@pytest.fixture
def duckdb_file(tmp_path: Path) -> str:
    """Where a new DuckDB warehouse is going to stand."""
    return str(tmp_path / "warehouse.duckdb")


@pytest.fixture(params=["duckdb", "postgres"])
def where(request: pytest.FixtureRequest) -> str:
    """A new warehouse: the path of a DuckDB file, or a PostgreSQL URL."""
    return str(request.getfixturevalue("duckdb_file" if request.param == "duckdb" else "postgres_url"))


@pytest.fixture(scope="session")
def home_with_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one version of every model, and today's scores; for copies."""
    from ml import MODELS
    from tests.orchestration.model_shop import TODAY, labelled, of_today, platform_at, score_at, train_at, write_shop

    home = tmp_path_factory.mktemp("models")
    made = platform_at(home)
    with made.warehouse.writer() as connection:
        write_shop(connection, labelled(), of_today(TODAY), TODAY)
    for module in MODELS:
        train_at(made, module)
    score_at(made)
    return home
