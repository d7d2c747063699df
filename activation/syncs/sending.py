"""The requests of one run: in what company a record goes, and what is written down before and after each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Literal

import pyarrow as pa

from activation.errors import ActivationError
from activation.syncs.clock import Clock
from activation.syncs.contract import (
    Change,
    Destination,
    DestinationMisconfiguredError,
    DestinationUnavailableError,
    Export,
    Operation,
    Outcome,
    Record,
)
from activation.syncs.fingerprints import Fingerprints
from activation.syncs.ledger import Ledger, Pause, Row
from activation.syncs.planning import Payloads
from activation.syncs.policy import RetryPolicy
from activation.syncs.redaction import redacted
from activation.syncs.verdicts import Judge

ROWS_AT_ONCE = 5_000
OPERATIONS: tuple[Operation, ...] = ("remove", "upsert")
"""In this order: who left, or withdrew a consent, waits for nobody."""

RunStatus = Literal["done", "later", "failed"]


@dataclass(frozen=True)
class Job:
    """What a run works with. `code` changes with configuration and adapter, so that all records are made anew then."""

    sync: str
    ledger: Ledger
    destination: Destination | Export
    fingerprints: Fingerprints
    code: str
    budget_seconds: float
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    clock: Clock = field(default_factory=Clock)
    on_step: Callable[[str], None] = lambda step: None

    def instant(self) -> datetime:
        """Now, naive UTC."""
        return datetime.fromtimestamp(self.clock.now(), UTC).replace(tzinfo=None)


class Sending:
    """Sends what the ledger says is due. `words`: what the destination said of what it did not accept, and how often."""

    def __init__(self, job: Job, members: pa.Table, run_id: str) -> None:
        self._job, self._members, self._run_id = job, members, run_id
        self._ends_at = job.clock.now() + job.budget_seconds
        self._payloads = Payloads(members, job.destination, job.fingerprints)
        self._unavailable_in_a_row = 0
        self._has_accepted = False
        self._made_otherwise = 0
        self.words: dict[str, int] = {}

    def all_that_is_due(self) -> tuple[RunStatus, str | None]:
        """Send until nothing is due, the budget is used up, or the destination wants to be left alone.

        Raises DestinationMisconfiguredError.
        """
        destination = self._job.destination
        while True:
            stop = self._rest()
            if stop is None:
                stop = self._replace(destination) if isinstance(destination, Export) else self._send_due(destination)
            if self._has_accepted and self._job.ledger.pause().in_a_row and stop is None:
                self._job.ledger.set_pause(Pause())
            if stop is not None:
                return "later", stop
            next_try = self._job.ledger.next_try()
            if next_try is None:
                return "done", None
            if self._made_otherwise:
                return "failed", (
                    f"{self._made_otherwise} records came out otherwise when they were made a second time, and were not sent."
                )
            if not self._waits_until(next_try):
                return "later", f"The next try is due at {next_try:%Y-%m-%d %H:%M:%S} UTC."

    def _rest(self) -> str | None:
        """Keep the destination's rest; a sentence where that takes longer than this run may."""
        until = self._job.ledger.pause().not_before
        if until is None or self._waits_until(until):
            return None
        return f"The destination gets no request before {until:%Y-%m-%d %H:%M:%S} UTC."

    def _waits_until(self, instant: datetime) -> bool:
        now = self._job.clock.now()
        wait = instant.replace(tzinfo=UTC).timestamp() - now
        if wait > self._job.policy.patience_seconds or now + wait >= self._ends_at:
            return False
        if wait > 0:
            self._job.clock.sleep(wait)
        return True

    def _send_due(self, destination: Destination) -> str | None:
        """One pass over what is due; a sentence where it ended early."""
        for operation in OPERATIONS:
            keys = iter(self._job.ledger.open_keys(self._job.instant(), operation))
            while some := list(islice(keys, ROWS_AT_ONCE)):
                stop = self._send_rows(destination, list(self._job.ledger.rows(some).values()))
                if stop is not None:
                    return stop
        return None

    def _send_rows(self, destination: Destination, rows: Sequence[Row]) -> str | None:
        payloads = self._payloads.of(rows)
        sendable = [row for row in rows if row.operation == "remove" or row.key in payloads]
        self._made_otherwise += len(rows) - len(sendable)
        for batch in in_batches(sendable, destination.batch_size):
            if self._job.clock.now() >= self._ends_at:
                return "The time of this run is used up."
            stop = self._send(destination, batch, [self._change(row, payloads.get(row.key)) for row in batch])
            if stop is not None:
                return stop
        return None

    def _change(self, row: Row, record: Record | None) -> Change:
        key = self._job.fingerprints.idempotency_key(row.key, row.sequence)
        payload = record.payload if record else {}
        return Change(row.key, row.customer_id, row.operation, payload, row.remote_id, key, row.sequence)

    def _send(self, destination: Destination, batch: Sequence[Row], changes: Sequence[Change]) -> str | None:
        """One request. `sent` is committed before it; whatever comes of it is committed after it."""
        job = self._job
        job.ledger.mark_sent(self._run_id, [row.key for row in batch], job.instant())
        job.on_step("marked")
        began = job.clock.now()
        try:
            outcomes = list(destination.send(changes))
        except DestinationUnavailableError as error:
            job.on_step("answered")
            return self._unavailable(batch, changes, error, began)
        except DestinationMisconfiguredError as error:
            words = redacted(str(error), {})
            nobody = Judge(job.policy, is_at_fault=False, is_alone=False)
            failed = Outcome("retry", words, may_be_applied=True)
            self._settle(batch, [failed] * len(batch), changes, nobody, began, request=words)
            raise
        job.on_step("answered")
        assert len(outcomes) == len(changes), "an adapter gives one outcome for every change"
        self._unavailable_in_a_row = 0
        self._has_accepted = self._has_accepted or any(outcome.status == "accepted" for outcome in outcomes)
        each = Judge(job.policy, is_at_fault=True, is_alone=True)
        self._settle(batch, outcomes, changes, each, began, request=None)
        return None

    def _unavailable(
        self, batch: Sequence[Row], changes: Sequence[Change], error: DestinationUnavailableError, began: float
    ) -> str | None:
        """The whole request failed: its rows wait, and where that happens again and again so does everything else."""
        job = self._job
        self._unavailable_in_a_row += 1
        words = redacted(str(error), {})
        # a destination that takes nothing from anybody says nothing about these rows
        is_at_fault = self._has_accepted and error.may_be_applied
        judge = Judge(job.policy, is_at_fault=is_at_fault, is_alone=len(batch) == 1)
        outcome = Outcome("retry", words, may_be_applied=error.may_be_applied)
        is_over = self._unavailable_in_a_row >= job.policy.unavailable_in_a_row
        if error.retry_after is not None or is_over:
            # before the rows are settled: a process that dies in between must not leave the next one without it
            self._pause(error.retry_after or 0.0, words, is_over=is_over)
            job.on_step("paused")
        self._settle(batch, [outcome] * len(batch), changes, judge, began, request=words)
        if is_over:
            return f"Not available {self._unavailable_in_a_row} times in a row, at last: {words}"
        return self._rest() if error.retry_after is not None else None

    def _pause(self, seconds: float, words: str | None, *, is_over: bool) -> None:
        in_a_row = 0 if self._has_accepted else self._job.ledger.pause().in_a_row
        if is_over:
            in_a_row += 1
            seconds = max(seconds, self._job.policy.wait(self._job.policy.unavailable_in_a_row + in_a_row))
        until = self._job.instant() + timedelta(seconds=min(seconds, self._job.policy.longest_rest_seconds))
        self._job.ledger.set_pause(Pause(until, in_a_row, words))

    def _settle(
        self,
        batch: Sequence[Row],
        outcomes: Sequence[Outcome],
        changes: Sequence[Change],
        judge: Judge,
        began: float,
        *,
        request: str | None,
    ) -> None:
        now = self._job.instant()
        verdicts = [
            judge.verdict(row, outcome, change.payload, now)
            for row, outcome, change in zip(batch, outcomes, changes, strict=True)
        ]
        for verdict in verdicts:
            if verdict.outcome != "accepted" or verdict.words:
                said = verdict.words or "no reason given"
                self.words[said] = self.words.get(said, 0) + 1
        seconds = self._job.clock.now() - began
        self._job.ledger.settle(self._run_id, verdicts, now, seconds=seconds, words=request)
        self._job.on_step("settled")

    def _replace(self, destination: Export) -> str | None:
        """An export: everything in one step, and all of it is accepted or none."""
        job = self._job
        rows = [
            row
            for operation in OPERATIONS
            for row in job.ledger.rows(job.ledger.open_keys(job.instant(), operation)).values()
        ]
        if not rows:
            return None
        job.ledger.mark_sent(self._run_id, [row.key for row in rows], job.instant())
        job.on_step("marked")
        began = job.clock.now()
        judge = Judge(job.policy, is_at_fault=False, is_alone=False)
        changes = [self._change(row, None) for row in rows]
        try:
            destination.replace(destination.records(self._members))
        except ActivationError as error:
            words = redacted(str(error), {})
            failed = Outcome("retry", words, may_be_applied=True)
            self._settle(rows, [failed] * len(rows), changes, judge, began, request=words)
            if isinstance(error, DestinationMisconfiguredError):
                raise
            return words
        job.on_step("answered")
        self._has_accepted = True
        self._settle(rows, [Outcome("accepted")] * len(rows), changes, judge, began, request=None)
        return None


def in_batches(rows: Sequence[Row], most: int) -> Iterator[list[Row]]:
    """As many rows as fit a request; those that failed go in ever smaller company, so that one of them cannot hold up many."""
    batch: list[Row] = []
    size = most
    for row in sorted(rows, key=lambda row: row.failures):
        fits = max(1, most >> (2 * row.failures))
        if batch and (len(batch) >= size or fits < size):
            yield batch
            batch = []
        size = fits
        batch.append(row)
    if batch:
        yield batch
