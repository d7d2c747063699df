"""Runs of syncs: one at a time for a destination, each with its own outcome; what one of them meets delays no other destination."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pyarrow as pa
from filelock import FileLock, Timeout

from activation.errors import ActivationError
from activation.syncs.clock import Clock
from activation.syncs.engine import Report, ask, preview, run
from activation.syncs.fingerprints import Fingerprints
from activation.syncs.ledger import RunStart, RunTotals
from activation.syncs.pacing import Pacer
from activation.syncs.planning import Plan
from activation.syncs.policy import RetryPolicy
from activation.syncs.sending import Job
from orchestration.audience_catalogue import Audience, audiences
from orchestration.destinations_file import Sync, load_destinations, syncs_of
from orchestration.errors import DestinationError, SyncBusyError, WeftError
from orchestration.failpoints import failpoints
from orchestration.resources import Platform
from orchestration.sync_gate import WarehouseGate
from orchestration.sync_members import Gate, nobody, read_members
from orchestration.sync_tools import code_of, opened
from orchestration.transform import prepare_manifest


def configured(platform: Platform) -> list[Sync]:
    """Every sync of destinations.yml and of the audiences' own YAML. Raises DestinationError."""
    destinations = load_destinations(platform.settings)
    if not destinations:
        return []
    prepare_manifest(platform.settings)
    catalogue = audiences(platform.state)
    return [sync for destination in destinations for sync in syncs_of(destination, catalogue)]


def named(syncs: Sequence[Sync], name: str) -> list[Sync]:
    """The sync of a name, or all of a destination. Raises DestinationError where there is none."""
    found = [sync for sync in syncs if name in (sync.name, sync.destination.name)]
    if not found:
        known = ", ".join(sync.name for sync in syncs) or "none; see docs/syncs.md"
        raise DestinationError(f"There is no sync or destination '{name}'; there are {known}.")
    return found


def detached(platform: Platform, name: str) -> list[Sync]:
    """The sync that the ledger knows of an audience that its destination is no longer sent; empty where there is no such."""
    if name not in platform.state.syncs.names():
        return []
    destination, _, audience = name.partition(".")
    left = Audience(audience, "sql", "", "", {})
    return [Sync(left, each) for each in load_destinations(platform.settings) if each.name == destination]


