"""What senders sent and were told, and the comparison of it with what is in the log."""

import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from ingestion.event_log import BEGINNING, EventLog, NormalizedEntry, RawEntry
from ingestion.log_entries import id_parts

OK = 200
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_OF_THE_WAY = ("part", "entry", "sent_at", "received_at")  # what differs where the same event was sent twice


@dataclass
class Attempt:
    """One request: its body, unlike any other's, the messages in it, and the answer's status (None: there was none)."""

    body: bytes
    ids: tuple[str, ...]
    status: int | None = None


@dataclass(frozen=True)
class Books:
    """What went wrong, counted; a log that keeps its promise has 0 everywhere.

    Of messages: `lost` were acknowledged and are not there, `phantom` are there and were never sent (or in a request that was refused),
    `doubled` would be two events in the warehouse, although they have one id, `changed` are not as they were sent. `resent` counts requests
    that were sent once and are in the log twice: by their ids the warehouse has them once, but an event without any id would be there
    twice. `astray` counts requests that were not normalised, out of their order, or more than once.
    """

    lost: int = 0
    phantom: int = 0
    doubled: int = 0
    changed: int = 0
    resent: int = 0
    astray: int = 0


CLEAN = Books()


@dataclass
class Ledger:
    """Every attempt, noted before it is sent; for several threads."""

    attempts: list[Attempt] = field(default_factory=list, repr=False)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def compose(self, count: int, *, text_bytes: int = 0) -> list[str]:
        """New messages, by their ids, each with a text of a size."""
        with self._lock:
            ids = [f"m-{len(self.messages) + number}" for number in range(count)]
            for id_ in ids:
                self.messages[id_] = {
                    "event": f"Event {id_}",
                    "properties": {"text": f"\u00e4\u20ac {id_}", "fill": "x" * text_bytes},
                }
        return ids

    def begin(self, ids: Sequence[str]) -> Attempt:
        """An attempt to send messages as one batch, as SDKs do it: only `sentAt` is another one in each."""
        with self._lock:
            sent_at = (_EPOCH + timedelta(milliseconds=len(self.attempts))).isoformat()
            batch = [{"type": "track", "userId": "u-1", "messageId": id_, **self.messages[id_]} for id_ in ids]
            attempt = Attempt(json.dumps({"batch": batch, "sentAt": sent_at}).encode(), tuple(ids))
            self.attempts.append(attempt)
        return attempt

    def count(self, status: int | None) -> int:
        """Attempts that ended (or not) so."""
        return sum(attempt.status == status for attempt in list(self.attempts))

    def acknowledged(self) -> set[str]:
        """The messages that were acknowledged."""
        return {id_ for attempt in self.attempts if attempt.status == OK for id_ in attempt.ids}

    def books(self, raw: Sequence[RawEntry], normalized: Sequence[NormalizedEntry] | None = None) -> Books:
        """Compare with the log's streams; without the second one by the requests alone."""
        sent = {attempt.body: attempt for attempt in self.attempts}
        copies = Counter(entry.received.body for entry in raw)
        strange = [body for body in copies if body not in sent or _is_refused(sent[body])]
        there = {id_ for body in copies if body in sent for id_ in sent[body].ids}
        wrong = Counter(
            phantom=len(strange),
            resent=sum(count > 1 for count in copies.values()),
        )
        if normalized is not None:
            there = self._compare_lines(normalized, wrong)
            ids = [id_parts(entry.id) for entry in normalized]
            wrong["astray"] = len({id_parts(entry.id) for entry in raw} ^ set(ids)) + sum(
                a >= b for a, b in pairwise(ids)
            )
        wrong["lost"] = len(self.acknowledged() - there)
        return Books(**wrong)

    def _compare_lines(self, normalized: Iterable[NormalizedEntry], wrong: "Counter[str]") -> set[str]:
        lines: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
        for entry in normalized:
            wrong["changed"] += len(entry.normalized.refused)
            for line in map(json.loads, entry.normalized.events.splitlines()):
                lines[line["message_id"]].append({name: line[name] for name in line if name not in _OF_THE_WAY})
        for id_, found in lines.items():
            message = self.messages.get(id_)
            if message is None:
                wrong["phantom"] += 1
            elif any({name: line.get(name) for name in message} != message for line in found):
                wrong["changed"] += 1
            wrong["doubled"] += any(line != found[0] for line in found)
        return set(lines)


def all_raw(log: EventLog) -> list[RawEntry]:
    """Every request in the log."""
    return log.read_raw(BEGINNING, limit=1_000_000)


def all_normalized(log: EventLog) -> list[NormalizedEntry]:
    """What became of every request."""
    return log.read_normalized(BEGINNING, limit=1_000_000)


def _is_refused(attempt: Attempt) -> bool:
    return attempt.status is not None and 400 <= attempt.status < 500
