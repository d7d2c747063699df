"""Runs of automations: what they noticed is told through the sync engine, in a ledger of its own, at the pace of the destination."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from activation.automations.definitions import Automation, AutomationError, load_automations
from activation.automations.telling import Content, Telling, content_of, occurrence_key, prepared
from activation.destinations.config import DestinationConfig
from activation.errors import ActivationError
from activation.syncs.engine import Report, run
from activation.syncs.fingerprints import Fingerprints
from activation.syncs.ledger import RunStart
from activation.syncs.pacing import Pacer
from activation.syncs.sending import Job
from orchestration.audience_catalogue import Audience, audiences
from orchestration.automation_records import OPEN, PERHAPS_TOLD, TOLD, WAITING, Occurrence, OvertakenError
from orchestration.automation_source import Source
from orchestration.automations import (
    COOLING,
    EXPIRED,
    NO_LONGER,
    WITHHELD,
    Judge,
    Noticed,
    no_longer,
    notice,
    withheld_among,
)
from orchestration.consent_purposes import PURPOSES
from orchestration.destinations_file import load_destinations
from orchestration.errors import WeftError
from orchestration.failpoints import OnStep, failpoints
from orchestration.gate import gate_revision, opened_gate
from orchestration.guards import held_version
from orchestration.resources import Platform
from orchestration.sync_ledger import SyncLedger
from orchestration.sync_tools import opened
from orchestration.syncing import Syncing
from orchestration.transform import prepare_manifest
from orchestration.warehouse import Connection

CODE = "automation"
"""What makes records of occurrences never changes them."""


@dataclass(frozen=True)
class Configured:
    """One automation with its audience and its destination."""

    automation: Automation
    audience: Audience
    destination: DestinationConfig

    @property
    def sync(self) -> str:
        """The name of its ledger."""
        return f"automation.{self.automation.name}"


@dataclass(frozen=True)
class Ran:
    """What came of a run. `problem`: why it went no further, in a sentence; `report`: the engine's."""

    automation: str
    noticed: Noticed = field(default_factory=Noticed)
    report: Report | None = None
    problem: str | None = None

    def sentence(self) -> str:
        """What came of it, for a person."""
        counts = self.noticed.counts()
        open_ = counts.pop("open", 0) + counts.pop("waiting", 0)
        others = "".join(f", {count:,} {reason}" for reason, count in counts.items())
        said = [f"{self.automation}: {open_:,} new{others}"]
        if self.report:
            totals = self.report.totals
            said.append(f"{totals.accepted:,} told, {totals.planned - totals.accepted:,} not yet or refused")
            said += [self.report.words] if self.report.words else []
        said += [self.problem] if self.problem else []
        return "; ".join(said).rstrip(".") + "."

    @property
    def is_failed(self) -> bool:
        """Whether a person has to do something."""
        return self.problem is not None or (self.report is not None and self.report.status == "failed")


def configured(platform: Platform) -> list[Configured]:
    """Every automation of automations.yml. Raises AutomationError with a sentence for each mistake, DestinationError."""
    path = platform.settings.automations_file
    if not path.exists():
        return []
    destinations = {each.name: each for each in load_destinations(platform.settings)}
    prepare_manifest(platform.settings)
    catalogue = {each.name: each for each in audiences(platform.state)}
    types = {name: each.type for name, each in destinations.items()}
    found = load_automations(path, audiences=catalogue, destinations=types)
    if unknown := [each for each in found if each.purpose not in (None, *PURPOSES)]:
        raise AutomationError(
            f"{path.name}: {unknown[0].name}: there is no purpose {unknown[0].purpose}; use {', '.join(PURPOSES)}."
        )
    return [Configured(each, catalogue[each.audience], destinations[each.destination]) for each in found]


def named(found: Sequence[Configured], name: str) -> Configured:
    """One of them. Raises AutomationError where there is none of that name."""
    chosen = [each for each in found if each.automation.name == name]
    if not chosen:
        known = ", ".join(each.automation.name for each in found) or "none; see docs/automations.md"
        raise AutomationError(f"automations.yml has no automation '{name}'; it has {known}.")
    return chosen[0]


