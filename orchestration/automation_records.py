"""Automations in the operator state: how far each has read the changes of membership, what it made of them, and pools of coupons.

What was read and what came of it are one transaction, so that nothing is skipped and nothing happens twice. No table holds personal
data: a customer's id, and the code that they were given.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from orchestration.state_tables import metadata

OPEN, WAITING, TOLD, CANCELLED = "open", "waiting", "told", "cancelled"
"""waiting: for a coupon of an empty pool."""
PERHAPS_TOLD = "perhaps told"
"""Ends the reason of an occurrence that was cancelled after an attempt whose outcome nobody knows; a cool-down counts it."""
ROWS_AT_ONCE = 1_000

# One row per automation that was ever active: the last change of membership that it has dealt with.
automation_cursors = sa.Table(
    "automation_cursors",
    metadata,
    sa.Column("automation", sa.Text, primary_key=True),
    sa.Column("after_seq", sa.BigInteger, nullable=False),
    sa.Column("moved_at", sa.DateTime, nullable=False),
)

# One row per entering or leaving that an automation looked at; `occurrence` is the change's number in the history of membership.
automation_occurrences = sa.Table(
    "automation_occurrences",
    metadata,
    sa.Column("automation", sa.Text, primary_key=True),
    sa.Column("occurrence", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("customer_id", sa.Text, nullable=False),
    sa.Column("changed_at", sa.DateTime, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("coupon", sa.Text),
    sa.Column("planned_at", sa.DateTime, nullable=False),
    sa.Column("ended_at", sa.DateTime),
    sa.UniqueConstraint("automation", "coupon"),
    sa.Index("automation_occurrences_by_status", "automation", "status"),
)

# One row per code of a pool; `automation` is who gave it, null until then; the occurrence that has it says to whom.
automation_coupons = sa.Table(
    "automation_coupons",
    metadata,
    sa.Column("pool", sa.Text, primary_key=True),
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("automation", sa.Text),
    sa.Column("loaded_at", sa.DateTime, nullable=False),
    sa.Index("automation_coupons_free", "pool", "automation", "code"),
)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One entering or leaving, and what is to come of it. `ended_at`: told, or cancelled for `reason`."""

    automation: str
    occurrence: int
    customer_id: str
    changed_at: datetime
    status: str
    reason: str | None
    coupon: str | None
    planned_at: datetime
    ended_at: datetime | None = None


class OvertakenError(Exception):
    """Somebody else has moved the cursor meanwhile; nothing was written."""


