"""A log in memory that can be told to fail, write keys, and a client that calls a collector in this process."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import httpx
from fastapi import FastAPI

from ingestion.collector.keys import key_hash
from ingestion.collector.settings import EVENTS_SCOPE, UPLOAD_SCOPE, KeyFacts
from ingestion.event_log import LogError, Received

KEY = "wk_shop_0123456789"
UPLOAD_KEY = "wk_upload_0123456789"
REVOKED_KEY = "wk_revoked_0123456789"
SLOW_KEY = "wk_slow_0123456789"
SECRET = "whsec_shop_0123456789"


@dataclass
class MemoryLog:
    """Entries in a list; `failure` is what the next append raises."""

    entries: list[Received] = field(default_factory=list)
    failure: LogError | None = None
    closed: bool = False

    async def append(self, received: Received) -> str:
        if self.failure is not None:
            raise self.failure
        self.entries.append(received)
        return f"{len(self.entries)}-0"

    async def check(self) -> None:
        if self.failure is not None:
            raise self.failure

    async def close(self) -> None:
        self.closed = True


@dataclass
class Keys:
    """A key ring of a few keys that counts how often it is asked; `revoked` are gone."""

    revoked: set[str] = field(default_factory=lambda: {REVOKED_KEY})
    asked: int = 0

    async def source_of(self, key_hash_: str) -> KeyFacts | None:
        self.asked += 1
        keys = {
            KEY: KeyFacts("shop", frozenset({EVENTS_SCOPE})),
            UPLOAD_KEY: KeyFacts("files", frozenset({UPLOAD_SCOPE})),
            SLOW_KEY: KeyFacts("slow", frozenset({EVENTS_SCOPE}), limit_per_second=5),
            REVOKED_KEY: KeyFacts("old"),
        }
        return {key_hash(key): facts for key, facts in keys.items() if key not in self.revoked}.get(key_hash_)


class Client:
    """Calls an application in this process, one request after the other; a mistake of ours is an answer 500, as it is for a sender."""

    def __init__(self, app: FastAPI, *, address: str = "203.0.113.9") -> None:
        self.app = app
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(app, raise_app_exceptions=False, client=(address, 4711))
        self._client = httpx.AsyncClient(transport=transport, base_url="http://collector")

    def request(self, method: str, path: str, **how: Any) -> httpx.Response:
        return self._runner.run(self._client.request(method, path, **how))

    def get(self, path: str, **how: Any) -> httpx.Response:
        return self.request("GET", path, **how)

    def post(self, path: str, **how: Any) -> httpx.Response:
        return self.request("POST", path, **how)

    def close(self) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()
