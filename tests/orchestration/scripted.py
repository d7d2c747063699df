"""A destination in memory that does what it is told, and keeps what it took; with a clock that only goes when somebody waits."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count

import pyarrow as pa

from activation.syncs.clock import Clock
from activation.syncs.contract import Change, Outcome, Record
from activation.syncs.engine import Report, run
from activation.syncs.fingerprints import Fingerprints
from activation.syncs.ledger import RunStart
from activation.syncs.policy import RetryPolicy
from activation.syncs.sending import Job
from orchestration.state import State

SYNC = "crm.vip"
START = 1_800_000_000.0
NUMBERS = count()


@dataclass
class Scripted:
    """Answers a request by the next of `answers`, accepting all where there is none left; keys are by e-mail (of several
    by spaces, each a record) where that is said."""

    answers: list[Callable[[Sequence[Change]], Sequence[Outcome]]] = field(default_factory=list)
    requests: list[list[Change]] = field(default_factory=list)
    holds: dict[str, str] = field(default_factory=dict)
    batch_size: int = 10
    is_by_email: bool = False
    evaluated: int = 0

    def records(self, members: pa.Table) -> Iterator[Record]:
        for customer, email in zip(members["customer_id"].to_pylist(), members["email"].to_pylist(), strict=True):
            self.evaluated += 1
            if email is None:
                continue
            if not self.is_by_email:
                yield Record(customer, customer, {"email": email})
            for address in email.split() if self.is_by_email else ():
                yield Record(address, customer, {"email": address})

    def send(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        self.requests.append(list(changes))
        outcomes = self.answers.pop(0)(changes) if self.answers else [Outcome("accepted")] * len(changes)
        for change, outcome in zip(changes, outcomes, strict=True):
            if outcome.status == "accepted":
                self.take(change)
        return outcomes

    def take(self, change: Change) -> None:
        if change.operation == "remove":
            self.holds.pop(change.key, None)
        else:
            self.holds[change.key] = change.payload["email"]

    @property
    def sent(self) -> list[Change]:
        return [change for request in self.requests for change in request]


def raises(error: Exception) -> Callable[[Sequence[Change]], Sequence[Outcome]]:
    """An answer that is none."""

    def answer(_: Sequence[Change]) -> Sequence[Outcome]:
        raise error

    return answer


def each(**outcomes: Outcome) -> Callable[[Sequence[Change]], Sequence[Outcome]]:
    """An answer by record key; others are accepted."""
    return lambda changes: [outcomes.get(change.key, Outcome("accepted")) for change in changes]


@dataclass
class Bench:
    """A sync of a scripted destination on a real operator state."""

    state: State
    destination: Scripted = field(default_factory=Scripted)
    now: float = START
    policy: RetryPolicy = field(default_factory=lambda: RetryPolicy(jitter=lambda: 1.0, patience_seconds=0))
    waited: list[float] = field(default_factory=list)
    code: str = "1"
    steps: Callable[[str], None] = lambda step: None
    last_run: str = ""
    budget_seconds: float = 1000.0

    def run(self, members: dict[str, str | None]) -> Report:
        table = pa.table(
            {
                "customer_id": pa.array(list(members), pa.string()),
                "email": pa.array(list(members.values()), pa.string()),
            }
        )
        self.last_run = f"run-{next(NUMBERS)}"
        return run(self.job, table, RunStart(self.last_run, "run", "build", "0", len(members)))

    @property
    def job(self) -> Job:
        ledger = self.state.syncs.ledger(SYNC)
        fingerprints = Fingerprints("salt", SYNC)
        clock = Clock(lambda: self.now, self._sleep)
        return Job(
            SYNC, ledger, self.destination, fingerprints, self.code, self.budget_seconds, self.policy, clock, self.steps
        )  # fmt: skip

    def statuses(self) -> dict[str, int]:
        return self.state.syncs.standing(SYNC).by_status

    def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds
