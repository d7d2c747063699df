"""Operator state on both of its databases."""

from pathlib import Path

import pytest

from orchestration.settings import load_settings
from orchestration.state import State


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
