"""The API over the tests' Redis, asked in process; keys by what they may do, and an author that keeps definitions in memory."""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import redis
from starlette.testclient import TestClient

from activation import Reader
from activation.api.app import create_api
from activation.api.settings import (
    READ_AUDIENCES,
    READ_PREDICTIONS,
    READ_PROFILES,
    WRITE_AUDIENCES,
    ApiSettings,
    DefinedInSqlError,
    FeatureRow,
    InvalidRuleError,
    KeysUnreadableError,
    Preview,
    UnknownAudienceError,
    UnknownModelError,
)
from tests.activation.publications import AS_OF

NOW = AS_OF + timedelta(hours=2)
KEYS = {
    "profiles-key": frozenset({READ_PROFILES}),
    "audiences-key": frozenset({READ_AUDIENCES}),
    "predictions-key": frozenset({READ_PREDICTIONS}),
    "author-key": frozenset({WRITE_AUDIENCES}),
    "browser-key": frozenset({"events"}),
}
TYPES = {"orders": "bigint", "spent": "decimal(18,4)", "churn_probability": "float8", "is_new": "boolean"}


class Keys:
    """The keys above."""

    def __init__(self) -> None:
        self.are_readable = True
        self._of_hash = {hashlib.sha256(key.encode()).hexdigest(): scopes for key, scopes in KEYS.items()}

    async def scopes_of(self, key_hash: str) -> frozenset[str] | None:
        if not self.are_readable:
            raise KeysUnreadableError("The keys cannot be read at this moment; ask again.")
        return self._of_hash.get(key_hash)


class Author:
    """Takes definitions that have a name and a rule."""

    def __init__(self) -> None:
        self.saved: dict[str, Mapping[str, Any]] = {}
        self.rebuilt: list[tuple[str, str]] = []

    def preview(self, definition: Mapping[str, Any]) -> Preview:
        self._check(definition)
        return Preview(size=2, share=0.5, sample=("ada", "bob"), as_of=AS_OF)

    def save(self, definition: Mapping[str, Any], *, by: str) -> int:
        self._check(definition)
        self.saved[definition["name"]] = definition
        return len(self.saved)

    def delete(self, name: str) -> None:
        if name == "in_sql":
            raise DefinedInSqlError("in_sql is an SQL file of the dbt project; delete the file.")
        if self.saved.pop(name, None) is None:
            raise UnknownAudienceError("There is no audience of this name.")

    def rebuild(self, name: str, *, by: str) -> datetime:
        if name not in self.saved:
            raise UnknownAudienceError("There is no audience of this name.")
        self.rebuilt.append((name, by))
        return NOW

    def _check(self, definition: Mapping[str, Any]) -> None:
        missing = [f"$.{member} is missing." for member in ("name", "rule") if member not in definition]
        if missing:
            raise InvalidRuleError(missing)


class Adder:
    """A model of two features that says their sum, and the predictor that knows no other."""

    version = "v1"
    features = ("recency_days", "order_count")

    def scorer(self, model: str) -> "Adder":
        if model != "adder":
            raise UnknownModelError("There is no such model; there is adder.")
        return self

    def scores(self, rows: Sequence[FeatureRow]) -> list[dict[str, Any]]:
        return [{"total": sum(value or 0.0 for value in row.values), "reason_codes": []} for row in rows]


class Api:
    """The API, and what it was made of."""

    def __init__(self, client: redis.Redis) -> None:
        self.keys, self.author = Keys(), Author()
        settings = ApiSettings(
            keys=self.keys,
            author=self.author,
            predictor=Adder(),
            field_types=TYPES,
            score_fields=frozenset({"churn_probability"}),
            now=lambda: NOW,
        )
        self.http = TestClient(
            create_api(settings, Reader(client, default_country="43")), raise_server_exceptions=False
        )

    def get(self, path: str, key: str | None = "audiences-key") -> Any:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return self.http.get(path, headers=headers)

    def post(self, path: str, body: Any = None, key: str = "author-key") -> Any:
        return self.http.post(path, json=body, headers={"Authorization": f"Bearer {key}"})
