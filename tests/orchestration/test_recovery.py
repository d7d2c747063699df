"""kill -9 of the daemon, of its code server and of the run worker in the middle of a publication: readers have the new version
within two minutes, and nobody did anything. Real processes; some minutes, so nightly. What each part of the recovery rests on is
proved by itself in the suite: test_audience_sensor (a killed run, a killed tick), test_up (a killed child is started again)."""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import dagster as dg
import pytest
import redis

from activation import EmbeddedRedis, NotPublishedError, Reader
from orchestration.children import Children, alone_on
from orchestration.resources import Platform
from orchestration.runs import PROCESS_TAG, _process
from orchestration.settings import PROJECT_ROOT, export_for_tools, load_settings
from orchestration.state import utc_now
from tests.orchestration.audience_shop import write_build
from tests.orchestration.services import until

AUDIENCE = "high_value"
MEMBERS, CUSTOMERS = 300_000, 100
RECOVERED_WITHIN = 120.0
NEVER = "0 0 29 2 *"


@pytest.fixture
def platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, manifest: object) -> Platform:
    settings = {"HOME": str(tmp_path / "weft"), "HOURLY_CRON": NEVER, "DAILY_CRON": NEVER, "WEEKLY_CRON": NEVER}
    for name, value in settings.items():
        monkeypatch.setenv(f"WEFT_{name}", value)
    platform = Platform(load_settings())
    export_for_tools(platform.settings)
    return platform


def children_of(parent: int) -> list[int]:
    """Processes that this one started, and those that they started."""
    try:
        direct = [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    except FileNotFoundError:
        return []
    return [*direct, *(each for child in direct for each in children_of(child))]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except FileNotFoundError:
        return ""


class Services:
    """The daemon as `weft up` runs it: it starts its code server, and that the run workers."""

    def __init__(self, platform: Platform, children: Children) -> None:
        self.platform, self.children = platform, children
        daemon = Path(sys.executable).with_name("dagster-daemon")
        children.start("daemon", [daemon, "run", "-w", PROJECT_ROOT / "workspace.yaml"], wave=1)

    @property
    def daemon(self) -> int:
        """Its process at present."""
        return self.children._children["daemon"].process.pid

    def workers(self) -> list[int]:
        """Processes of the audience's publications that go on."""
        with dg.DagsterInstance.from_config(str(self.platform.settings.dagster_home)) as instance:
            mine = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED], tags={"weft/audience": AUDIENCE})
            started = instance.get_runs(mine)
            return [process for run in started if (process := _process(instance, run)) and PROCESS_TAG not in run.tags]

    def kill(self, victim: str, workers: list[int]) -> None:
        """SIGKILL to the daemon, to its code servers or to these run workers."""
        found = {
            "daemon": lambda: [self.daemon],
            "code server": lambda: [pid for pid in children_of(self.daemon) if "api grpc" in command_of(pid)],
            "run worker": lambda: workers,
        }[victim]()
        assert found, f"there is no {victim}"
        for pid in found:
            os.kill(pid, signal.SIGKILL)


@contextmanager
def running(platform: Platform) -> Iterator[Services]:
    """The services, looked after as `weft up` does."""
    ended = threading.Event()
    with (
        alone_on(platform.settings.home, print) as lock,
        Children(platform.settings.home / "logs", lock, print) as children,
    ):
        services = Services(platform, children)

        def look_after() -> None:
            while not ended.wait(0.2):
                children.look()

        thread = threading.Thread(target=look_after)
        thread.start()
        try:
            yield services
        finally:
            ended.set()
            thread.join()


def _has_version(reader: Reader, version: int) -> bool:
    return version_of(reader) == version


def version_of(reader: Reader) -> int:
    try:
        return reader.audience(AUDIENCE).version
    except NotPublishedError:
        return 0


@pytest.mark.nightly
@pytest.mark.timeout(3000)
def test_killed_services_publish_within_two_minutes(platform: Platform) -> None:
    sweep = [("run worker",), ("code server",), ("daemon",), ("run worker", "code server", "daemon")]
    customers = {f"c{n}": n for n in range(CUSTOMERS)}
    took: dict[tuple[str, ...], float] = {}
    with EmbeddedRedis(platform.settings.home / "redis") as server, server.client() as client:
        reader = Reader(client)

        def build(version: int) -> set[str]:
            members = {f"{version}:{n}" for n in range(MEMBERS)}
            write_build(platform, f"build-{version}", utc_now(), {AUDIENCE: members}, customers, others=2 * MEMBERS)
            return members

        build(1)
        with running(platform) as services:
            until(partial(_has_version, reader, 1), 300)
            for version, victims in enumerate(sweep, start=2):
                members = build(version)
                workers: list[int] = until(services.workers, 300)
                until(_is_staged(client), 300)
                for victim in victims:
                    services.kill(victim, workers)
                killed_at = time.monotonic()
                assert "run worker" not in victims or version_of(reader) < version, "it was not in the middle"
                until(partial(_has_version, reader, version), 600)
                took[victims] = time.monotonic() - killed_at
                print(f"{' and '.join(victims)} killed: published after {took[victims]:.0f} s", flush=True)
                assert set(reader.members(AUDIENCE)) == members
                until(lambda: not platform.state.versions_without("published", "superseded"), 120)
    assert {victims: seconds for victims, seconds in took.items() if seconds > RECOVERED_WITHIN} == {}


def _is_staged(client: redis.Redis) -> Callable[[], bool]:
    """Whether a publication stands in the middle of its work: something is staged, and nothing switched yet."""
    return lambda: bool(client.exists(f"weft:audience:{AUDIENCE}:staging"))