@dataclass(frozen=True)
class Automating:
    """How runs are made; `syncing` brings the policy, the clock and the one place that a destination has for a sender."""

    platform: Platform
    syncing: Syncing
    on_step: OnStep = field(default_factory=lambda: failpoints("automations"))

    def run_destination(self, chosen: Sequence[Configured], *, run_id: str | None = None) -> list[Ran]:
        """Run the automations of one destination, one after the other. One that cannot be made fails for itself.

        Raises SyncBusyError where another process sends there.
        """
        ran = []
        active = [each for each in chosen if each.automation.enabled]
        if active:
            destination = active[0].destination
            pacer = Pacer(destination.rate_per_second, self.syncing.clock)
            with self.syncing.alone(destination.name):
                for each in active:
                    try:
                        ran.append(self._run(each, pacer, run_id or str(uuid.uuid4())))
                    except (WeftError, ActivationError) as error:
                        ran.append(Ran(each.automation.name, problem=str(error)))
        return ran

    def look(self, each: Configured) -> Noticed:
        """What a run would notice. Writes and tells nothing."""
        with self.platform.warehouse.open_served() as served, self._judge(served, each) as judge:
            return self._notice(each, Source(served), judge, is_dry=True)

    def _run(self, each: Configured, pacer: Pacer, run_id: str) -> Ran:
        state, name = self.platform.state, each.automation.name
        held = held_version(state, each.audience.name)
        if held is not None:
            return Ran(name, problem=f"{each.audience.name} is held back, nobody is told: {held.sentence}")
        try:
            with self.platform.warehouse.open_served() as served, self._judge(served, each) as judge:
                source = Source(served)
                noticed = self._notice(each, source, judge)
                if each.automation.coupon and each.automation.coupon.pool:
                    state.automations.give_waiting(name, each.automation.coupon.pool)
                self._settle_told(each)
                revision = gate_revision(state)
                contents = self._contents(each, source, judge)
        except OvertakenError:
            return Ran(name, problem="Another process runs this automation right now.")
        self.on_step("gated")
        report = self._tell(each, contents, pacer, f"{run_id}.{name}", revision)
        return Ran(name, noticed, report, noticed.problem)

    def _notice(self, each: Configured, source: Source, judge: Judge, *, is_dry: bool = False) -> Noticed:
        return notice(
            source, self.platform.state, each.automation,
            judge=judge, salt=self.platform.salt, now=self._now(), is_dry=is_dry, on_step=self.on_step,
        )  # fmt: skip

    @contextmanager
    def _judge(self, served: Connection, each: Configured) -> Iterator[Judge]:
        """The gate for this audience, its destination and the automation's own purpose, as of now."""
        own = (each.automation.purpose,) if each.automation.purpose else ()
        with opened_gate(served, self.platform.state) as opened:

            def judge(candidates: pa.Table) -> pa.Table:
                asked = dict.fromkeys((*each.destination.purposes, *own))
                return opened.judge(
                    each.audience, candidates, purposes=tuple(asked), destination=each.destination.name
                ).members

            yield judge

    def _contents(self, each: Configured, source: Source, judge: Judge) -> dict[str, Content]:
        """What may go out now, by key; what may not any more is cancelled for good."""
        automation, records, now = each.automation, self.platform.state.automations, self._now()
        waiting = records.of(automation.name, OPEN, WAITING)
        living = source.living(one.customer_id for one in waiting)
        person = {one.occurrence: living.get(one.customer_id, one.customer_id) for one in waiting}
        people = sorted(set(person.values()))
        withheld, gone = withheld_among(people, judge), no_longer(source, automation, people)
        rows = self._ledger(each).rows([occurrence_key(one.customer_id, one.occurrence) for one in waiting])
        too_old = now - timedelta(hours=automation.expires_after_hours)
        cancelled: dict[int, str] = {}
        last: dict[str, datetime] = {}
        going: list[Occurrence] = []
        for one in waiting:
            who = person[one.occurrence]
            before = last.get(who)
            is_cooling = before is not None and one.changed_at < before + timedelta(days=automation.cool_down_days)
            reason = (
                EXPIRED if one.planned_at < too_old
                else WITHHELD if who in withheld
                else NO_LONGER if who in gone
                else COOLING if is_cooling
                else None
            )  # fmt: skip
            if reason:
                row = rows.get(occurrence_key(one.customer_id, one.occurrence))
                is_unsure = row is not None and (row.is_unsure or row.status == "sent")
                cancelled[one.occurrence] = f"{reason}, {PERHAPS_TOLD}" if is_unsure else reason
                continue
            last[who] = one.changed_at
            if one.status == OPEN:
                going.append(one)
        values = source.profiles(automation.columns, sorted({person[one.occurrence] for one in going}))
        records.settle(automation.name, told=[], cancelled=cancelled, now=now)
        return {
            occurrence_key(one.customer_id, one.occurrence): content_of(
                automation,
                person[one.occurrence],
                one.occurrence,
                changed_at=one.changed_at,
                coupon=one.coupon,
                values=values[person[one.occurrence]],
            )
            for one in going
            if person[one.occurrence] in values
        }

    def _tell(self, each: Configured, contents: dict[str, Content], pacer: Pacer, run_id: str, revision: str) -> Report:
        state, automation = self.platform.state, each.automation
        ledger = self._ledger(each)
        told = {occurrence_key(one.customer_id, one.occurrence) for one in state.automations.of(automation.name, TOLD)}
        standing = [key for key in ledger.standing()["record_key"].to_pylist() if key in told]
        members = pa.table({"customer_id": pa.array([*contents, *standing], pa.string())})
        recheck = _Recheck(self, each, contents, revision)
        settings, clock = self.platform.settings, self.syncing.clock
        with opened(settings, each.destination, each.audience.name, clock=clock, pacer=pacer) as adapter:
            destination = Telling(prepared(adapter, automation), contents, recheck.withheld)
            job = Job(
                each.sync, ledger, destination, Fingerprints(self.platform.salt, each.sync), CODE,
                each.destination.budget_seconds, self.syncing.policy, clock, failpoints("sync"),
            )  # fmt: skip
            build_id = self.platform.warehouse.served_build()
            report = run(job, members, RunStart(run_id, "automation", build_id, revision, len(contents)))
        self._settle_told(each)
        self.on_step("told")
        return report

    def _settle_told(self, each: Configured) -> None:
        """What the ledger says was accepted went out, also where a run was killed before it wrote that down."""
        records, name = self.platform.state.automations, each.automation.name
        waiting = {occurrence_key(one.customer_id, one.occurrence): one.occurrence for one in records.of(name, OPEN)}
        rows = self._ledger(each).rows(waiting)
        told = [waiting[key] for key, row in rows.items() if row.status == "accepted"]
        records.settle(name, told=told, cancelled={}, now=self._now())

    def _ledger(self, each: Configured) -> SyncLedger:
        return self.platform.state.syncs.ledger(each.sync, each.destination.name)

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self.syncing.clock.now(), UTC).replace(tzinfo=None)


@dataclass
class _Recheck:
    """The gate once more before each request, where consent, lists or holdouts have changed since the last time."""

    automating: Automating
    each: Configured
    contents: dict[str, Content]
    revision: str
    found: dict[str, str] = field(default_factory=dict)

    def withheld(self) -> dict[str, str]:
        """Keys that may not go out any more, and why."""
        platform = self.automating.platform
        revision = gate_revision(platform.state)
        if revision != self.revision:
            people = sorted({content.customer_id for content in self.contents.values()})
            with platform.warehouse.open_served() as served, self.automating._judge(served, self.each) as judge:
                withheld = withheld_among(people, judge)
            self.found = {key: WITHHELD for key, content in self.contents.items() if content.customer_id in withheld}
            self.revision = revision
        return self.found
