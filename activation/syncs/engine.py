"""One run of one sync: plan against the ledger, then send what is due, in requests whose every outcome is written down.

Before a request the ledger says `sent`, and that is committed: whoever finds it later knows that the outcome is unknown, and sends the
same again with the same key. Only what the destination accepted moves `accepted_fingerprint`.
"""

from dataclasses import dataclass, field

import pyarrow as pa

from activation.syncs.contract import Change, Checks, DestinationMisconfiguredError, SharesIdentifiers
from activation.syncs.ledger import RunStart, RunTotals
from activation.syncs.planning import Payloads, Plan, plan
from activation.syncs.redaction import redacted
from activation.syncs.sending import Job, RunStatus, Sending


@dataclass(frozen=True)
class Report:
    """What came of a run. done: nothing was left that could be tried now; later: the rest waits; failed: a person has to do something."""

    sync: str
    run_id: str
    status: RunStatus
    totals: RunTotals
    evaluated: int
    words: str | None = None
    samples: dict[str, int] = field(default_factory=dict)
    """The destination's words for what it did not accept, and how often; the ten most frequent."""


def run(job: Job, members: pa.Table, start: RunStart) -> Report:
    """Bring the destination to `members`, as far as it goes now. Raises ActivationError only where nothing was planned yet."""
    planned = plan(members, job.ledger, job.destination, job.fingerprints, job.code)
    job.on_step("planned")
    has_open = job.ledger.begin(start, planned.changed, job.instant())
    job.on_step("begun")
    if isinstance(job.destination, SharesIdentifiers):
        job.destination.stand(lambda: job.ledger.standing()["record_key"])
    sending = Sending(job, members, start.run_id)
    status: RunStatus = "done"
    words: str | None = None
    if has_open:
        try:
            status, words = sending.all_that_is_due()
        except DestinationMisconfiguredError as error:
            status, words = "failed", redacted(str(error), {})
        except Exception as error:
            job.ledger.end(start.run_id, "failed", f"stopped by a {type(error).__name__}", job.instant())
            raise
    totals = job.ledger.end(start.run_id, status, words, job.instant())
    most_frequent = sorted(sending.words.items(), key=lambda item: (-item[1], item[0]))[:10]
    return Report(job.sync, start.run_id, status, totals, planned.evaluated, words, dict(most_frequent))


def preview(job: Job, members: pa.Table) -> Plan:
    """What a run would change. Writes and sends nothing."""
    return plan(members, job.ledger, job.destination, job.fingerprints, job.code)


def ask(job: Job, members: pa.Table) -> dict[str, int] | None:
    """What the destination says of what a run would send it: "accepted", or its words, and how often. None where it cannot say.

    Writes nothing, and nothing is changed there. Raises DestinationUnavailableError, DestinationMisconfiguredError.
    """
    destination = job.destination
    if not isinstance(destination, Checks):
        return None
    rows = [row for row in preview(job, members).changed if row.operation == "upsert" and row.status == "pending"]
    payloads = Payloads(members, destination, job.fingerprints)
    said: dict[str, int] = {}
    for start in range(0, len(rows), destination.batch_size):
        some = rows[start : start + destination.batch_size]
        records = payloads.of(some)
        changes = [
            Change(row.key, row.customer_id, "upsert", records[row.key].payload, row.remote_id, "", row.sequence)
            for row in some
            if row.key in records
        ]
        for change, outcome in zip(changes, destination.check(changes), strict=True):
            words = redacted(outcome.words, change.payload) or outcome.status
            said[words] = said.get(words, 0) + 1
    return said
