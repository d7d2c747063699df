"""Decisions about identity in the operator state: an append-only list of what people decided, each in force until it is withdrawn."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import sqlalchemy as sa

from identity.decisions import Contradiction, judge
from identity.tables import DECISIONS
from orchestration.errors import DecisionError
from orchestration.state_tables import metadata

LOCK = 0x57656664
Identifier = tuple[str, str]
"""Type and normalised value."""

# One row per decision. `sides` holds the identifiers, [[[type, value], ...], ...]: personal data, like the events themselves.
identity_decisions = sa.Table(
    "identity_decisions",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("command", sa.Text, nullable=False),
    sa.Column("sides", sa.Text, nullable=False),
    sa.Column("review_id", sa.Text),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("made_at", sa.DateTime, nullable=False),
    sa.Column("withdrawn_by", sa.Text),
    sa.Column("withdrawn_at", sa.DateTime),
)


@dataclass(frozen=True)
class Decision:
    """What a person wants to be so: an action of identity.decisions on one or two sides of identifiers."""

    action: str
    command: str
    sides: tuple[tuple[Identifier, ...], ...]
    review_id: str | None = None

    def table(self, seq: int) -> pa.Table:
        """The decision as rows of DECISIONS, each identifier once a side."""
        rows = [
            (seq, self.action, side, kind, value)
            for side, names in enumerate(self.sides)
            for kind, value in dict.fromkeys(names)
        ]
        columns = zip(*rows, strict=True) if rows else [[] for _ in DECISIONS]
        return pa.table(dict(zip(DECISIONS.names, map(list, columns), strict=True)), schema=DECISIONS)


@dataclass(frozen=True)
class Recorded:
    """A decision as it was made: `seq` is its number for ever; withdrawn ones stay in the list and count no more."""

    seq: int
    decision: Decision
    note: str
    made_by: str
    made_at: datetime
    withdrawn_by: str | None
    withdrawn_at: datetime | None

    @property
    def is_in_force(self) -> bool:
        """Whether the next run obeys it."""
        return self.withdrawn_at is None

    def sentence(self) -> str:
        """Which decision it is, without the identifiers it names."""
        return f"decision {self.seq} (weft {self.decision.command}, {self.made_at:%Y-%m-%d})"


class DecisionRecords:
    """All decisions of one installation. Two commands at once are judged one after the other."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, decision: Decision, *, note: str, made_by: str, now: datetime) -> tuple[Recorded, bool]:
        """Put a decision in force; returns it, and whether it is new (the same one may be in force already).

        Raises DecisionError, naming the others by number, where it contradicts those in force.
        """
        with self._alone() as connection:
            records = _read(connection)
            standing = [record for record in records if record.is_in_force]
            for record in standing:
                if _meaning(record.decision) == _meaning(decision):
                    return record, False
            seq = max((record.seq for record in records), default=0) + 1
            contradiction = judge(_table(standing), decision.table(seq))
            if contradiction is not None:
                raise DecisionError(_refusal(contradiction, {record.seq: record for record in standing}))
            recorded = Recorded(seq, decision, note, made_by, now, None, None)
            connection.execute(identity_decisions.insert().values(_row(recorded)))
        return recorded, True

    def withdraw(self, seq: int, *, by: str, now: datetime) -> Recorded:
        """Take a decision back: from the next run on it is as if it had not been made. Raises DecisionError."""
        with self._alone() as connection:
            record = next(iter(_read(connection, seq)), None)
            if record is None:
                raise DecisionError(
                    f"There is no decision {seq}; `weft identity decisions` shows those that were made."
                )
            if record.withdrawn_at is not None:
                raise DecisionError(f"Decision {seq} was withdrawn on {record.withdrawn_at:%Y-%m-%d} already.")
            connection.execute(
                identity_decisions.update()
                .where(identity_decisions.c.seq == seq)
                .values(withdrawn_by=by, withdrawn_at=now)
            )
        return record

    def list(self, *, with_withdrawn: bool = False) -> list[Recorded]:
        """Decisions in the order in which they were made."""
        with self._engine.begin() as connection:
            return [record for record in _read(connection) if with_withdrawn or record.is_in_force]

    def by_seq(self) -> dict[int, Recorded]:
        """Every decision by its number, withdrawn ones too."""
        return {record.seq: record for record in self.list(with_withdrawn=True)}

    def of_review(self, review_id: str) -> Recorded | None:
        """The decision in force that approved or refused a review."""
        return next((record for record in self.list() if record.decision.review_id == review_id), None)

    def table(self) -> pa.Table:
        """What the identity engine obeys: the decisions in force as DECISIONS."""
        return _table(self.list())

    @contextmanager
    def _alone(self) -> Iterator[sa.Connection]:
        """A transaction that nobody else decides beside."""
        with self._engine.connect() as connection:
            if connection.dialect.name == "sqlite":
                # a transaction that starts by reading would be judged on what another is about to change
                connection.exec_driver_sql("begin immediate")
            else:
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK)))
            yield connection
            connection.commit()


def _read(connection: sa.Connection, seq: int | None = None) -> list[Recorded]:
    query = sa.select(identity_decisions).order_by(identity_decisions.c.seq)
    if seq is not None:
        query = query.where(identity_decisions.c.seq == seq)
    return [_recorded(row) for row in connection.execute(query).mappings()]


def _recorded(row: sa.RowMapping) -> Recorded:
    sides = tuple(tuple((kind, value) for kind, value in side) for side in json.loads(row["sides"]))
    decision = Decision(row["action"], row["command"], sides, row["review_id"])
    rest = ("note", "made_by", "made_at", "withdrawn_by", "withdrawn_at")
    return Recorded(row["seq"], decision, **{name: row[name] for name in rest})


def _row(recorded: Recorded) -> dict[str, object]:
    decision = recorded.decision
    return {
        "seq": recorded.seq,
        "action": decision.action,
        "command": decision.command,
        "sides": json.dumps(decision.sides, ensure_ascii=False),
        "review_id": decision.review_id,
        "note": recorded.note,
        "made_by": recorded.made_by,
        "made_at": recorded.made_at,
    }


def _table(records: Sequence[Recorded]) -> pa.Table:
    return pa.concat_tables([DECISIONS.empty_table(), *(record.decision.table(record.seq) for record in records)])


def _meaning(decision: Decision) -> tuple[str, frozenset[frozenset[Identifier]], str | None]:
    return decision.action, frozenset(frozenset(side) for side in decision.sides), decision.review_id


def _refusal(contradiction: Contradiction, others: Mapping[int, Recorded]) -> str:
    if contradiction.breaks == "itself":
        return "An identifier cannot be kept apart from itself; name it on one side only."
    seqs = contradiction.decision_seqs
    named = " and ".join(others[seq].sentence() for seq in seqs[:3]) + (
        f" and {len(seqs) - 3} more" if len(seqs) > 3 else ""
    )
    said = {
        "wall": f"It would make one person of identifiers that {named} keeps apart",
        "refusal": f"It would join all identifiers of the review that {named} refused",
        "links": f"It would keep apart identifiers that {named} made one person",
    }[contradiction.breaks]
    return f"{said}; `weft identity withdraw {seqs[0]}` takes that back, if it was wrong."
