"""Exclusion lists in the operator state: whom nobody may publish, everywhere, in one audience, or to one destination."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from orchestration.gate_revisions import bump, revision
from orchestration.state_tables import metadata

CUSTOMER_ID = "customer_id"
EVERYWHERE: tuple[Literal["everywhere"], str] = ("everywhere", "")
Kind = Literal["everywhere", "audience", "destination"]
Named = tuple[str, str]
"""Type (`customer_id`, or a type of identifier) and normalised value."""

# One row per identifier that was ever put on a list; the values are personal data, as in identity_decisions.
exclusions = sa.Table(
    "exclusions",
    metadata,
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("identifier_type", sa.Text, nullable=False),
    sa.Column("identifier_value", sa.Text, nullable=False),
    sa.Column("note", sa.Text, nullable=False),
    sa.Column("made_by", sa.Text, nullable=False),
    sa.Column("made_at", sa.DateTime, nullable=False),
    sa.Column("withdrawn_by", sa.Text),
    sa.Column("withdrawn_at", sa.DateTime),
    sqlite_autoincrement=True,
)
_NAMED = (exclusions.c.identifier_type, exclusions.c.identifier_value)


@dataclass(frozen=True)
class Exclusion:
    """One identifier on one list: who put it there, when and why, and who took it off; instants are naive UTC."""

    seq: int
    kind: Kind
    name: str
    identifier_type: str
    identifier_value: str
    note: str
    made_by: str
    made_at: datetime
    withdrawn_by: str | None
    withdrawn_at: datetime | None

    @property
    def where(self) -> str:
        """The list in words."""
        return self.kind if self.kind == "everywhere" else f"{self.kind} {self.name}"


class Exclusions:
    """All lists of one installation. What was taken off stays readable."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def revision(self) -> int:
        """A number that grows with every change."""
        return revision(self._engine, "exclusions")

    def add(
        self,
        names: Sequence[Named],
        *,
        where: tuple[Kind, str] = EVERYWHERE,
        note: str,
        made_by: str,
        now: datetime,
    ) -> int:
        """Put identifiers on a list; returns how many were not on it yet."""
        with self._engine.begin() as connection:
            there = {tuple(row) for row in connection.execute(_in_force(where, *_NAMED))}
            new = [name for name in dict.fromkeys(names) if name not in there]
            if new:
                common = {"kind": where[0], "name": where[1], "note": note, "made_by": made_by, "made_at": now}
                rows = [{"identifier_type": kind, "identifier_value": value, **common} for kind, value in new]
                connection.execute(exclusions.insert(), rows)
                bump(connection, "exclusions")
        return len(new)

    def remove(self, names: Sequence[Named], *, where: tuple[Kind, str] = EVERYWHERE, by: str, now: datetime) -> int:
        """Take identifiers off a list; returns how many were on it."""
        wanted = set(names)
        with self._engine.begin() as connection:
            rows = connection.execute(_in_force(where, exclusions.c.seq, *_NAMED))
            seqs = [row.seq for row in rows if (row.identifier_type, row.identifier_value) in wanted]
            for seq in seqs:
                changed = exclusions.update().where(exclusions.c.seq == seq)
                connection.execute(changed.values(withdrawn_by=by, withdrawn_at=now))
            if seqs:
                bump(connection, "exclusions")
        return len(seqs)

    def list(self, *, with_withdrawn: bool = False) -> list[Exclusion]:
        """All that are in force, in the order in which they were made."""
        query = sa.select(exclusions).order_by(exclusions.c.seq)
        if not with_withdrawn:
            query = query.where(exclusions.c.withdrawn_at.is_(None))
        with self._engine.begin() as connection:
            return [Exclusion(**row) for row in connection.execute(query).mappings()]


def _in_force(where: tuple[Kind, str], *columns: "sa.Column[Any]") -> "sa.Select[Any]":
    kind, name = where
    return sa.select(*columns).where(
        exclusions.c.kind == kind, exclusions.c.name == name, exclusions.c.withdrawn_at.is_(None)
    )
