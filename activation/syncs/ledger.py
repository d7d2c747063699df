"""The ledger as the engine sees it: one row per record of a sync, its runs, and the rest that a destination asked for.

Times are naive UTC. No row holds personal data: a record's content is there as a keyed hash only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal, Protocol

import pyarrow as pa

from activation.syncs.contract import Operation, Status

RowStatus = Literal["pending", "sent", "accepted", "refused", "quarantined"]
OPEN: tuple[RowStatus, ...] = ("pending", "sent")
"""Rows that still have to be sent. `sent` after the run is over: the process died, and the outcome is unknown."""


@dataclass(frozen=True, slots=True)
class Row:
    """Where one record stands. `fingerprint`: the content that is wanted there, None where the record is to be gone;
    `accepted_fingerprint`: what the destination took last, None where that was a removal, or nothing ever.

    `is_unsure`: since then an attempt may have been applied whose outcome nobody knows. `source`: hash of the columns that the content
    was made from. `attempts` counts requests with this content, `failures` those that were the row's own fault, as far as one can say.
    """

    key: str
    customer_id: str
    status: RowStatus
    fingerprint: str | None
    accepted_fingerprint: str | None = None
    source: int | None = None
    sequence: int = 1
    attempts: int = 0
    failures: int = 0
    is_unsure: bool = False
    next_try_at: datetime | None = None
    words: str | None = None
    remote_id: str | None = None
    run_id: str | None = None

    @property
    def operation(self) -> Operation:
        """What it takes to bring the destination there."""
        return "remove" if self.fingerprint is None else "upsert"

    @property
    def is_there(self) -> bool:
        """Whether the destination stands as wanted, for certain."""
        return self.fingerprint == self.accepted_fingerprint and not self.is_unsure

    def wanted(self, fingerprint: str | None, *, source: int | None, customer_id: str) -> "Row":
        """The row with another content: the next sequence, all tries before it, and pending unless the destination is there already."""
        moved = replace(
            self,
            customer_id=customer_id,
            fingerprint=fingerprint,
            source=source,
            sequence=self.sequence + 1,
            attempts=0,
            failures=0,
            next_try_at=None,
            words=None,
        )
        return replace(moved, status="accepted" if moved.is_there else "pending")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one request did to one row."""

    key: str
    status: RowStatus
    outcome: Status
    failures: int
    is_unsure: bool
    next_try_at: datetime | None
    words: str | None
    remote_id: str | None


@dataclass(frozen=True, slots=True)
class Pause:
    """The destination wants, or gets, no request before `not_before`; `in_a_row` counts the runs it was not available for."""

    not_before: datetime | None = None
    in_a_row: int = 0
    words: str | None = None


@dataclass(frozen=True, slots=True)
class RunStart:
    """A run that begins: what it was planned from."""

    run_id: str
    kind: str
    build_id: str | None
    revision: str | None
    members: int


@dataclass(frozen=True, slots=True)
class RunTotals:
    """What became of the records that a run had before it: each is counted once, so that `planned` is the sum of the others.

    retried: was tried and is to be tried again; pending: was not tried.
    """

    planned: int = 0
    accepted: int = 0
    refused: int = 0
    retried: int = 0
    quarantined: int = 0
    pending: int = 0


class Ledger(Protocol):
    """The rows of one sync, which is one audience at one destination. What a method writes is one transaction, but for `begin`."""

    def standing(self) -> pa.Table:
        """record_key, customer_id and source of every record that is wanted at the destination."""

    def rows(self, keys: Iterable[str]) -> Mapping[str, Row]:
        """Rows by record key."""

    def begin(self, start: RunStart, changed: Sequence[Row], now: datetime) -> int:
        """Write what planning changed, and then the run; how many rows are open. Closes the books of a run that was killed first.

        Many rows go in parts: each stands for itself, and the next plan makes those anew that were not written.
        """

    def open_keys(self, now: datetime, operation: Operation) -> list[str]:
        """Keys of the open rows whose time has come, those that failed last."""

    def next_try(self) -> datetime | None:
        """When the first of the open rows wants to be tried; None where there is none."""

    def mark_sent(self, run_id: str, keys: Sequence[str], now: datetime) -> None:
        """About to be sent: from here on their outcome is unknown until `settle`."""

    def settle(
        self, run_id: str, verdicts: Sequence[Verdict], now: datetime, *, seconds: float, words: str | None
    ) -> None:
        """What a request did, and a line of the log for it."""

    def end(self, run_id: str, status: str, words: str | None, now: datetime) -> RunTotals:
        """The run is over; its totals."""

    def pause(self) -> Pause:
        """The destination's rest, whichever sync brought it about."""

    def set_pause(self, pause: Pause) -> None:
        """Let every process know of it."""