@dataclass(frozen=True)
class Syncing:
    """How runs are made; everything but `platform` has its usual value outside of tests."""

    platform: Platform
    gate: Gate = field(default_factory=WarehouseGate)
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Clock = field(default_factory=Clock)

    def run_destination(self, syncs: Sequence[Sync], *, run_id: str | None = None) -> list[Report]:
        """Run the syncs of one destination, one after the other, within its budget. A sync that cannot be made fails for itself.

        Raises SyncBusyError where another process sends there.
        """
        if not syncs:
            return []
        destination = syncs[0].destination
        pacer = Pacer(destination.rate_per_second, self.clock)
        ends_at = self.clock.now() + destination.budget_seconds
        reports = []
        with self.alone(destination.name):
            for place, sync in enumerate(syncs):
                # the last of them gets something as well, whatever the others took
                budget = max(ends_at - self.clock.now(), destination.budget_seconds / len(syncs) / 4)
                reports.append(self._run(sync, pacer, budget, self._run_id(run_id, place)))
        return reports

    def run_all(
        self, syncs: Sequence[Sync], done: Callable[[list[Report]], None] = lambda reports: None
    ) -> list[Report]:
        """Run syncs of several destinations, each in a thread of its own: none waits for another. `done` is told of each at once."""
        by_destination: dict[str, list[Sync]] = {}
        for sync in syncs:
            by_destination.setdefault(sync.destination.name, []).append(sync)
        if not by_destination:
            return []
        _ = self.platform.state, self.platform.warehouse, self.platform.salt  # made once, before threads ask for them
        with ThreadPoolExecutor(len(by_destination)) as threads:
            running = [threads.submit(self._told, some, done) for some in by_destination.values()]
        return [report for each in running for report in each.result()]

    def dry_run(self, sync: Sync) -> Plan:
        """What a run would change. Writes and sends nothing. Raises what a run would, as WeftError or ActivationError."""
        members = read_members(self.platform.warehouse, self.platform.state, sync, self.gate)
        with self._job(sync, Pacer(1.0, self.clock), 0.0) as job:
            return preview(job, members.table)

    def ask(self, sync: Sync) -> dict[str, int] | None:
        """What the destination would say of a run, where it can be asked without anything being changed; None where it cannot."""
        members = read_members(self.platform.warehouse, self.platform.state, sync, self.gate)
        with self._job(sync, Pacer(sync.destination.rate_per_second, self.clock), 0.0) as job:
            return ask(job, members.table)

    def withdraw(self, sync: Sync) -> Report:
        """Have everything removed that the destination took of this audience, such as when it is to go there no more."""
        pacer = Pacer(sync.destination.rate_per_second, self.clock)
        with self.alone(sync.destination.name), self._job(sync, pacer, sync.destination.budget_seconds) as job:
            columns = dict.fromkeys(sync.destination.columns, pa.string())
            return run(job, nobody(columns), RunStart(str(uuid.uuid4()), "withdraw", None, None, 0))

    def retry(self, sync: str) -> int:
        """Let what was refused or put aside be tried again by the next run; how many records."""
        with self.alone(sync.partition(".")[0]):
            return self.platform.state.syncs.retry(sync, self._now())

    def replay(self, sync: str, run_id: str | None) -> int:
        """Let the next run send everything again (or what one run sent); how many records."""
        with self.alone(sync.partition(".")[0]):
            return self.platform.state.syncs.replay(sync, self._now(), run_id=run_id)

    @contextmanager
    def alone(self, destination: str) -> Iterator[None]:
        """One process at a time sends to a destination; the kernel, or PostgreSQL, frees the place of one that was killed."""
        folder = self.platform.settings.home / "syncs"
        folder.mkdir(parents=True, exist_ok=True)
        busy = SyncBusyError(f"Another process sends to {destination} right now; wait until it has come to its end.")
        try:
            with (
                FileLock(folder / f"{destination}.lock", timeout=0),
                self.platform.state.syncs.alone(destination) as is_alone,
            ):
                if not is_alone:
                    raise busy
                yield
        except Timeout:
            raise busy from None

    def is_busy(self, destination: str) -> bool:
        """Whether another process sends there right now."""
        try:
            with self.alone(destination):
                return False
        except SyncBusyError:
            return True

    def _told(self, syncs: Sequence[Sync], done: Callable[[list[Report]], None]) -> list[Report]:
        try:
            reports = self.run_destination(syncs)
        except SyncBusyError as error:
            reports = [Report(sync.name, "", "later", RunTotals(), 0, str(error)) for sync in syncs]
        done(reports)
        return reports

    def _run(self, sync: Sync, pacer: Pacer, budget: float, run_id: str) -> Report:
        state = self.platform.state
        try:
            members = read_members(self.platform.warehouse, state, sync, self.gate)
            start = RunStart(run_id, "run", members.build_id, members.revision, len(members.table))
            with self._job(sync, pacer, budget) as job:
                return run(job, members.table, start)
        except (WeftError, ActivationError) as error:
            if state.syncs.is_known(run_id):
                raise
            build_id, revision = self.platform.warehouse.served_build(), self._revision(sync)
            start = RunStart(run_id, "run", build_id, revision, 0)
            state.syncs.note_failed(sync.name, start, str(error), self._now())
            return Report(sync.name, run_id, "failed", RunTotals(), 0, str(error))

    def _run_id(self, run_id: str | None, place: int) -> str:
        """A step of Dagster that is tried again has the run's id a second time."""
        named = f"{run_id}.{place}"
        return named if run_id and not self.platform.state.syncs.is_known(named) else str(uuid.uuid4())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.clock.now(), UTC).replace(tzinfo=None)

    def _revision(self, sync: Sync) -> str | None:
        try:
            return self.gate.revision(self.platform.state, sync)
        except WeftError:
            return None

    @contextmanager
    def _job(self, sync: Sync, pacer: Pacer, budget: float) -> Iterator[Job]:
        platform, destination = self.platform, sync.destination
        with opened(platform.settings, destination, sync.audience.name, clock=self.clock, pacer=pacer) as adapter:
            yield Job(
                sync.name,
                platform.state.syncs.ledger(sync.name),
                adapter,
                Fingerprints(platform.salt, sync.name),
                code_of(destination),
                budget,
                self.policy,
                self.clock,
                failpoints("sync"),
            )
