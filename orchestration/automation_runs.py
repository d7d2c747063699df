"""Runs of automations: what they noticed is told through the sync engine, in a ledger of its own, at the pace of the destination."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pyarrow as pa

from activation.automations.telling import Content, Telling, content_of, occurrence_key, prepared
from activation.errors import ActivationError
from activation.syncs.engine import Report, run
from activation.syncs.fingerprints import Fingerprints
from activation.syncs.ledger import RunStart
from activation.syncs.pacing import Pacer
from activation.syncs.sending import Job, RunStatus
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
from orchestration.automations_file import Configured
from orchestration.destinations_file import Sync
from orchestration.errors import WeftError
from orchestration.failpoints import OnStep, failpoints
from orchestration.gate import opened_gate
from orchestration.guards import held_version
from orchestration.resources import Platform
from orchestration.sync_gate import WarehouseGate
from orchestration.sync_ledger import SyncLedger
from orchestration.sync_tools import opened
from orchestration.syncing import Syncing
from orchestration.warehouse import Connection

CODE = "automation"
"""What makes records of occurrences never changes them."""


@dataclass(frozen=True)
class Ran:
    """What came of a run: what was noticed, and the engine's report (status `later` while a guard holds the audience)."""

    automation: str
    noticed: Noticed
    report: Report

    def sentence(self) -> str:
        """What came of it, for a person."""
        counts = self.noticed.counts()
        open_ = counts.pop("open", 0) + counts.pop("waiting", 0)
        others = "".join(f", {count:,} {reason}" for reason, count in counts.items())
        said = [f"{self.automation}: {open_:,} new{others}"]
        totals = self.report.totals
        said.append(f"{totals.accepted:,} told, {totals.planned - totals.accepted:,} not yet or refused")
        said += [words for words in (self.report.words, self.noticed.problem) if words]
        return "; ".join(said).rstrip(".") + "."

    @property
    def is_failed(self) -> bool:
        """Whether a person has to do something."""
        return self.report.status == "failed" or self.noticed.problem is not None


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
                    its_id = f"{run_id or uuid.uuid4()}.{each.automation.name}"
                    try:
                        ran.append(self._run(each, pacer, its_id))
                    except (WeftError, ActivationError) as error:
                        if self.platform.state.syncs.is_known(its_id):
                            raise
                        ran.append(self._without_sending(each, its_id, "failed", str(error)))
        return ran

    def look(self, each: Configured) -> Noticed:
        """What a run would notice. Writes and tells nothing."""
        with self.platform.warehouse.open_served() as served, self._judge(served, each) as judge:
            return self._notice(each, Source(served), judge, is_dry=True)

    def _run(self, each: Configured, pacer: Pacer, run_id: str) -> Ran:
        state, name = self.platform.state, each.automation.name
        held = held_version(state, each.audience.name)
        if held is not None:
            words = f"{each.audience.name} is held back, nobody is told: {held.sentence}"
            return self._without_sending(each, run_id, "later", words)
        try:
            with self.platform.warehouse.open_served() as served, self._judge(served, each) as judge:
                source = Source(served)
                if state.automations.cursor(name) is None and not self._has_begun(each, source):
                    words = f"{each.audience.name} is in no whole build yet; {name} begins with the first that has it."
                    return self._without_sending(each, run_id, "later", words)
                noticed = self._notice(each, source, judge)
                if each.automation.coupon and each.automation.coupon.pool:
                    state.automations.give_waiting(name, each.automation.coupon.pool)
                self._settle_told(each)
                revision = self._revision(each)
                contents = self._contents(each, source, judge)
        except OvertakenError:
            return self._without_sending(each, run_id, "later", "Another process has read on meanwhile.")
        self.on_step("gated")
        return Ran(name, noticed, self._tell(each, contents, pacer, run_id, revision))

    def _without_sending(self, each: Configured, run_id: str, status: RunStatus, words: str) -> Ran:
        """A run that could not begin is noted like any other: so it is not asked for again before something has changed."""
        ledger = self._ledger(each)
        ledger.begin(
            RunStart(run_id, "automation", self.platform.warehouse.served_build(), self._revision(each), 0),
            [],
            self._now(),
        )
        totals = ledger.end(run_id, status, words, self._now())
        return Ran(each.automation.name, Noticed(), Report(each.name, run_id, status, totals, 0, words))

    def _has_begun(self, each: Configured, source: Source) -> bool:
        """Else everybody who is in the audience's first build would seem to enter it."""
        history = self.platform.state.rules.history(each.audience.name) if each.audience.kind == "rule" else []
        return source.has(each.audience, min((rule.saved_at for rule in history), default=None))

    def _revision(self, each: Configured) -> str:
        """What the sensor compares: as of a sync."""
        return WarehouseGate().revision(self.platform.state, Sync(each.audience, each.destination))

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
                each.name, ledger, destination, Fingerprints(self.platform.salt, each.name), CODE,
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
        return self.platform.state.syncs.ledger(each.name, each.destination.name)

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
        revision = self.automating._revision(self.each)
        if revision != self.revision:
            people = sorted({content.customer_id for content in self.contents.values()})
            with platform.warehouse.open_served() as served, self.automating._judge(served, self.each) as judge:
                withheld = withheld_among(people, judge)
            self.found = {key: WITHHELD for key, content in self.contents.items() if content.customer_id in withheld}
            self.revision = revision
        return self.found
