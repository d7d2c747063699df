"""`weft keys`: what people type and see. What a running collector makes of it is in test_serving.py."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ingestion.collector.keys import key_hash
from orchestration.api_keys import ApiKeys
from orchestration.cli import app
from orchestration.errors import ApiKeyError
from orchestration.resources import build_platform


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ApiKeys:
    """The keys of the installation that `typed` is about."""
    monkeypatch.setenv("WEFT_HOME", str(tmp_path / "weft"))
    monkeypatch.setenv("COLUMNS", "200")
    return build_platform().state.keys


def typed(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["keys", *arguments], catch_exceptions=True)


def test_a_key_is_shown_once_kept_as_its_hash_listed_by_its_id_and_revoked(keys: ApiKeys) -> None:
    made = typed(
        "create", "--source", "web", "--scope", "events", "--scope", "upload", "--limit", "50", "--name", "shop"
    )
    assert made.exit_code == 0
    key = made.stdout.strip()
    assert "not shown again" in made.stderr
    found = keys.live()[key_hash(key)]
    assert (found.source, found.name, found.limit_per_second) == ("web", "shop", 50)
    assert found.scopes == {"events", "upload"}
    listed = typed("list").stdout
    assert all(text in listed for text in (found.id, "shop", "web", "events upload", "50"))
    assert key not in listed
    assert typed("revoke", found.id[:6]).exit_code == 0
    assert keys.live() == {}
    assert found.id in typed("list").stdout, "what a revoked key was for can still be told"


@pytest.mark.parametrize("arguments", [("create", "--source", " "), ("create", "--source", "web", "--scope", "admin")])
def test_a_key_that_cannot_be_is_refused(keys: ApiKeys, arguments: tuple[str, ...]) -> None:
    assert isinstance(typed(*arguments).exception, ApiKeyError)
    assert keys.list() == []


def test_only_one_key_at_a_time_is_revoked_and_only_a_clear_one(keys: ApiKeys) -> None:
    for _ in range(2):
        typed("create", "--source", "web")
    for unclear in ("", "00", "weft_nobody_has_this", "zzzzzzzzzzzz"):
        assert isinstance(typed("revoke", unclear).exception, ApiKeyError)
    assert len(keys.live()) == 2
