"""The sync ledger in the operator state: the rows of one sync as its engine reads and writes them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, TypeVar

import pyarrow as pa
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from activation.syncs.contract import Operation
from activation.syncs.ledger import Pause, Row, RunStart, RunTotals, Verdict
from orchestration.sync_tables import IS_OPEN, sync_attempts, sync_pauses, sync_records, sync_runs

ROWS_AT_ONCE = 5_000
READ_AT_ONCE = 100_000
WRITTEN_AT_ONCE = 50_000
ATTEMPTS_KEPT = timedelta(days=30)
RUNS_KEPT = timedelta(days=365)
KILLED = "The process of this run was killed."
STANDING = pa.schema([("record_key", pa.string()), ("customer_id", pa.string()), ("source", pa.int64())])
_FIELDS = tuple(Row.__dataclass_fields__)
_COLUMN = {"key": "record_key"}
_T = TypeVar("_T")
_COUNTED = ("accepted", "refused", "quarantined")


class SyncLedger:
    """The rows of one sync; `activation.syncs.ledger.Ledger` says what each method promises."""

    def __init__(self, engine: sa.Engine, sync: str, destination: str) -> None:
        self._engine, self.sync, self._destination = engine, sync, destination
        self._insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert
        self._mine = sync_records.c.sync == sync

    def standing(self) -> pa.Table:
        """See the protocol."""
        query = sa.select(sync_records.c.record_key, sync_records.c.customer_id, sync_records.c.source)
        query = query.where(self._mine, sync_records.c.fingerprint.is_not(None))
        batches = []
        with self._engine.connect() as connection:
            for rows in connection.execution_options(stream_results=True).execute(query).partitions(READ_AT_ONCE):
                columns = zip(*rows, strict=True)
                batches.append(pa.record_batch([list(column) for column in columns], schema=STANDING))
        return pa.Table.from_batches(batches, schema=STANDING)

    def rows(self, keys: Iterable[str]) -> Mapping[str, Row]:
        """See the protocol."""
        found: dict[str, Row] = {}
        columns = [sync_records.c[_COLUMN.get(name, name)] for name in _FIELDS]
        with self._engine.connect() as connection:
            for some in _chunks(keys):
                query = sa.select(*columns).where(self._mine, sync_records.c.record_key.in_(some))
                read: Iterable[Any] = connection.execute(query)
                found.update((row[0], Row(*row)) for row in read)
        return found

    def begin(self, start: RunStart, changed: Sequence[Row], now: datetime) -> int:
        """See the protocol."""
        with self._engine.begin() as connection:
            self.close_killed(connection, now)
        # each row stands for itself: a process that dies in between has planned the others for nothing. In one piece a million of them
        # would keep every other writer of a SQLite out for longer than those wait
        *whole, last = [changed[at : at + WRITTEN_AT_ONCE] for at in range(0, len(changed), WRITTEN_AT_ONCE)] or [()]
        for some in whole:
            with self._engine.begin() as connection:
                self._write(connection, some, now)
        with self._engine.begin() as connection:
            self._write(connection, last, now)
            open_rows = self._open(connection)
            run = {
                **dict.fromkeys(RunTotals.__dataclass_fields__, 0), "run_id": start.run_id, "sync": self.sync, "kind": start.kind,
                "build_id": start.build_id, "revision": start.revision, "status": "running", "members": start.members,
                "planned": open_rows, "started_at": now,
            }  # fmt: skip
            connection.execute(sync_runs.insert().values(run))
            old = (sync_attempts.c.sync == self.sync) & (sync_attempts.c.at < now - ATTEMPTS_KEPT)
            connection.execute(sync_attempts.delete().where(old))
            long_over = (sync_runs.c.sync == self.sync) & (sync_runs.c.ended_at < now - RUNS_KEPT)
            connection.execute(sync_runs.delete().where(long_over))
        return open_rows

    def open_keys(self, now: datetime, operation: Operation) -> list[str]:
        """See the protocol."""
        is_due = sync_records.c.next_try_at.is_(None) | (sync_records.c.next_try_at <= now)
        is_removal = sync_records.c.fingerprint.is_(None)
        query = (
            sa.select(sync_records.c.record_key)
            .where(self._mine, IS_OPEN, is_due, is_removal if operation == "remove" else ~is_removal)
            .order_by(sync_records.c.failures, sync_records.c.record_key)
        )
        with self._engine.connect() as connection:
            return list(connection.scalars(query))

    def next_try(self) -> datetime | None:
        """See the protocol."""
        at_once = sa.func.coalesce(sync_records.c.next_try_at, datetime(1970, 1, 1))
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.min(at_once, type_=sa.DateTime)).where(self._mine, IS_OPEN))

    def mark_sent(self, run_id: str, keys: Sequence[str], now: datetime) -> None:
        """See the protocol."""
        values = {
            "status": "sent", "is_unsure": True, "run_id": run_id, "sent_at": now, "next_try_at": None,
            "attempts": sync_records.c.attempts + 1, "changed_at": now,
        }  # fmt: skip
        with self._engine.begin() as connection:
            for some in _chunks(keys):
                named = sync_records.c.record_key.in_(some)
                connection.execute(sync_records.update().where(self._mine, named).values(values))

    def settle(
        self, run_id: str, verdicts: Sequence[Verdict], now: datetime, *, seconds: float, words: str | None
    ) -> None:
        """See the protocol."""
        counts = Counter(verdict.status for verdict in verdicts)
        taken = sum(verdict.outcome == "accepted" for verdict in verdicts)
        outcome = "unavailable" if words is not None else "answered"
        line = {"sync": self.sync, "run_id": run_id, "at": now, "seconds": None, "records": 1, "accepted": 0}
        request = {"record_key": None, "outcome": outcome, "words": words, "records": len(verdicts)}
        lines = [{**line, **request, "seconds": seconds, "accepted": taken}]
        lines += [
            {**line, "record_key": verdict.key, "outcome": verdict.status, "words": verdict.words}
            for verdict in verdicts
            if verdict.outcome != "accepted"
        ]
        with self._engine.begin() as connection:
            self._accept(connection, [verdict for verdict in verdicts if verdict.outcome == "accepted"], now)
            self._put_off(connection, [verdict for verdict in verdicts if verdict.outcome != "accepted"], now)
            connection.execute(sync_attempts.insert(), lines)
            counted: dict[str, Any] = {name: sync_runs.c[name] + counts[name] for name in _COUNTED if counts[name]}  # type: ignore[index]
            if counted:
                connection.execute(sync_runs.update().where(sync_runs.c.run_id == run_id).values(counted))

    def end(self, run_id: str, status: str, words: str | None, now: datetime) -> RunTotals:
        """See the protocol."""
        with self._engine.begin() as connection:
            self._close(connection, run_id, status, words, now)
            columns = [sync_runs.c[name] for name in RunTotals.__dataclass_fields__]
            row: Any = connection.execute(sa.select(*columns).where(sync_runs.c.run_id == run_id)).one()
        return RunTotals(*row)

    def pause(self) -> Pause:
        """See the protocol."""
        query = sa.select(sync_pauses.c.not_before, sync_pauses.c.in_a_row, sync_pauses.c.words)
        with self._engine.connect() as connection:
            row: Any = connection.execute(query.where(sync_pauses.c.destination == self._destination)).first()
        return Pause(*row) if row else Pause()

    def set_pause(self, pause: Pause) -> None:
        """See the protocol."""
        values = {"not_before": pause.not_before, "in_a_row": pause.in_a_row, "words": pause.words}
        insert = self._insert(sync_pauses).values(destination=self._destination, **values)
        with self._engine.begin() as connection:
            connection.execute(insert.on_conflict_do_update(index_elements=["destination"], set_=values))

    def close_killed(self, connection: sa.Connection, now: datetime) -> None:
        """One run of a sync at a time: one that is still running was killed, and nobody touched its rows since."""
        running = sa.select(sync_runs.c.run_id).where(sync_runs.c.sync == self.sync, sync_runs.c.status == "running")
        run_ids: list[str] = list(connection.scalars(running))
        for run_id in run_ids:
            self._close(connection, run_id, "killed", KILLED, now)

    # ---- inside a transaction -----------------------------------------------------------------------------------

    def _write(self, connection: sa.Connection, changed: Sequence[Row], now: datetime) -> None:
        insert = self._insert(sync_records)
        renewed = [
            column.name
            for column in sync_records.c
            if column.name not in ("sync", "record_key", "sent_at", "accepted_at")
        ]
        upsert = insert.on_conflict_do_update(
            index_elements=["sync", "record_key"], set_={name: insert.excluded[name] for name in renewed}
        )
        for some in _chunks(changed):
            connection.execute(upsert, [self._values(row, now) for row in some])

    def _values(self, row: Row, now: datetime) -> dict[str, Any]:
        values = {_COLUMN.get(name, name): getattr(row, name) for name in _FIELDS}
        return {**values, "sync": self.sync, "changed_at": now}

    def _accept(self, connection: sa.Connection, verdicts: Sequence[Verdict], now: datetime) -> None:
        values = {
            "status": "accepted", "accepted_fingerprint": sync_records.c.fingerprint, "is_unsure": False, "failures": 0,
            "next_try_at": None, "words": None, "accepted_at": now, "changed_at": now,
        }  # fmt: skip
        for some in _chunks(verdict.key for verdict in verdicts):
            named = sync_records.c.record_key.in_(some)
            connection.execute(sync_records.update().where(self._mine, named).values(values))
        named_there = [{"key": each.key, "its_id": each.remote_id} for each in verdicts if each.remote_id is not None]
        if named_there:
            update = sync_records.update().where(self._mine, sync_records.c.record_key == sa.bindparam("key"))
            connection.execute(update.values(remote_id=sa.bindparam("its_id")), named_there)

    def _put_off(self, connection: sa.Connection, verdicts: Sequence[Verdict], now: datetime) -> None:
        if not verdicts:
            return
        names = ("status", "failures", "is_unsure", "next_try_at", "words", "remote_id")
        update = sync_records.update().where(self._mine, sync_records.c.record_key == sa.bindparam("key"))
        update = update.values({name: sa.bindparam(f"its_{name}") for name in names} | {"changed_at": now})
        rows = [{"key": each.key, **{f"its_{name}": getattr(each, name) for name in names}} for each in verdicts]
        connection.execute(update, rows)

    def _open(self, connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> int:
        query = sa.select(sa.func.count()).select_from(sync_records).where(self._mine, IS_OPEN, *conditions)
        return int(connection.scalar(query) or 0)

    def _close(self, connection: sa.Connection, run_id: str, status: str, words: str | None, now: datetime) -> None:
        tried = sync_records.c.run_id == run_id
        waiting = {
            "retried": self._open(connection, tried),
            "pending": self._open(connection, sa.or_(sync_records.c.run_id.is_(None), ~tried)),
        }
        mine = sync_runs.update().where(sync_runs.c.run_id == run_id)
        connection.execute(mine.values(status=status, words=words, ended_at=now, **waiting))


def _chunks(values: Iterable[_T]) -> Iterator[list[_T]]:
    remaining = iter(values)
    while some := list(islice(remaining, ROWS_AT_ONCE)):
        yield some
