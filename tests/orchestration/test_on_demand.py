"""Models asked on demand over a shop that was trained, scored and published: the batch's numbers, and whoever is champion now."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from activation import Reader, publish_profiles
from activation.api.app import create_api
from activation.api.settings import READ_PREDICTIONS, ApiSettings, NoModelError
from activation.embedded_redis import EmbeddedRedis
from ml import MODELS, schema
from ml.model import ModelModule, ModelOptions
from orchestration.model_registry import ModelRegistry
from orchestration.on_demand import CUSTOMERS, LOOKED_AT_SECONDS, ChampionModels
from orchestration.published_features import note_published_features, published_features
from orchestration.resources import Platform
from tests.orchestration.model_shop import TODAY, labelled, of_today, platform_at, score_at, train_at, write_shop

AS_OF = datetime(TODAY.year, TODAY.month, TODAY.day)
ASKABLE = [each for each in MODELS if each.reads(ModelOptions(seed=7)).kind == CUSTOMERS]

NO_VALUES = ("as_of_date", "model_version", "reason_codes")


class AnyKey:
    """Every key may ask models."""

    async def scopes_of(self, key_hash: str) -> frozenset[str]:
        return frozenset({READ_PREDICTIONS})


@dataclass
class Shop:
    """A shop, and its API whose clock the test moves."""

    platform: Platform
    http: TestClient
    models: ChampionModels
    customer_ids: list[str]
    clock: float = 0.0

    def ask(self, model: str, customer_ids: list[str], **changes: float | None) -> dict[str, Any]:
        body = {"customers": [{"type": "customer_id", "value": each} for each in customer_ids], "changes": changes}
        found = self.http.post(f"/v1/predictions/{model}", json=body, headers={"Authorization": "Bearer key"})
        assert found.status_code == 200, found.text
        answer: dict[str, Any] = found.json()
        return answer

    def batch(self, module: ModelModule) -> dict[str, dict[str, Any]]:
        """The scores of the last pass by customer."""
        with self.platform.warehouse.writer() as connection:
            rows = connection.arrow(f"select * from predictions.{module.TABLE}").to_pylist()
        return {row.pop("customer_id"): row for row in rows}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, server: EmbeddedRedis) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("weft")
    platform = platform_at(home, publish_features=True)
    with platform.warehouse.writer() as connection:
        write_shop(connection, labelled(200), of_today(TODAY, 200), TODAY)
    for module in ASKABLE:
        train_at(platform, module)
    score_at(platform)
    with platform.warehouse.writer() as connection:
        note_published_features(connection, platform.settings, platform.state)
        features = published_features(connection)
    assert features is not None
    nobody = pa.table(
        {name: pa.array([], pa.string()) for name in ("identifier_type", "identifier_value", "customer_id")}
    )
    with server.client() as client:
        publish_profiles(
            client,
            version=1,
            build=1,
            profiles=features.select(["customer_id"]),
            identifiers=nobody,
            as_of=AS_OF,
            snapshot=home / "profiles.arrow",
            published_at=AS_OF,
            features=features,
        )
        models = ChampionModels(platform, clock=lambda: found.clock)
        settings = ApiSettings(keys=AnyKey(), predictor=models, now=lambda: AS_OF)
        http = TestClient(create_api(settings, Reader(client)))
        found = Shop(platform, http, models, features["customer_id"].to_pylist())
        yield found


@pytest.mark.parametrize("module", ASKABLE, ids=lambda module: module.MODEL)
def test_on_demand_gives_the_numbers_of_the_batch_bit_for_bit(shop: Shop, module: ModelModule) -> None:
    batch = shop.batch(module)
    assert len(batch) == len(shop.customer_ids) > 100
    hundreds = [shop.customer_ids[at : at + 100] for at in range(0, len(shop.customer_ids), 100)]
    for asked in [*hundreds, *([one] for one in shop.customer_ids[:5])]:
        answer = shop.ask(module.MODEL, asked)
        for customer_id, said in zip(asked, answer["predictions"], strict=True):
            scored = batch[customer_id]
            wanted = {name: _as_json(scored[name]) for name in scored if name not in NO_VALUES}
            assert said["values"] == wanted, "floats equal mean equal bits, but for the sign of nothing"
            assert said["reason_codes"] == (json.loads(scored["reason_codes"]) if "reason_codes" in scored else None)
            assert (said["as_of_date"], answer["model_version"]) == (TODAY.isoformat(), scored["model_version"])


def test_what_if_changes_what_is_scored_and_nothing_that_is_published(shop: Shop) -> None:
    [customer_id, *_] = shop.customer_ids
    [published] = shop.ask("churn", [customer_id])["predictions"]
    [gone] = shop.ask("churn", [customer_id], recency_days=900, order_count_90d=0, net_revenue_90d=None)["predictions"]
    assert gone["values"]["churn_probability"] > published["values"]["churn_probability"]
    assert shop.ask("churn", [customer_id])["predictions"] == [published]
    by_hand = shop.models.scorer("churn")
    row = dict(zip(by_hand.features, _features_of(shop, customer_id), strict=True))
    assert shop.ask("churn", [customer_id], **row)["predictions"] == [published]


def test_a_promotion_a_rollback_and_damaged_files_are_followed_without_a_restart(shop: Shop) -> None:
    platform, models = shop.platform, shop.platform.state.models
    first = models.champions("churn")[0]
    second = train_at(platform.__class__(platform.settings.model_copy(update={"seed": 8})))["version"]
    assert second != first
    if models.champions("churn")[0] != second:
        models.promote("churn", second, reason="a test", now=AS_OF)
    assert shop.ask("churn", shop.customer_ids[:1])["model_version"] == first, "known for as long as a look lasts"
    shop.clock += LOOKED_AT_SECONDS
    assert shop.ask("churn", shop.customer_ids[:1])["model_version"] == second
    models.rollback("churn", reason="a test", now=AS_OF)
    shop.clock += LOOKED_AT_SECONDS
    assert shop.ask("churn", shop.customer_ids[:1])["model_version"] == first
    models.promote("churn", second, reason="a test", now=AS_OF)

    trees = platform.settings.models / "churn" / second / "trees.txt"
    whole = trees.read_bytes()
    trees.write_bytes(whole.replace(b"0.1", b"0.2", 1))
    again = ChampionModels(platform)
    assert again.scorer("churn").version == first, "as a pass: the newest champion before it that is whole"
    trees.write_bytes(whole)
    for version in (first, second):
        (platform.settings.models / "churn" / version).rename(platform.settings.models / version)
    with pytest.raises(NoModelError, match="weft model list"):
        ChampionModels(platform).scorer("churn")
    for version in (first, second):
        (platform.settings.models / version).rename(platform.settings.models / "churn" / version)


def test_a_registry_that_cannot_be_read_leaves_the_model_that_is_known(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = shop.ask("ltv", shop.customer_ids[:1])

    def away(_registry: ModelRegistry, _model: str) -> list[str]:
        raise OperationalError("select", {}, Exception("away"))

    monkeypatch.setattr(ModelRegistry, "champions", away)
    shop.clock += LOOKED_AT_SECONDS
    assert shop.ask("ltv", shop.customer_ids[:1]) == known
    with pytest.raises(NoModelError, match="ask again"):
        ChampionModels(shop.platform).scorer("ltv")


def _features_of(shop: Shop, customer_id: str) -> list[float | None]:
    with shop.platform.warehouse.writer() as connection:
        query = f"select {', '.join(schema.FEATURE_NAMES)} from features.customer_features where customer_id = ? and as_of_date = ?"
        [row] = connection.rows(query, [customer_id, TODAY])
    return [None if value is None else float(value) for value in row]


def _as_json(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
