"""`weft build` killed anywhere: readers see the whole build before, and the next build is whole (reliability.md row 27)."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import pytest

from ingestion.mappings import load_mapping
from orchestration.collecting import land_file
from orchestration.duckdb_warehouse import DuckDBConnection, DuckDBWarehouse
from orchestration.state import utc_now
from orchestration.transform import CUSTOMERS, EVIDENCE
from orchestration.warehouse import Connection, first_row, scalar

pytestmark = pytest.mark.slow

WEFT = Path(sys.executable).with_name("weft")
PEOPLE = 40

WHOLE = """
select
    (select coalesce(sum(event_count), 0) from customer_360.customers)
        = (select count(*) from customer_360.events where customer_id is not null)
    and (select coalesce(sum(net_revenue), 0) from customer_360.customers)
        = (select coalesce(sum(net_amount), 0) from customer_360.orders)
    and (select count(*) from customer_360.customers) = (select count(*) from audiences.profiles)
    and (select coalesce(sum(net_revenue), 0) from customer_360.customers)
        = (select coalesce(sum(net_revenue), 0) from audiences.profiles)
"""
"""True where identity, the 360 and the audiences are of one build: each side comes from another step of a pass."""


def test_a_build_killed_anywhere_is_never_seen_and_the_next_one_is_whole(tmp_path: Path) -> None:
    _kill_builds(tmp_path, kills=1)


@pytest.mark.nightly
def test_a_build_killed_thirty_times_is_never_seen_and_the_next_one_is_whole(tmp_path: Path) -> None:
    _kill_builds(tmp_path, kills=30)


def _kill_builds(tmp_path: Path, *, kills: int) -> None:
    home, warehouse = _installation(tmp_path)
    expected = _land(warehouse, tmp_path, first=0, orders=1)
    started = time.monotonic()
    _weft(home, "build", "--as-of", "2026-03-01")
    duration = time.monotonic() - started
    served = warehouse.served_build()
    expected += _land(warehouse, tmp_path, first=1, orders=3)

    dice = random.Random(kills)
    with _polling(warehouse) as reads:
        for kill in range(kills):
            # spread over the whole build, its first half (Python starting up) thinned out
            moment = duration * (0.3 + 0.7 * (kill + dice.random()) / kills)
            _weft_killed_after(home, moment, "build", "--as-of", "2026-03-02")
        # a kill between the last step and the next look leaves a whole build that nobody has seen yet
        reads.wait_for_a_fresh_one()
        assert warehouse.served_build() == served or reads.of_other_builds(served)
        _weft(home, "build", "--as-of", "2026-03-02")
    assert reads.torn == 0
    assert reads.count > 10
    with warehouse.open_served() as newest:
        assert scalar(newest, WHOLE)
        revenue = first_row(newest, "select sum(net_revenue), count(*) from customer_360.customers")
    assert revenue == (expected, PEOPLE)


@pytest.mark.nightly
def test_the_same_look_finds_half_a_build_that_was_served(tmp_path: Path) -> None:
    home, warehouse = _installation(tmp_path)
    _land(warehouse, tmp_path, first=0, orders=1)
    _weft(home, "build", "--as-of", "2026-03-01")
    _land(warehouse, tmp_path, first=1, orders=3)
    _weft(home, "build", "--as-of", "2026-03-02", "--select", EVIDENCE, "--select", "orders")
    # what a platform would do that serves the file as it lies there, in place of whole builds
    with warehouse.writer() as half_built:
        assert not scalar(half_built, WHOLE)
    _weft(home, "build", "--as-of", "2026-03-02", "--select", EVIDENCE, "--select", CUSTOMERS)
    with warehouse.writer() as without_audiences:
        assert not scalar(without_audiences, WHOLE)


@dataclass
class _Reads:
    """What the readers saw: looks, torn ones, and the builds."""

    count: int = 0
    torn: int = 0
    builds: set[str] = field(default_factory=set)
    looked: threading.Event = field(default_factory=threading.Event)

    def wait_for_a_fresh_one(self) -> None:
        """Until a look has ended that began after this call: the first to end may have begun before."""
        for _ in range(2):
            self.looked.clear()
            assert self.looked.wait(60)

    def of_other_builds(self, build: str | None) -> bool:
        """A kill after the last step: that build was whole and is served."""
        return bool(self.builds - {build})


@contextmanager
def _polling(warehouse: DuckDBWarehouse) -> Iterator[_Reads]:
    reads, done = _Reads(), threading.Event()

    def look() -> None:
        while not done.wait(
            0.25
        ):  # half a build stands for seconds; looking all the time would take the build its core
            with warehouse.open_served() as served:
                reads.count += 1
                reads.torn += not scalar(served, WHOLE)
                reads.builds.add(_path_of(served))
            reads.looked.set()

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield reads
    finally:
        done.set()
        reader.join()


def _path_of(served: Connection) -> str:
    assert isinstance(served, DuckDBConnection)
    return str(scalar(served, "select database_name from duckdb_databases() where not internal"))


def _installation(tmp_path: Path) -> tuple[Path, DuckDBWarehouse]:
    home = tmp_path / "weft"
    return home, DuckDBWarehouse(home / "warehouse.duckdb", home / "served")


def _land(warehouse: DuckDBWarehouse, folder: Path, *, first: int, orders: int) -> Decimal:
    """Land orders of every person (and, the second time, the cookie of a visit before); returns what they bring."""
    events, total = [], Decimal(0)
    for person in range(PEOPLE):
        if first:
            events.append(_event(f"i{person}", "identify", person, day=2, anonymousId=f"cookie-{person}"))
        for number in range(first, first + orders):
            amount = 10 + person + number
            total += amount
            sold = {"order_id": f"{person}-{number}", "currency": "EUR", "revenue": amount}
            events.append(
                _event(f"o{person}-{number}", "track", person, day=1 + number, event="Order Completed", properties=sold)
            )
    file = folder / f"orders-{first}.ndjson"
    file.write_text("\n".join(json.dumps(event) for event in events), encoding="utf-8")
    with warehouse.writer() as connection:
        landed = land_file(connection, path=file, mapping=load_mapping("segment"), landed_at=utc_now())
    assert landed.accepted == len(events)
    return total


def _event(message_id: str, call: str, person: int, *, day: int, **fields: object) -> dict[str, object]:
    when = f"2026-02-{day:02}T10:00:00Z"
    return {"messageId": message_id, "type": call, "userId": f"user-{person}", "timestamp": when, **fields}


def _environment(home: Path) -> dict[str, str]:
    return {**os.environ, "WEFT_HOME": str(home), "WEFT_INSTALLATION_SALT": "tests"}


def _weft(home: Path, *arguments: str) -> None:
    result = subprocess.run([WEFT, *arguments], env=_environment(home), capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]


def _weft_killed_after(home: Path, seconds: float, *arguments: str) -> None:
    """Start a build and kill it and its dbt at once after so many seconds, unless it was quicker."""
    process = subprocess.Popen(
        [WEFT, *arguments],
        env=_environment(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
