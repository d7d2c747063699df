"""What of an audience is sent to readers: its members who pass the gate, or, where a guard holds them back, what readers have less
those who may no longer be published."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import redis

from activation.errors import NotPublishedError
from activation.reader import Reader
from activation.rollback import release_audience
from orchestration.audience_catalogue import Audience
from orchestration.gate import MEMBERS, REDIS, Gate, Gated
from orchestration.guards import broken_guards, facts, jumps
from orchestration.state import State
from orchestration.warehouse import Connection

FailedChecks = Callable[[str], Sequence[str]]
"""The checks of an audience's inputs that failed, in words."""


def no_checks(_audience: str) -> Sequence[str]:
    """Where no orchestrator knows of checks: a build whose own tests failed is not whole and never served."""
    return ()


@dataclass(frozen=True)
class Publishable:
    """The members to be sent, who was withheld, and what holds the version back ('' where nothing does).

    `is_unchanged`: it is held back, and readers may keep what they have as it is.
    """

    members: pa.Table
    gated: Gated
    held: str = ""
    is_unchanged: bool = False


@dataclass(frozen=True)
class Publisher:
    """One build, the gate on it, and the online store."""

    served: Connection
    state: State
    gate: Gate
    client: redis.Redis
    failed_checks: FailedChecks = no_checks

    def publishable(self, audience: Audience, version: int | None) -> Publishable:
        """What is sent as this version of an audience (None: it has none yet). Raises GateError."""
        gated = self.gate.members(audience, destination=REDIS)
        found = facts(
            self.served,
            self.state,
            audience,
            members=len(gated.members),
            failed_checks=self.failed_checks(audience.name),
        )
        sentences = broken_guards(audience, found)
        if not sentences or self._is_approved(audience.name, version):
            return Publishable(gated.members, gated)
        last = self._last_good(audience.name)
        kept = self.gate.judge(audience, last, destination=REDIS).members
        if jumps(audience, found):
            # a jump is one of the definition: those who left because they may not be published are none
            sentences = broken_guards(audience, replace(found, published=len(kept)))
            if not sentences:
                return Publishable(gated.members, gated)
        return Publishable(kept, gated, " ".join(sentences), is_unchanged=len(kept) == len(last))

    def unpinned(self, audience: Audience) -> str:
        """Let go of a rollback that keeps readers at a version with people who may no longer be published; a sentence where it was."""
        last = self._last_good(audience.name)
        withheld = self.gate.judge(audience, last, destination=REDIS).withheld_count
        if not withheld:
            return ""
        release_audience(self.client, audience.name)
        return f"; its rollback was released, since {withheld:,} people in the older version may no longer be published"

    def _is_approved(self, audience: str, version: int | None) -> bool:
        held = self.state.approvals.of(audience, version) if version is not None else None
        return held is not None and held.approved_at is not None

    def _last_good(self, audience: str) -> pa.Table:
        """The members that readers have now."""
        try:
            ids = list(Reader(self.client).members(audience))
        except NotPublishedError:
            ids = []
        return pa.table({"customer_id": ids, "entered_because": [None] * len(ids)}, schema=MEMBERS)