class AutomationRecords:
    """What every automation of an installation has done."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._insert = sqlite.insert if engine.dialect.name == "sqlite" else postgresql.insert

    def cursor(self, automation: str) -> int | None:
        """The last change that it has dealt with; None before its first activation."""
        query = sa.select(automation_cursors.c.after_seq).where(automation_cursors.c.automation == automation)
        with self._engine.connect() as connection:
            return connection.scalar(query)

    def write(
        self,
        automation: str,
        *,
        after: int | None,
        to: int,
        found: Sequence[Occurrence],
        pool: str | None,
        now: datetime,
        on_step: Callable[[str], None] = lambda step: None,
    ) -> list[Occurrence]:
        """Move the cursor from `after` (None: its first activation) to `to`, with what was found on the way; as it was written.

        With a pool every open occurrence takes a code of it, or waits for one. Raises OvertakenError where the cursor is elsewhere.
        """
        with self._engine.begin() as connection:
            self._move(connection, automation, after, to, now)
            known = self._known(connection, automation, [each.occurrence for each in found])
            new = [each for each in found if each.occurrence not in known]
            new = self._with_codes(connection, new, pool) if pool else new
            for some in _chunks(new):
                connection.execute(automation_occurrences.insert(), [_row(each) for each in some])
            on_step("written")
        on_step("committed")
        return new

    def restart(self, automation: str, to: int, now: datetime) -> None:
        """Let an automation go on from another place of the history, such as after that was begun anew."""
        with self._engine.begin() as connection:
            mine = automation_cursors.c.automation == automation
            connection.execute(automation_cursors.delete().where(mine))
            connection.execute(automation_cursors.insert().values(automation=automation, after_seq=to, moved_at=now))

    def of(self, automation: str, *statuses: str) -> list[Occurrence]:
        """Its occurrences of these statuses, in the order of the changes."""
        table = automation_occurrences
        query = sa.select(table).where(table.c.automation == automation, table.c.status.in_(statuses))
        with self._engine.connect() as connection:
            rows = connection.execute(query.order_by(table.c.occurrence)).mappings().all()
        return [Occurrence(**row) for row in rows]

    def newest(self, automation: str, limit: int = 20) -> list[Occurrence]:
        """The newest occurrences, the newest first."""
        table = automation_occurrences
        query = sa.select(table).where(table.c.automation == automation).order_by(table.c.occurrence.desc())
        with self._engine.connect() as connection:
            return [Occurrence(**row) for row in connection.execute(query.limit(limit)).mappings()]

    def since(self, automation: str, earliest: datetime) -> list[tuple[str, int, datetime]]:
        """(customer id, occurrence, when) of everything after `earliest` that was, is or may have been told: what a cool-down counts."""
        table = automation_occurrences
        query = sa.select(table.c.customer_id, table.c.occurrence, table.c.changed_at).where(
            table.c.automation == automation,
            (table.c.status != CANCELLED) | table.c.reason.like(f"%{PERHAPS_TOLD}"),
            table.c.changed_at > earliest,
        )
        with self._engine.connect() as connection:
            return [(row[0], row[1], row[2]) for row in connection.execute(query)]

    def settle(self, automation: str, *, told: Iterable[int], cancelled: Mapping[int, str], now: datetime) -> None:
        """Occurrences that went out, and those that are not to go out any more with the reason."""
        by_reason: dict[str | None, list[int]] = {None: list(told)}
        for occurrence, reason in cancelled.items():
            by_reason.setdefault(reason, []).append(occurrence)
        table = automation_occurrences
        with self._engine.begin() as connection:
            for why, occurrences in by_reason.items():
                values = {"status": CANCELLED if why else TOLD, "reason": why, "ended_at": now}
                for some in _chunks(occurrences):
                    mine = (table.c.automation == automation) & table.c.occurrence.in_(some)
                    connection.execute(table.update().where(mine, table.c.status.in_((OPEN, WAITING))).values(values))

    def give_waiting(self, automation: str, pool: str) -> int:
        """Codes of the pool for those who wait for one, the first come first; how many got one."""
        with self._engine.begin() as connection:
            # writes before it reads: a second process waits here instead of giving the same codes
            table = automation_occurrences
            mine = (table.c.automation == automation) & (table.c.status == WAITING)
            connection.execute(table.update().where(mine).values(status=WAITING))
            rows = connection.execute(sa.select(table).where(mine).order_by(table.c.occurrence)).mappings().all()
            given = [
                each for each in self._with_codes(connection, [Occurrence(**row) for row in rows], pool) if each.coupon
            ]
            for each in given:
                named = (table.c.automation == automation) & (table.c.occurrence == each.occurrence)
                connection.execute(table.update().where(named).values(status=OPEN, coupon=each.coupon))
        return len(given)

    def coupons_of(self, automation: str, codes: Sequence[str]) -> set[str]:
        """Which of these codes it has given already."""
        table = automation_occurrences
        found: set[str] = set()
        with self._engine.connect() as connection:
            for some in _chunks(codes):
                query = sa.select(table.c.coupon).where(table.c.automation == automation, table.c.coupon.in_(some))
                found |= set(connection.scalars(query))
        return found

    def counts(self, automation: str) -> dict[tuple[str, str | None], int]:
        """How many occurrences by status and reason."""
        table = automation_occurrences
        query = sa.select(table.c.status, table.c.reason, sa.func.count()).where(table.c.automation == automation)
        with self._engine.connect() as connection:
            rows = connection.execute(query.group_by(table.c.status, table.c.reason)).all()
        return {(row[0], row[1]): row[2] for row in rows}

    def load(self, pool: str, codes: Sequence[str], now: datetime) -> int:
        """Add codes to a pool; those that it holds, given or not, stay as they are. How many are new."""
        before = sum(self.pools().get(pool, (0, 0)))
        with self._engine.begin() as connection:
            for some in _chunks(codes):
                rows = [{"pool": pool, "code": code, "loaded_at": now} for code in some]
                connection.execute(self._insert(automation_coupons).values(rows).on_conflict_do_nothing())
        return sum(self.pools()[pool]) - before

    def pools(self) -> dict[str, tuple[int, int]]:
        """(codes left, codes given) of every pool."""
        table = automation_coupons
        query = sa.select(table.c.pool, sa.func.count(), sa.func.count(table.c.automation)).group_by(table.c.pool)
        with self._engine.connect() as connection:
            rows: list[Any] = list(connection.execute(query.order_by(table.c.pool)))
        return {pool: (count - given, given) for pool, count, given in rows}

    def _move(self, connection: sa.Connection, automation: str, after: int | None, to: int, now: datetime) -> None:
        table = automation_cursors
        if after is None:
            insert = self._insert(table).values(automation=automation, after_seq=to, moved_at=now)
            moved = connection.execute(insert.on_conflict_do_nothing())
        else:
            mine = (table.c.automation == automation) & (table.c.after_seq == after)
            moved = connection.execute(table.update().where(mine).values(after_seq=to, moved_at=now))
        if moved.rowcount != 1:
            raise OvertakenError

    def _known(self, connection: sa.Connection, automation: str, occurrences: Sequence[int]) -> set[int]:
        table = automation_occurrences
        found: set[int] = set()
        for some in _chunks(occurrences):
            query = sa.select(table.c.occurrence).where(table.c.automation == automation, table.c.occurrence.in_(some))
            found |= set(connection.scalars(query))
        return found

    def _with_codes(self, connection: sa.Connection, found: Sequence[Occurrence], pool: str) -> list[Occurrence]:
        """Open and waiting ones with a code each, as long as there are codes: marked as given in the same transaction."""
        wanting = [each for each in found if each.status in (OPEN, WAITING)]
        table = automation_coupons
        is_free = (table.c.pool == pool) & table.c.automation.is_(None)
        free = sa.select(table.c.code).where(is_free).order_by(table.c.code).limit(len(wanting))
        codes: list[str] = list(connection.scalars(free)) if wanting else []
        given = {each.occurrence: code for each, code in zip(wanting, codes, strict=False)}
        for some in _chunks(codes):
            taken = table.update().where(is_free, table.c.code.in_(some)).values(automation=wanting[0].automation)
            if connection.execute(taken).rowcount != len(some):
                raise OvertakenError
        return [
            replace(each, status=OPEN if each.occurrence in given else WAITING, coupon=given.get(each.occurrence))
            if each.status in (OPEN, WAITING)
            else each
            for each in found
        ]


def _row(each: Occurrence) -> dict[str, Any]:
    return {name: getattr(each, name) for name in Occurrence.__dataclass_fields__}


def _chunks(values: Iterable[Any]) -> Iterator[list[Any]]:
    remaining = iter(values)
    while some := list(islice(remaining, ROWS_AT_ONCE)):
        yield some
