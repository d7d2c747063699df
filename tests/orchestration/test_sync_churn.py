"""Random members, faults and kills against an oracle: in the end a destination holds exactly who is wanted, with the newest content."""

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from activation.syncs.contract import Change, DestinationUnavailableError, Outcome
from activation.syncs.policy import RetryPolicy
from orchestration.state import State
from tests.orchestration.scripted import SYNC, Bench, Scripted

CUSTOMERS = [f"c{number}" for number in range(5)]
ADDRESSES = [f"m{number}@x.org" for number in range(4)]
STEPS = ("planned", "begun", "marked", "answered", "settled")


class Killed(BaseException):
    """The process ends here."""


class Moody(Scripted):
    """Takes, loses or refuses at random; what it took before an answer got lost it holds."""

    def __init__(self, chance: random.Random, *, is_by_email: bool) -> None:
        super().__init__(batch_size=chance.choice((1, 3, 100)), is_by_email=is_by_email)
        self.chance, self.is_moody = chance, True
        self.seen: dict[str, tuple[str, int, str, str]] = {}

    def send(self, changes: Sequence[Change]) -> Sequence[Outcome]:
        assert len({change.key for change in changes}) == len(changes)
        for change in changes:
            content = (change.key, change.sequence, change.operation, repr(change.payload))
            assert self.seen.setdefault(change.idempotency_key, content) == content, "one key, one content"
        self.requests.append(list(changes))
        mood = self.chance.choice(("good", "good", "good", "lost", "lost", "busy", "rows")) if self.is_moody else "good"
        if mood == "busy":
            raise DestinationUnavailableError("busy", may_be_applied=False)
        outcomes = [self._outcome(mood) for _ in changes]
        for change, outcome in zip(changes, outcomes, strict=True):
            if outcome.status == "accepted" or (outcome.may_be_applied and self.chance.random() < 0.5):
                self.take(change)
        if mood == "lost":
            raise DestinationUnavailableError("lost")
        return outcomes

    def _outcome(self, mood: str) -> Outcome:
        if mood == "good":
            return Outcome("accepted")
        if mood == "lost":
            return Outcome("retry", may_be_applied=True)
        kind = self.chance.choice(("accepted", "refused", "retry", "unsure"))
        return Outcome("retry", may_be_applied=True) if kind == "unsure" else Outcome(kind)  # type: ignore[arg-type]


def churned(chance: random.Random, members: dict[str, str | None]) -> dict[str, str | None]:
    """Some enter, leave, change their address (to one that somebody else has, maybe) or lose it."""
    now = dict(members)
    for customer in chance.sample(CUSTOMERS, chance.randint(0, 3)):
        if chance.random() < 0.3:
            now.pop(customer, None)
        else:
            addresses = chance.sample(ADDRESSES, chance.randint(0, 2))
            now[customer] = " ".join(sorted(addresses)) or None
    return {customer: now[customer] for customer in chance.sample(sorted(now), len(now))}


def wanted(members: dict[str, str | None], *, is_by_email: bool) -> dict[str, str]:
    if is_by_email:
        return {address: address for email in members.values() if email is not None for address in email.split()}
    return {customer: email for customer, email in members.items() if email is not None}


@pytest.mark.parametrize("is_by_email", [False, True], ids=["by customer", "by address"])
@pytest.mark.parametrize("first", [0, *(pytest.param(n, marks=pytest.mark.nightly) for n in range(1000, 20_000, 1000))])
def test_in_the_end_the_destination_holds_who_is_wanted(tmp_path: Path, first: int, is_by_email: bool) -> None:
    for seed in range(first, first + (10 if first == 0 else 300)):
        chance = random.Random(seed)
        destination = Moody(chance, is_by_email=is_by_email)
        bench = Bench(State(f"sqlite:///{tmp_path / f'{seed}.sqlite'}"), destination)
        bench.policy = RetryPolicy(jitter=chance.random, patience_seconds=0, quarantine_after=3)
        members: dict[str, str | None] = {}
        for _ in range(chance.randint(4, 16)):
            members = churned(chance, members)
            bench.code = chance.choice(("1", "1", "1", "2"))
            dies_at = chance.choice((*STEPS, *[""] * 10))

            def step(name: str, dies_at: str = dies_at) -> None:
                if name == dies_at:
                    raise Killed

            bench.steps = step
            try:
                bench.run(members)
            except Killed:
                assert dies_at
            bench.now += chance.choice((0.0, 1.0, 10_000.0))
            if chance.random() < 0.4:
                settles(bench, destination, members, is_by_email=is_by_email)
        settles(bench, destination, members, is_by_email=is_by_email)


def settles(bench: Bench, destination: Moody, members: dict[str, str | None], *, is_by_email: bool) -> None:
    """A run that meets no trouble leaves the destination as it is wanted, the books in order, and the next run nothing to do."""
    bench.steps, destination.is_moody = lambda name: None, False
    bench.state.syncs.retry(SYNC, bench.job.instant())
    bench.now += 10_000
    assert bench.run(members).status == "done"
    assert destination.holds == wanted(members, is_by_email=is_by_email)
    assert bench.statuses().keys() <= {"accepted"}
    for run in bench.state.syncs.runs(SYNC, 100):
        parts = (run.accepted, run.refused, run.retried, run.quarantined, run.pending)
        assert (run.planned, run.status != "running") == (sum(parts), True)
    sent = len(destination.sent)
    assert bench.run(members).totals.planned == 0
    assert len(destination.sent) == sent
    destination.is_moody = True
