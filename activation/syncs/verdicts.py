"""What an outcome means for a row: accepted, to be tried again and when, or put aside."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from activation.syncs.contract import Outcome
from activation.syncs.ledger import Row, Verdict
from activation.syncs.policy import RetryPolicy
from activation.syncs.redaction import redacted


@dataclass(frozen=True)
class Judge:
    """Judges the rows of one request. `is_at_fault`: the failure counts as the row's own; `is_alone`: nobody else can be to blame."""

    policy: RetryPolicy
    is_at_fault: bool
    is_alone: bool

    def verdict(self, row: Row, outcome: Outcome, payload: Mapping[str, Any], now: datetime) -> Verdict:
        """`row` as it was before the request."""
        words = redacted(outcome.words, payload)
        remote_id = outcome.remote_id or row.remote_id
        if outcome.status == "accepted":
            return Verdict(row.key, "accepted", "accepted", 0, False, None, words, remote_id)
        is_unsure = row.is_unsure or outcome.may_be_applied
        if outcome.status == "refused":
            return Verdict(row.key, "refused", "refused", row.failures + 1, is_unsure, None, words, remote_id)
        failures = row.failures + self.is_at_fault
        if failures >= self.policy.quarantine_after and self.is_alone:
            return Verdict(row.key, "quarantined", "retry", failures, is_unsure, None, words, remote_id)
        next_try = now + timedelta(seconds=self.policy.wait(row.attempts + 1))
        return Verdict(row.key, "pending", "retry", failures, is_unsure, next_try, words, remote_id)
