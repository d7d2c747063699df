"""All syncs of an installation in the operator state: their ledgers, what a person asks of them, what a person makes them do."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from activation.syncs.ledger import RunStart
from orchestration.sync_ledger import SyncLedger
from orchestration.sync_tables import IS_OPEN, sync_attempts, sync_pauses, sync_records, sync_runs

SETTLED = ("refused", "quarantined")


@dataclass(frozen=True)
class SyncRun:
    """One run; its counts add up to `planned` once it is over."""

    run_id: str
    sync: str
    kind: str
    build_id: str | None
    revision: str | None
    status: str
    words: str | None
    members: int
    planned: int
    accepted: int
    refused: int
    retried: int
    quarantined: int
    pending: int
    started_at: datetime
    ended_at: datetime | None

    def sentence(self) -> str:
        """What came of it, for a person."""
        waiting = self.retried + self.pending
        parts = [f"{self.accepted:,} accepted"]
        parts += [
            f"{count:,} {name}"
            for count, name in ((self.refused, "refused"), (self.quarantined, "quarantined"))
            if count
        ]
        parts += [f"{waiting:,} to be tried again"] if waiting else []
        said = f" {self.words}" if self.words else ""
        return f"{self.sync}: {self.members:,} members, {self.planned:,} to send: {', '.join(parts)}.{said}"


@dataclass(frozen=True)
class Standing:
    """Rows of one sync by status, how many the destination holds for all that is known, and when the next one is due."""

    by_status: dict[str, int]
    held: int
    next_try_at: datetime | None


class SyncBooks:
    """`ledger(sync)` is what an engine works with; a sync is called `<destination>.<audience>`."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def ledger(self, sync: str, destination: str | None = None) -> SyncLedger:
        """The ledger of one sync; `destination` where its name does not begin with it."""
        return SyncLedger(self._engine, sync, destination or sync.partition(".")[0])

    @contextmanager
    def alone(self, destination: str) -> Iterator[bool]:
        """Whether nobody else in the PostgreSQL holds this destination; on a SQLite a lock file beside it says so, and this is true."""
        if self._engine.dialect.name == "sqlite":
            yield True
            return
        number = int.from_bytes(hashlib.sha256(f"weft sync {destination}".encode()).digest()[:8], signed=True)
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # the lock ends with its connection, however that ends
            is_alone = bool(connection.scalar(sa.select(sa.func.pg_try_advisory_lock(number))))
            try:
                yield is_alone
            finally:
                if is_alone:
                    connection.scalar(sa.select(sa.func.pg_advisory_unlock(number)))

    def is_known(self, run_id: str) -> bool:
        """Whether a run began."""
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(sync_runs.c.run_id).where(sync_runs.c.run_id == run_id)) is not None

    def note_failed(self, sync: str, start: RunStart, words: str, now: datetime) -> None:
        """A run that could not begin."""
        self.ledger(sync).begin(start, [], now)
        self.ledger(sync).end(start.run_id, "failed", words, now)

    # ---- what a person asks -------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every sync that has rows, or had a run."""
        query = sa.union(sa.select(sync_records.c.sync).distinct(), sa.select(sync_runs.c.sync).distinct())
        with self._engine.connect() as connection:
            return sorted(connection.scalars(query))

    def standing(self, sync: str) -> Standing:
        """Where the rows of a sync stand. Cost: one pass over them."""
        query = (
            sa.select(sync_records.c.status, sa.func.count(), sa.func.count(sync_records.c.accepted_fingerprint))
            .where(sync_records.c.sync == sync)
            .group_by(sync_records.c.status)
        )
        with self._engine.connect() as connection:
            rows: list[Any] = list(connection.execute(query))
        by_status = {status: count for status, count, _ in rows}
        return Standing(by_status, sum(held for *_, held in rows), self.ledger(sync).next_try())

    def open_syncs(self) -> dict[str, datetime | None]:
        """Syncs with rows that wait to be sent, and when the first of each may be; None: at once."""
        at_once = datetime(1970, 1, 1)
        first = sa.func.min(sa.func.coalesce(sync_records.c.next_try_at, at_once), type_=sa.DateTime)
        query = sa.select(sync_records.c.sync, first).where(IS_OPEN).group_by(sync_records.c.sync)
        with self._engine.connect() as connection:
            rows: list[Any] = list(connection.execute(query))
        return {sync: None if due == at_once else due for sync, due in rows}

    def last_runs(self) -> dict[str, SyncRun]:
        """The newest run of every sync."""
        place = sa.func.row_number().over(
            partition_by=sync_runs.c.sync, order_by=[sync_runs.c.started_at.desc(), sync_runs.c.run_id.desc()]
        )
        ranked = sa.select(sync_runs, place.label("place")).subquery()
        return {run.sync: run for run in self._runs(sa.select(ranked).where(ranked.c.place == 1))}

    def runs(self, sync: str, limit: int = 10) -> list[SyncRun]:
        """The newest runs of a sync, the newest first."""
        newest = sync_runs.c.started_at.desc(), sync_runs.c.run_id.desc()
        return self._runs(sa.select(sync_runs).where(sync_runs.c.sync == sync).order_by(*newest).limit(limit))

    def problems(self, sync: str, limit: int = 20) -> list[dict[str, Any]]:
        """Records that were refused or put aside, or failed and wait: record_key, status, attempts, next_try_at, words."""
        names = ("record_key", "customer_id", "status", "attempts", "failures", "next_try_at", "words")
        query = (
            sa.select(*(sync_records.c[name] for name in names))
            .where(sync_records.c.sync == sync, sync_records.c.status.in_(SETTLED) | sync_records.c.words.is_not(None))
            .order_by(sync_records.c.status.desc(), sync_records.c.record_key)
            .limit(limit)
        )
        return self._mappings(query)

    def attempts(self, sync: str, limit: int = 20) -> list[dict[str, Any]]:
        """The newest lines of the log, the newest first."""
        query = sa.select(sync_attempts).where(sync_attempts.c.sync == sync).order_by(sync_attempts.c.id.desc())
        return self._mappings(query.limit(limit))

    def records_since(self, instant: datetime | None) -> list[dict[str, Any]]:
        """Ledger rows of all syncs that changed then or later; all of them where nothing is said."""
        query = sa.select(sync_records)
        return self._mappings(query.where(sync_records.c.changed_at >= instant) if instant else query)

    def record_count(self) -> int:
        """Ledger rows of all syncs."""
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(sync_records)) or 0

    def all_runs(self) -> list[dict[str, Any]]:
        """Every run that is kept."""
        return self._mappings(sa.select(sync_runs).order_by(sync_runs.c.started_at, sync_runs.c.run_id))

    def pauses(self) -> dict[str, datetime | None]:
        """Until when each destination gets no request."""
        with self._engine.connect() as connection:
            rows: list[Any] = list(connection.execute(sa.select(sync_pauses.c.destination, sync_pauses.c.not_before)))
        return dict(rows)

    # ---- what a person does -------------------------------------------------------------------------------------

    def retry(self, sync: str, now: datetime) -> int:
        """Let refused and quarantined records be tried again, and at once what waits; how many of the former.

        A refusal was an answer, and the same key would be answered with it again: those get the next one. What was put aside may have
        been taken: that keeps its key.
        """
        mine = sync_records.c.sync == sync
        fresh = {"status": "pending", "failures": 0, "attempts": 0, "next_try_at": None, "changed_at": now}
        with self._engine.begin() as connection:
            self.ledger(sync).close_killed(connection, now)
            refused = sync_records.update().where(mine, sync_records.c.status == "refused")
            count = connection.execute(refused.values(**fresh, sequence=sync_records.c.sequence + 1)).rowcount
            put_aside = sync_records.update().where(mine, sync_records.c.status == "quarantined")
            count += connection.execute(put_aside.values(fresh)).rowcount
            connection.execute(sync_records.update().where(mine, IS_OPEN).values(next_try_at=None, changed_at=now))
            destination = sync.partition(".")[0]
            connection.execute(sync_pauses.delete().where(sync_pauses.c.destination == destination))
        return count

    def replay(self, sync: str, now: datetime, *, run_id: str | None = None) -> int:
        """Have everything that was ever sent (or what one run sent) sent again, as a change of its own; how many records."""
        chosen = [sync_records.c.sync == sync, sync_records.c.sent_at.is_not(None)]
        chosen += [sync_records.c.run_id == run_id] if run_id else []
        values = {
            "status": "pending", "sequence": sync_records.c.sequence + 1, "attempts": 0, "failures": 0, "next_try_at": None,
            "words": None, "changed_at": now,
        }  # fmt: skip
        with self._engine.begin() as connection:
            self.ledger(sync).close_killed(connection, now)
            return connection.execute(sync_records.update().where(*chosen).values(values)).rowcount

    def forget(self, customer_id: str) -> int:
        """Drop the ledger rows of a customer which no destination holds any more, such as after an erasure; how many are left because one
        still may."""
        theirs = sync_records.c.customer_id == customer_id
        is_gone = sync_records.c.fingerprint.is_(None) & sync_records.c.accepted_fingerprint.is_(None)
        is_over = sync_records.c.status == "accepted"
        with self._engine.begin() as connection:
            keys = sa.select(sync_records.c.sync, sync_records.c.record_key).where(theirs, is_gone, is_over)
            gone: list[Any] = list(connection.execute(keys))
            for sync, record_key in gone:
                lines = (sync_attempts.c.sync == sync) & (sync_attempts.c.record_key == record_key)
                connection.execute(sync_attempts.delete().where(lines))
            connection.execute(sync_records.delete().where(theirs, is_gone, is_over))
            left = sa.select(sa.func.count()).select_from(sync_records).where(theirs)
            return connection.scalar(left) or 0

    def _runs(self, query: sa.Select[Any]) -> list[SyncRun]:
        names = list(SyncRun.__dataclass_fields__)
        return [SyncRun(**{name: row[name] for name in names}) for row in self._mappings(query)]

    def _mappings(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            return [dict(row) for row in connection.execute(query).mappings()]
