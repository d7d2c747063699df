"""`weft up` as people start it, and what becomes of its services when they end, when it is told to stop, and when it is killed."""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from activation.embedded_redis import EmbeddedRedis
from activation.redis_server import free_port
from ingestion.demo_shop import catalogue_file
from ingestion.event_log import BEGINNING
from ingestion.redis_log import RedisEventLog
from orchestration import guardian
from orchestration.children import Children, alone_on
from orchestration.ports import refuse_taken_port
from tests.orchestration.services import Service, until, weft

EVENT = {"type": "track", "event": "Seen", "userId": "u-1", "timestamp": "2026-03-01T10:00:00Z"}


def silent(_sentence: str) -> None:
    """Nobody listens."""


def normalised_events(home: Path) -> set[str]:
    """Message ids in events.normalized of the embedded log."""
    log = RedisEventLog(f"redis://127.0.0.1:{EmbeddedRedis(home / 'log').running_port()}/0")
    entries = log.read_normalized(BEGINNING, limit=1_000)
    log.close()
    return {json.loads(line)["message_id"] for entry in entries for line in entry.normalized.events.splitlines()}


def child_of(parent: int, command: str) -> int:
    """The child of a process whose command line ends so."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text(encoding="ascii").split()
    lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode() for pid in children}
    [found] = [pid for pid, line in lines.items() if line.strip().endswith(command)]
    return found


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def is_accepted(address: str, key: str, message_id: str) -> bool:
    try:
        return httpx.post(f"{address}/v1/track", json=EVENT | {"messageId": message_id}, auth=(key, "")).is_success
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_up_takes_events_through_the_death_of_its_services_and_leaves_nothing_when_it_is_killed(tmp_path: Path) -> None:
    home = tmp_path / "weft"
    ports = {name: free_port() for name in ("COLLECTOR", "API", "SHOP", "DAGSTER")}
    settings = {f"WEFT_{name}_PORT": str(port) for name, port in ports.items()}
    with Service(home, "up", **settings) as up:
        collector, shop = up.line("Collector"), up.line("Shop")
        health = f"http://127.0.0.1:{ports['API']}/health"
        until(lambda: answers(health))
        assert [int(address.rpartition(":")[2]) for address in (collector, shop)] == [ports["COLLECTOR"], ports["SHOP"]]
        key = (home / "shop_key").read_text(encoding="ascii").strip()
        page = httpx.get(shop).text
        assert f"{collector}/weft.js" in page
        assert key in page
        assert httpx.get(f"{collector}/weft.js").status_code == 200
        assert (home / "inbox" / "products" / "demo_shop.csv").read_bytes() == catalogue_file().read_bytes()

        assert is_accepted(collector, key, "first")
        until(lambda: normalised_events(home) == {"first"})
        dying = [child_of(up.process.pid, f"serve {name}") for name in ("collector", "normaliser", "api")]
        for pid in (*dying, EmbeddedRedis(home / "log").pid):
            os.kill(pid, signal.SIGKILL)
        until(lambda: is_accepted(collector, key, "second"))
        until(lambda: normalised_events(home) == {"first", "second"})
        until(lambda: answers(health))

        status, said = weft(home, "up", **settings)
        assert (status, "runs on this WEFT_HOME already" in said) == (2, True)

        up.process.kill()
        up.process.wait()
        with alone_on(home, silent):  # waits for the guardian, as the next `weft up` does
            for port in ports.values():
                refuse_taken_port("127.0.0.1", port, "")
            assert EmbeddedRedis(home / "log").running_port() is None
            assert EmbeddedRedis(home / "redis").running_port() is None
    assert "Traceback" not in up.said


LISTENS = """
import pathlib, signal, sys
name, file, *kind = sys.argv[1:]
def end(*_):
    with open(file, "a") as out: out.write(name + "\\n")
    if not kind: sys.exit()
signal.signal(signal.SIGINT, end)
pathlib.Path(file + "." + name).touch()
while True: signal.pause()
"""


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., None]:
    """Starts a child that writes its name to `ended` when it is asked to end; "deaf" ones go on living."""

    def start(children: Children, name: str, wave: int, *kind: str) -> None:
        children.start(name, [sys.executable, "-c", LISTENS, name, str(tmp_path / "ended"), *kind], wave=wave)
        until((tmp_path / f"ended.{name}").exists)

    return start


def test_services_stop_in_waves_and_deaf_ones_are_killed(
    tmp_path: Path, start: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guardian, "STOP_SECONDS", 1.0)
    begun = time.monotonic()
    with alone_on(tmp_path, silent) as lock, Children(tmp_path / "logs", lock, silent) as children:
        start(children, "store", 3)
        start(children, "worker", 2, "deaf")
        start(children, "collector", 1)
        processes = [child.process for child in children._children.values()]
    assert (tmp_path / "ended").read_text().split() == ["collector", "worker", "store"]
    assert all(process.poll() is not None for process in processes)
    assert time.monotonic() - begun < 20


def test_a_service_that_keeps_ending_is_started_again_after_pauses_and_holds_up_no_other(
    tmp_path: Path, start: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    with alone_on(tmp_path, silent) as lock, Children(tmp_path / "logs", lock, said.append) as children:
        start(children, "steady", 1)
        steady = children._children["steady"].process
        children.start("broken", ["false"], wave=1)

        def gives_up() -> bool:
            children.look()
            return bool(said) and "again and again" in said[-1]

        until(gives_up)
        assert [sentence.split(";")[1] for sentence in said[:5]] == [" it is started again."] * 5
        assert "it is started again in 2 s" in said[5]
        os.kill(steady.pid, signal.SIGKILL)
        steady.wait()
        children.look()
        assert children._children["steady"].process.pid != steady.pid
