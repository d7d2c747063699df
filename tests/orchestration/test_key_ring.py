"""Write keys between the operator state and the collector: how long a revoked one lives, and what an unreadable state does to good ones."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from ingestion.collector.settings import KeyFacts, KeysUnreadableError
from orchestration import key_ring
from orchestration.api_keys import ApiKey, hashed
from orchestration.key_ring import OLDEST_SECONDS, RENEW_SECONDS, StateKeys
from orchestration.state import State

NOW = datetime(2026, 3, 1)


class Watched:
    """The keys of a real state, read as often as `reads` says, unreadable while `is_down`; the clock of the ring is `now`."""

    def __init__(self, folder: Path) -> None:
        self.state = State(f"sqlite:///{folder / 'state.sqlite'}")
        self.reads = 0
        self.is_down = False
        self.now = 1_000.0
        self.ring = StateKeys(self._live, lambda: self.now)

    def _live(self) -> dict[str, ApiKey]:
        self.reads += 1
        if self.is_down:
            raise sa.exc.OperationalError("select", {}, Exception("password=secret"))
        return self.state.keys.live()

    def create(self, source: str = "web") -> str:
        return self.state.keys.create(source=source, now=NOW, limit_per_second=5)[0]

    async def source_of(self, key: str) -> KeyFacts | None:
        return await self.ring.source_of(hashed(key))


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Watched:
    monkeypatch.setattr(key_ring, "PAUSE_SECONDS", 0.0)  # the clock of these tests stands still
    return Watched(tmp_path)


def test_a_key_works_from_its_making_and_is_read_once_for_many_requests(watched: Watched) -> None:
    async def requests() -> None:
        first = watched.create()
        assert await watched.source_of(first) == KeyFacts("web", frozenset({"events"}), 5)
        for _ in range(1_000):
            assert await watched.source_of(first) is not None
        assert watched.reads == 1
        watched.now += 0.01
        assert await watched.source_of(watched.create("pos")) is not None
        assert watched.reads == 2

    asyncio.run(requests())


def test_unknown_keys_that_come_together_cost_one_read(watched: Watched) -> None:
    async def requests() -> None:
        found = await asyncio.gather(*(watched.source_of(f"weft_{number}") for number in range(500)))
        assert set(found) == {None}

    asyncio.run(requests())
    assert watched.reads == 1


def test_a_revoked_key_is_noticed_while_requests_go_on_and_never_believed_longer_than_it_may(watched: Watched) -> None:
    async def requests() -> None:
        key = watched.create()
        assert await watched.source_of(key) is not None
        watched.state.keys.revoke(key, now=NOW)
        watched.now += RENEW_SECONDS
        assert await watched.source_of(key) is not None, "this one does not wait"
        while watched.reads < 2 or await watched.source_of(key) is not None:
            await asyncio.sleep(0.001)
        watched.now += 0.01
        second = watched.create()
        assert await watched.source_of(second) is not None
        watched.state.keys.revoke(second, now=NOW)
        watched.now += OLDEST_SECONDS
        assert await watched.source_of(second) is None, "too old to be believed, so the state is asked first"

    asyncio.run(requests())


def test_an_unreadable_state_refuses_nobody(watched: Watched, caplog: pytest.LogCaptureFixture) -> None:
    async def requests() -> None:
        key = watched.create()
        assert await watched.source_of(key) is not None
        watched.is_down = True
        watched.now += OLDEST_SECONDS - 0.01
        assert await watched.source_of(key) is not None
        with pytest.raises(KeysUnreadableError):
            await watched.source_of("weft_unknown")
        watched.now += 0.01
        for _ in range(3):
            with pytest.raises(KeysUnreadableError):
                await watched.source_of(key)
        watched.is_down = False
        assert await watched.source_of(key) is not None

    asyncio.run(requests())
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]
    assert "secret" not in caplog.text


def test_a_state_that_does_not_answer_keeps_nobody_longer_than_two_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_ring, "PATIENCE_SECONDS", 0.05)
    answer = asyncio.Event()

    async def request() -> None:
        loop = asyncio.get_running_loop()

        def hang() -> dict[str, ApiKey]:
            asyncio.run_coroutine_threadsafe(answer.wait(), loop).result()
            return {}

        ring = StateKeys(hang)
        for _ in range(2):
            with pytest.raises(KeysUnreadableError):
                await ring.source_of("0" * 64)
        answer.set()
        monkeypatch.setattr(key_ring, "PATIENCE_SECONDS", 30.0)
        assert await ring.source_of("0" * 64) is None

    asyncio.run(request())
