"""The API as people start it: a process of its own, over the installation's Redis and keys."""

import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from activation.api.settings import READ_AUDIENCES, READ_PROFILES, WRITE_AUDIENCES
from activation.embedded_redis import EmbeddedRedis
from orchestration.api_service import api_settings
from orchestration.resources import Platform, build_platform
from orchestration.transform import prepare_manifest
from tests.activation.publications import audience, profiles
from tests.orchestration.services import Service, until, weft

NOW = datetime(2026, 3, 1)


@dataclass
class Running:
    """An API of one installation, and its Redis."""

    platform: Platform
    store: EmbeddedRedis
    service: Service
    address: str

    def get(self, path: str, *scopes: str) -> httpx.Response:
        key, _ = self.platform.state.keys.create(source="shop", now=NOW, scopes=scopes)
        return httpx.get(self.address + path, headers={"Authorization": f"Bearer {key}"})


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    home = tmp_path / "weft"
    with EmbeddedRedis(home / "redis") as store, Service(home, "serve", "api", "--port", "0") as service:
        with store.client() as client:
            profiles(
                client, home / "p", {"ada": {"orders": 3, "audiences": ["vip"]}}, [("email", "a@b.example", "ada")]
            )
            audience(client, ["ada"])
        yield Running(build_platform(home=home), store, service, service.line("API"))


def test_it_answers_from_redis_with_keys_of_the_installation_and_ends_when_told(running: Running) -> None:
    assert running.get("/v1/profiles/email/A@B.example", READ_PROFILES).json()["audiences"] == ["vip"]
    assert running.get("/v1/audiences/vip/members/ada", READ_AUDIENCES).json()["is_member"] is True
    assert running.get("/v1/audiences", "events").status_code == 403
    key, made = running.platform.state.keys.create(source="old", now=NOW, scopes=(READ_AUDIENCES,))
    bearer = {"Authorization": f"Bearer {key}"}
    assert httpx.get(running.address + "/v1/audiences", headers=bearer).status_code == 200
    running.platform.state.keys.revoke(made.id, now=NOW)
    until(lambda: httpx.get(running.address + "/v1/audiences", headers=bearer).status_code == 401, 10)
    writer, _ = running.platform.state.keys.create(source="crm", now=NOW, scopes=(WRITE_AUDIENCES,))
    rule = {"name": "spenders", "rule": {"min_total_spend": 100}}
    refused = httpx.post(running.address + "/v1/audiences", json=rule, headers={"Authorization": f"Bearer {writer}"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "invalid_rule")
    assert "$.owner: is missing." in refused.json()["error"]["problems"]
    port = running.address.rpartition(":")[2]
    status, said = weft(running.platform.settings.home, "serve", "api", "--port", port)
    assert (status, f"Port {port} is taken by another program" in said, "Traceback" in said) == (2, True, False)

    host, port = running.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as half_sent:
        half_sent.sendall(b"GET /v1/audiences HT")
        running.store.stop()
        assert running.get("/v1/audiences", READ_AUDIENCES).status_code == 503
        found, seconds = running.service.ended()
    assert (found, seconds < 10, "Traceback" in running.service.said) == (-signal.SIGTERM, True, False)
    assert "a@b.example" not in running.service.said.lower()


def test_profiles_are_answered_with_the_types_of_the_model_s_contract(tmp_path: Path) -> None:
    platform = build_platform(home=tmp_path / "weft")
    prepare_manifest(platform.settings)
    settings = api_settings(platform)
    assert settings.field_types["order_count"] == "bigint"
    assert settings.field_types["net_revenue"] == "decimal(18,4)"
    assert "churn_probability" in settings.score_fields
    assert not {"order_count", "predicted_on"} & settings.score_fields
