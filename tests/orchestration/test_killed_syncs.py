"""10,000 changes to a receiver with 30 % faults, from senders that are killed 20 times: each effective once, the newest last."""

import os
import random
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import sqlalchemy as sa

from orchestration.state import State
from tests.orchestration.sync_sink import SYNC, FastTime, Sender, Sink, Wanted

POINTS = {"planned": 1, "begun": 1, "marked": 12, "answered": 12, "paused": 2, "settled": 12}
"""Where a sender dies, and at the latest on which pass."""
MOST_RUNS = 400


@dataclass
class Trial:
    """A sink, who is wanted there, and senders one after the other; `kills` counts those that died on the way."""

    folder: Path
    seed: int
    kind: str = "sound"
    kills: int = 0
    runs: int = 0
    sink: Sink = field(init=False)
    wanted: Wanted = field(init=False)

    def __post_init__(self) -> None:
        self.start = time.time()
        self.random = random.Random(self.seed)
        self.sink = Sink(FastTime(self.start), seed=self.seed)
        self.wanted = Wanted(self.folder)

    def deliver(self, url: str, *, kills: int) -> None:
        """Run senders until one says that nothing is left to do; `kills` of them die."""
        until = self.kills + kills
        for _ in range(MOST_RUNS):
            self.runs += 1
            at_point = self.kills < until and self.random.random() < 0.7
            point = self.random.choice(list(POINTS))
            crash_at = f"sync.{point}:{self.random.randint(1, POINTS[point])}" if at_point else None
            sender = Sender(self.folder, url, self.start, self.seed + self.runs, self.kind, crash_at)
            process = sender.begin()
            if self.kills < until and not at_point:
                dies_at = len(self.sink.calls) + self.random.randint(1, 25)
                self.sink.before_each = lambda number, at=dies_at, pid=process.pid: (  # type: ignore[misc]
                    os.kill(pid, signal.SIGKILL) if number == at else None
                )
            process.join(120)
            self.sink.before_each = lambda number: None
            assert process.exitcode in (0, 3, -signal.SIGKILL)
            self.kills += process.exitcode == -signal.SIGKILL
            if process.exitcode == 0:
                return
        pytest.fail(f"There was something left to send after {MOST_RUNS} runs.")

    def complaints(self, changes: int) -> list[str]:
        """What is not as it was promised."""
        found = []
        if len(self.sink.effects) != changes:
            found.append(f"{len(self.sink.effects)} keys were effective, not {changes}")
        found += [f"{key} was effective {count} times" for key, count in self.sink.effects.items() if count != 1]
        found += [f"{key} stood for several contents" for key, told in self.sink.contents.items() if len(told) != 1]
        there = {
            name: fields["email"]
            for name, (_, operation, fields) in self.sink.standing.items()
            if operation == "upsert"
        }
        taken = {name: value for name, value in self.wanted.values.items() if name not in self.sink.unwanted}
        found += [f"{name} does not stand as wanted" for name in there.keys() ^ taken.keys()]
        found += [f"{name} is not the newest" for name in there.keys() & taken.keys() if there[name] != taken[name]]
        return found + self._of_the_ledger()

    def _of_the_ledger(self) -> list[str]:
        found = []
        books = State(f"sqlite:///{self.folder / 'state.sqlite'}").syncs
        for each in books.runs(SYNC, limit=MOST_RUNS * 5):
            if each.status == "running" or each.planned != (
                each.accepted + each.refused + each.retried + each.quarantined + each.pending
            ):
                found.append(f"a run does not add up: {each}")
        refused = {problem["record_key"] for problem in books.problems(SYNC, limit=10_000)}
        if refused != self.sink.unwanted & self.wanted.values.keys():
            found.append(f"{len(refused)} are listed as refused")
        if books.standing(SYNC).by_status.keys() - {"accepted", "refused"}:
            found.append(f"something is left over: {books.standing(SYNC).by_status}")
        return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where senders keep their ledger."""
    yield tmp_path


def names(first: int, last: int) -> list[str]:
    """Customers by number."""
    return [f"c{number:05}" for number in range(first, last)]


@pytest.mark.parametrize("seed", [1, *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(2, 12))])
def test_ten_thousand_changes_are_each_effective_exactly_once(folder: Path, seed: int) -> None:
    trial = Trial(folder, seed)
    with trial.sink.serving() as url:
        trial.wanted.change(names(0, 4000), "first")
        trial.deliver(url, kills=8)
        trial.wanted.change(names(0, 2500), "second")
        trial.wanted.change(names(2500, 3500), None)
        trial.wanted.change(names(4000, 4500), "second")
        # never taken: their number comes on top of the 10,000
        trial.sink.unwanted = set(names(9000, 9040))
        trial.wanted.change(names(9000, 9040), "second")
        trial.deliver(url, kills=7)
        trial.wanted.change(names(2500, 3500), "first")  # back again, as they were
        trial.wanted.change(names(0, 1000), "third")
        trial.deliver(url, kills=5)
    assert trial.complaints(10_000) == []
    assert trial.kills == 20
    assert min(trial.sink.injected.values()) > 10
    assert trial.sink.called_while_told_to_wait == 0
    assert sum(trial.sink.injected.values()) - trial.sink.injected["none"] > 0.25 * len(trial.sink.calls)


def test_a_sender_that_takes_what_was_planned_for_delivered_is_found_out(folder: Path) -> None:
    trial = Trial(folder, seed=1, kind="saves at planning")
    with trial.sink.serving() as url:
        trial.wanted.change(names(0, 600), "first")
        trial.deliver(url, kills=2)
    assert any("does not stand as wanted" in complaint for complaint in trial.complaints(600))


def test_what_a_ledger_holds_says_nothing_about_a_person(folder: Path) -> None:
    trial = Trial(folder, seed=3)
    trial.sink.unwanted = set(names(0, 5))
    with trial.sink.serving() as url:
        trial.wanted.change(names(0, 100), "first")
        trial.deliver(url, kills=0)
    assert trial.complaints(95) == []
    engine = sa.create_engine(f"sqlite:///{folder / 'state.sqlite'}")
    with engine.connect() as connection:
        for table in ("sync_records", "sync_runs", "sync_attempts", "sync_pauses"):
            rows = connection.exec_driver_sql(f"select * from {table}").all()
            assert rows or table == "sync_pauses"
            assert "@" not in repr(rows), table
