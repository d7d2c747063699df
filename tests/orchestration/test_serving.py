"""The services as people start them: collector and normaliser in processes of their own, on an installation of their own."""

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest

from activation.embedded_redis import EmbeddedRedis
from ingestion.event_log import BEGINNING
from ingestion.redis_log import RedisEventLog
from orchestration.errors import SettingsError
from orchestration.resources import Platform, build_platform
from orchestration.serving import collector_settings
from orchestration.shop_key import key_file, shop_key
from orchestration.uploads import spool
from tests.orchestration.services import Service, until, weft

NOW = datetime(2026, 3, 1)
EVENT = {"type": "track", "event": "Seen", "userId": "u-1", "timestamp": "2026-03-01T10:00:00Z"}


@dataclass
class Running:
    """A collector and a normaliser of one installation."""

    platform: Platform
    collector: Service
    normaliser: Service
    address: str

    def key(self, source: str, *scopes: str) -> str:
        return self.platform.state.keys.create(source=source, now=NOW, scopes=scopes or ("events",))[0]

    def send(self, key: str, path: str = "/v1/track", **event: object) -> httpx.Response:
        return httpx.post(self.address + path, json=EVENT | event, auth=(key, ""))

    def lines(self) -> list[dict[str, object]]:
        port = EmbeddedRedis(self.platform.settings.log_folder).running_port()
        log = RedisEventLog(f"redis://127.0.0.1:{port}/0")
        entries = log.read_normalized(BEGINNING, limit=1_000)
        log.close()
        return [json.loads(line) for entry in entries for line in entry.normalized.events.splitlines()]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("installation") / "weft"
    platform = build_platform(home=home)
    secrets = json.dumps({"deli": ["s3cret"]})
    with (
        Service(home, "serve", "collector", "--port", "0", WEFT_WEBHOOK_SECRETS=secrets) as collector,
        Service(home, "serve", "normaliser") as normaliser,
    ):
        made = Running(platform, collector, normaliser, collector.line("Collector"))
        normaliser.line("Normaliser")
        yield made
        assert_they_end(made)


def assert_they_end(running: Running) -> None:
    """Collector first: the log stays for the normaliser, which is the last to use it and stops it."""
    with EmbeddedRedis(running.platform.settings.log_folder) as log:
        assert not log.was_started_here
        for service, status in ((running.collector, -signal.SIGTERM), (running.normaliser, 0)):
            assert log.running_port() is not None
            found, seconds = service.ended()
            assert found == status, service.said
            assert seconds < 10
            assert "Traceback" not in service.said
        assert log.running_port() is None


def test_an_event_sent_with_a_key_is_normalised_under_the_key_s_source_whatever_it_claims(running: Running) -> None:
    keys = {source: running.key(source) for source in ("web", "till")}
    claims = {"source": "till", "context": {"source": "till"}, "properties": {"source": "till"}}
    assert running.send(keys["web"], messageId="claims", **claims).status_code == 200
    assert running.send(keys["till"], messageId="own").status_code == 200
    lines = until(lambda: len(found := running.lines()) == 2 and found)
    assert {(line["source"], line["message_id"]) for line in lines} == {("web", "claims"), ("till", "own")}


def test_a_revoked_key_dies_within_five_seconds_in_a_running_collector(running: Running) -> None:
    key = running.key("web")
    assert running.send(key).status_code == 200
    status, said = weft(running.platform.settings.home, "keys", "revoke", key)
    revoked_at = time.monotonic()
    assert (status, "is refused from now on" in said, key in said) == (0, True, False)
    until(lambda: running.send(key).status_code == 401, 10)
    assert time.monotonic() - revoked_at < 5


def test_what_an_installation_sets_is_what_the_collector_goes_by(running: Running) -> None:
    upload, events = running.key("files", "upload"), running.key("web")
    with httpx.Client(base_url=running.address) as client:
        assert client.get("/ready").status_code == 200
        snowplow = {
            "schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4",
            "data": [{"e": "pv"}],
        }
        assert client.post("/com.snowplowanalytics.snowplow/tp2", json=snowplow).status_code == 200
        unsigned = client.post("/webhooks/shopify/deli", json={}, headers={"x-shopify-topic": "orders/create"})
        assert (unsigned.status_code, unsigned.json()["code"]) == (401, "invalid_signature")
        csv = {"content": b"id,name\n1,Tea\n", "params": {"name": "tea.csv"}}
        assert client.post("/v1/uploads", auth=(upload, ""), **csv).status_code == 200
        assert client.post("/v1/uploads", auth=(events, ""), **csv).status_code == 403
    assert list(spool(running.platform.settings).folder.iterdir())


def test_a_taken_port_and_an_unsafe_log_are_one_sentence_each(running: Running, tmp_path: Path) -> None:
    port = running.address.rpartition(":")[2]
    status, said = weft(tmp_path / "weft", "serve", "collector", "--port", port)
    assert (status, f"Port {port} is taken by another program" in said, "Traceback" in said) == (2, True, False)
    with EmbeddedRedis(tmp_path / "log", appendfsync="everysec", maxmemory_mb=64) as unsafe:
        status, said = weft(tmp_path / "weft", "serve", "collector", "--port", "0", WEFT_LOG_URL=unsafe.url)
    assert (status, "needs `appendfsync always`" in said, "Traceback" in said) == (2, True, False)


def test_trusted_proxies_are_networks_and_a_blank_source_closes_snowplow_s_routes(tmp_path: Path) -> None:
    platform = build_platform(home=tmp_path / "weft", trusted_proxies="10.1.2.3/8, ::1", snowplow_source=" ")
    settings = collector_settings(platform)
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert settings.snowplow_source is None
    with pytest.raises(SettingsError, match="WEFT_TRUSTED_PROXIES must be"):
        build_platform(home=tmp_path / "weft", trusted_proxies="proxy.example")


def test_the_shop_has_one_key_that_only_its_owner_can_read_and_a_new_one_after_its_file_is_gone(tmp_path: Path) -> None:
    platform = build_platform(home=tmp_path / "weft")
    key = shop_key(platform)
    assert key_file(platform).stat().st_mode & 0o777 == 0o600
    assert shop_key(platform) == key
    [made] = platform.state.keys.list()
    assert (made.source, made.name, made.scopes) == ("web", "demo shop", {"events"})
    platform.state.keys.revoke(key, now=NOW)
    assert shop_key(platform) == key, "what was revoked on purpose stays revoked"
    key_file(platform).unlink()
    assert shop_key(platform) != key
