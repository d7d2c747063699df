"""Random sequences of builds, ticks, runs, kills, restarts and losses: each version ends published or superseded, none is skipped,
none is published twice."""

import random
from pathlib import Path

import dagster as dg
import pytest

from activation import EmbeddedRedis
from orchestration.state import AudienceVersion
from tests.orchestration.audience_shop import Shop, shop_at

pytestmark = pytest.mark.usefixtures("manifest")
NAMES = ("high_value", "made_this_morning")
STEPS = 30


class Walk:
    """One random sequence; `published` counts, by version, how often a run brought it to Redis without need."""

    def __init__(self, shop: Shop, seed: int) -> None:
        self.shop, self.random = shop, random.Random(seed)
        self.published: dict[tuple[str, int], int] = {}
        self.may_come_again: set[tuple[str, int]] = set()

    def build(self) -> None:
        some = self.random.sample(NAMES, self.random.randrange(3))
        self.shop.build(**{name: {f"c{n}" for n in self.random.sample(range(9), 4)} for name in some})

    def tick(self) -> None:
        self.shop.tick()

    def killed_tick(self) -> None:
        """The daemon dies after the look, after some of the runs, or before the cursor is saved."""
        result = self.shop.look()
        launched = self.random.choice([0, 1, None])
        self.shop.keep(result, launched=launched, with_cursor=False)

    def run(self) -> None:
        if self.shop.going_on:
            self.do(self.random.choice(list(self.shop.going_on)))

    def killed_run(self) -> None:
        if self.shop.going_on:
            key, step = (
                self.random.choice(list(self.shop.going_on)),
                self.random.choice(["begin", "staged", "switched"]),
            )
            self.do(key, killed_at=step)

    def time(self) -> None:
        self.shop.later(seconds=self.random.choice([5, 61, 700]))

    def emptied(self) -> None:
        with self.shop.server.client() as client:
            client.flushall()
        self.may_come_again |= {(each.audience, each.version) for each in self.versions()}

    def do(self, key: str, *, killed_at: str | None = None) -> None:
        request = self.shop.runs[key]
        how = self.shop.run(key, killed_at=killed_at)
        if key.startswith("confirm:") or how == "superseded":
            return
        version = (request.tags["weft/audience"], int(request.tags["weft/version"]))
        if how == "killed":
            return
        self.published[version] = self.published.get(version, 0) + 1

    def versions(self) -> list[AudienceVersion]:
        """All that were ever registered."""
        state = self.shop.platform.state
        return [
            found
            for newest in state.newest_versions()
            for number in range(1, newest.version + 1)
            if (found := state.version(newest.audience, number))
        ]

    def finish(self) -> None:
        """What must hold once nothing is asked for any more."""
        self.shop.build()
        for _ in range(30):
            self.shop.tick()
            keys = list(self.shop.going_on)
            for key in keys:
                self.do(key)
            self.shop.later(seconds=61)
            if not keys and not self.shop.platform.state.versions_without("published", "superseded"):
                break
        state = self.shop.platform.state
        stands = {
            (each.audience, each.version): state.last_publication(each.audience, each.version)
            for each in self.versions()
        }
        assert {status[1] if status else None for status in stands.values()} <= {"published", "superseded"}
        newest = [state.last_publication(each.audience, each.version) for each in state.newest_versions()]
        assert {status[1] if status else None for status in newest} == {"published"}
        assert self.shop.published() == self.shop.members
        assert {self.shop.as_of(name) for name in self.shop.members} == {self.shop.built_at}
        twice = {version for version, count in self.published.items() if count > 1}
        assert twice <= self.may_come_again
        assert self.shop.tick() == []


def walk(home: Path, server: EmbeddedRedis, seed: int) -> None:
    import orchestration.audience_sensor  # noqa: F401

    with server.client() as client:
        client.flushall()
    with dg.DagsterInstance.ephemeral() as instance, shop_at(home, server, instance) as shop:
        shop.define(**{key: {} for key in NAMES})
        shop.customers = {f"c{n}": n for n in range(9)}
        walk = Walk(shop, seed)
        shop.build(**{key: {"c1"} for key in NAMES})
        moves = [
            walk.build,
            walk.tick,
            walk.tick,
            walk.run,
            walk.run,
            walk.run,
            walk.time,
            walk.killed_tick,
            walk.killed_run,
        ]
        for _ in range(STEPS):
            (walk.emptied if walk.random.random() < 0.02 else walk.random.choice(moves))()
        walk.finish()


@pytest.mark.parametrize("seed", [1, 2])
def test_every_version_is_published_or_superseded_once(tmp_path: Path, server: EmbeddedRedis, seed: int) -> None:
    walk(tmp_path / "home", server, seed)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 150))
def test_every_version_is_published_or_superseded_once_in_many_sequences(
    tmp_path: Path, server: EmbeddedRedis, seed: int
) -> None:
    walk(tmp_path / "home", server, seed)


def test_the_check_notices_a_sensor_that_counts_on_its_cursor_alone(
    tmp_path: Path, server: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    def by_cursor(state: object, *, after: int, **_more: object) -> list[tuple[AudienceVersion, int]]:
        pending = state.versions_without("published", "superseded")  # type: ignore[attr-defined]
        return [(version, 1) for version, *_ in pending if version.seq > after]

    import orchestration.audience_sensor  # noqa: F401

    monkeypatch.setattr("orchestration.audience_sensor.pending_versions", by_cursor)
    with pytest.raises(AssertionError):
        for seed in range(1, 6):
            walk(tmp_path / str(seed), server, seed)
