"""Features of a build beside its profiles: published where somebody asked for it, and whenever they alone changed."""

from datetime import date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from activation import Reader
from activation.embedded_redis import EmbeddedRedis
from activation.errors import FeaturesNotPublishedError
from orchestration import audience_catalogue
from orchestration.clock import FEATURE_DATES
from orchestration.published_features import PUBLISH_FEATURES, note_published_features, publishes_features
from orchestration.publishing import PROFILES, publish, register_changes
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.warehouse import write_table
from tests.orchestration.audience_shop import STARTED_AT, write_build

COLUMNS = {"customer_id": "varchar", "as_of_date": "date", "recency_days": "float8", "order_count": "bigint"}
NAMES = tuple(COLUMNS)[2:]


def build(platform: Platform, at: datetime, recency: float) -> int | None:
    """A whole build, registered and published; the version of profiles where there is a new one."""
    write_build(platform, f"build-{at}", at, {}, {"ada": 1, "bob": 2})
    with platform.warehouse.writer() as connection:
        days = [at.date() - timedelta(days=90), at.date()]
        dates = {"as_of_date": days, "as_of": [at, at], "is_training_date": [True, False]}
        write_table(connection, "control.feature_dates", pa.table(dates), FEATURE_DATES)
        values = {"recency_days": [900.0, recency], "order_count": [9, 1]}
        rows = pa.table({"customer_id": ["ada", "ada"], "as_of_date": days, **values})
        write_table(connection, "features.customer_features", rows, COLUMNS)
        note_published_features(connection, platform.settings, platform.state)
    register_changes(platform.warehouse, platform.state)
    version = platform.state.newest_version(PROFILES)
    assert version is not None
    if version.as_of != at:
        return None
    publish(platform.settings, platform.warehouse, platform.state, version, attempt=1)
    return version.version


@pytest.fixture
def platform(tmp_path: Path, server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """An installation without an audience."""
    monkeypatch.setattr(audience_catalogue, "read_manifest", dict)
    monkeypatch.setattr(audience_catalogue, "audience_definitions", lambda _manifest: [])
    with server.client() as client:
        client.flushall()
    return Platform(load_settings(home=tmp_path, REDIS_URL=server.url))


def published(server: EmbeddedRedis) -> tuple[date, tuple[float | None, ...]]:
    with server.client() as client:
        ada, bob = Reader(client).features([("customer_id", "ada"), ("customer_id", "bob")], NAMES, now=STARTED_AT)
    assert ada is not None
    assert bob is None, "bob has no order, so no features"
    return ada.as_of_date, ada.values


def test_features_are_published_once_asked_for_and_a_change_of_them_alone_is_published(
    platform: Platform, server: EmbeddedRedis
) -> None:
    at = STARTED_AT
    assert build(platform, at, 3.0) == 1
    with pytest.raises(FeaturesNotPublishedError):
        published(server)
    platform.state.remember(PUBLISH_FEATURES, "yes")
    at += timedelta(hours=1)
    assert build(platform, at, 3.0) == 2
    assert published(server) == (at.date(), (3.0, 1.0))
    at += timedelta(hours=1)
    assert build(platform, at, 3.0) is None, "nothing changed, so there is nothing to publish"
    at += timedelta(hours=1)
    assert build(platform, at, 4.0) == 3
    assert published(server) == (at.date(), (4.0, 1.0))
    never = Platform(platform.settings.model_copy(update={"publish_features": False}))
    at += timedelta(hours=1)
    assert build(never, at, 4.0) == 4
    with pytest.raises(FeaturesNotPublishedError):
        published(server)


def test_the_setting_wins_over_what_the_installation_was_told(platform: Platform) -> None:
    settings, state = platform.settings, platform.state
    assert publishes_features(settings, state) is False
    state.remember(PUBLISH_FEATURES, "yes")
    assert publishes_features(settings, state) is True
    assert publishes_features(settings.model_copy(update={"publish_features": False}), state) is False
