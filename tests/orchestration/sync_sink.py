"""A receiver of webhooks that keeps its promises (idempotency keys, sequences) and breaks every one of HTTP's, and who sends to it."""

import os
import random
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import feather

from activation.destinations.webhook import Webhook, WebhookConfig
from activation.fake_destinations.vendor import Call, Reply, Timepiece, Vendor
from activation.syncs.clock import Clock
from activation.syncs.engine import Report, run
from activation.syncs.fingerprints import Fingerprints
from activation.syncs.ledger import RunStart, Verdict
from activation.syncs.policy import RetryPolicy
from activation.syncs.sending import Job
from orchestration.failpoints import arm, failpoints
from orchestration.outbound import outbound_client
from orchestration.state import State
from orchestration.sync_ledger import SyncLedger
from tests.forked import PROCESSES

SYNC = "sink.everybody"
SECRET = b"0" * 32
SPEED = 50.0
"""The sender's and the sink's seconds go by this much faster than the machine's."""
TIMEOUT_SECONDS = 0.15
FAULTS = ("500", "429", "redirect", "lost", "cut", "reset", "late", "rows", "slow")


@dataclass(frozen=True)
class FastTime:
    """Both ends' clock: what is a second to them is a fiftieth of one."""

    start: float

    def now(self) -> float:
        return self.start + (time.time() - self.start) * SPEED

    def clock(self) -> Clock:
        return Clock(self.now, lambda seconds: time.sleep(seconds / SPEED))


class Sink(Vendor):
    """Takes every key once and keeps the highest sequence of each record; never takes those of `unwanted`."""

    def __init__(self, clock: Timepiece, *, seed: int, share_of_faults: float = 0.3) -> None:
        super().__init__(clock)
        self._random = random.Random(seed)
        self._share = share_of_faults
        self._this = threading.local()
        self.unwanted: set[str] = set()
        self.standing: dict[str, tuple[int, str, Any]] = {}
        self.effects: Counter[str] = Counter()
        self.contents: defaultdict[str, set[str]] = defaultdict(set)
        self.injected: Counter[str] = Counter()

    def take(self, call: Call) -> tuple[Reply, str | None]:
        kind = self._random.choice(FAULTS) if self._random.random() < self._share else "none"
        self.injected[kind] += 1
        self._this.refuses_rows = kind == "rows"
        instead = {
            "500": Reply(500, {}), "429": Reply(429, {}, {"Retry-After": "1"}),
            "redirect": Reply(307, {}, {"Location": "/elsewhere"}),
        }  # fmt: skip
        self.faults = [instead.get(kind, kind)]
        reply, _ = super().take(call)
        if kind in ("slow", "late"):
            time.sleep(0.01 if kind == "slow" else 2 * TIMEOUT_SECONDS)
        return reply, kind

    def answer(self, call: Call) -> Reply:
        """Every change once, with a verdict for each."""
        assert call.headers["webhook-id"] and call.headers["webhook-signature"].startswith("v1,")
        return Reply(200, {"results": [self._result(change) for change in call.json["changes"]]})

    def _result(self, change: dict[str, Any]) -> dict[str, Any]:
        key, customer = change["idempotency_key"], change["customer_id"]
        content = (change["operation"], change.get("fields"))
        self.contents[key].add(repr((customer, change["sequence"], content)))
        if self._this.refuses_rows and self._random.random() < 0.5:
            return {"idempotency_key": key, "status": "retry", "message": f"no room for {customer}"}
        if customer in self.unwanted and change["operation"] == "upsert":
            return {"idempotency_key": key, "status": "refused", "message": f"not wanted: {change['fields']['email']}"}
        if not self.effects[key]:
            self.effects[key] += 1
            if change["sequence"] > self.standing.get(customer, (0, "", None))[0]:
                self.standing[customer] = (change["sequence"], *content)
        return {"idempotency_key": key, "status": "accepted", "id": f"remote-{customer}"}


@dataclass(frozen=True)
class Sender:
    """A sender in a process of its own: `kind` is sound, or broken on purpose; dies at `crash_at` where that comes."""

    folder: Path
    url: str
    start: float
    seed: int
    kind: str = "sound"
    crash_at: str | None = None
    quarantine_after: int = 60
    batch_size: int = 25

    def begin(self) -> Any:
        """The process, started."""
        process = PROCESSES.Process(target=_send, args=(self,))
        process.start()
        return process

    def send(self) -> Report:
        """One run, in this process."""
        arm(self.crash_at, is_allowed=True)
        state = State(f"sqlite:///{self.folder / 'state.sqlite'}")
        ledger = (SavesAtPlanning if self.kind == "saves at planning" else SyncLedger)(state._engine, SYNC, "sink")
        clock = FastTime(self.start).clock()
        config = WebhookConfig(
            name="sink", type="webhook", purposes=("advertising",), url=self.url, secrets=({"env": "NONE"},),
            fields={"email": "email"}, batch_size=self.batch_size,
        )  # fmt: skip
        members = feather.read_table(self.folder / "members.arrow", memory_map=False)
        with outbound_client(self.url, allow_private=True) as client:
            client.timeout = TIMEOUT_SECONDS
            adapter = Webhook(config, client, [SECRET], audience="everybody", clock=clock)
            policy = RetryPolicy(
                quarantine_after=self.quarantine_after, unavailable_in_a_row=12, longest_wait_seconds=8.0,
                jitter=random.Random(self.seed).random,
            )  # fmt: skip
            job = Job(
                SYNC, ledger, adapter, Fingerprints("test", SYNC), "1", 3600.0, policy, clock, failpoints("sync")
            )  # fmt: skip
            return run(
                job, members, RunStart(f"{self.seed}-{os.getpid()}-{time.time_ns()}", "run", None, None, len(members))
            )


def _send(sender: Sender) -> None:
    report = sender.send()
    os._exit(0 if report.status == "done" else 3)


class SavesAtPlanning(SyncLedger):
    """Broken as Multiwoven is (I-22): what was planned counts as delivered, so that a record which failed is unchanged next time."""

    def begin(self, start: RunStart, changed: Any, now: datetime) -> int:
        with self._engine.begin() as connection:
            connection.exec_driver_sql(
                "update sync_records set status = 'accepted', accepted_fingerprint = fingerprint, is_unsure = 0"
            )
        return super().begin(start, changed, now)

    def settle(self, run_id: str, verdicts: Any, now: datetime, **rest: Any) -> None:
        put_aside = [
            Verdict(
                each.key, "accepted" if each.status == "pending" else each.status, "retry", 0, False, None, None, None
            )
            for each in verdicts
        ]
        super().settle(run_id, put_aside, now, **rest)


@dataclass
class Wanted:
    """The members as they are to stand at the sink, by customer; every change counts."""

    folder: Path
    values: dict[str, str] = field(default_factory=dict)
    changes: int = 0

    def change(self, customers: list[str], value: str | None) -> None:
        """Give customers a value; None: they leave."""
        for customer in customers:
            if value is None:
                del self.values[customer]
            else:
                self.values[customer] = f"{customer}-{value}@example.com"
        self.changes += len(customers)
        names = sorted(self.values)
        table = pa.table({"customer_id": names, "email": [self.values[name] for name in names]})
        feather.write_feather(table, self.folder / "members.next", compression="uncompressed")
        (self.folder / "members.next").replace(self.folder / "members.arrow")
