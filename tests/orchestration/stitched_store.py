"""A warehouse in memory with what dbt leaves for the engine, and runs of the engine on it beside full ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from identity.rules import Rules
from identity.tables import MEMBERSHIPS
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.stitching import Statistics, stitch
from tests.identity.histories import (
    SALT,
    Decision,
    Identifier,
    Sighting,
    as_evidence,
    day,
    decisions_table,
    evidence_id,
    histories,
    identifier_id,
    some_decisions,
)

EMPTY = """
    create schema identity;
    create schema control;
    create table control.current_run (run_seq bigint, since_run_seq bigint);
    create table identity.event_evidence (
        landed_seq bigint, evidence_id varchar, source varchar, message_id varchar, known_at timestamp, ordered_at timestamp
    );
    create table identity.identifiers (identifier_id varchar, identifier_type varchar, identifier_value varchar);
    create table identity.evidence (
        evidence_id varchar, first_at timestamp, first_source varchar, first_message_id varchar, key_known_at timestamp,
        first_known_at timestamp, changed_seq bigint
    );
    create table identity.superseded_keys (
        evidence_id varchar, first_at timestamp, first_source varchar, first_message_id varchar, first_known_at timestamp,
        superseded_at timestamp
    );
    create table identity.evidence_identifiers (evidence_id varchar, identifier_id varchar);
"""


def connect(path: str = ":memory:") -> DuckDBConnection:
    """An empty warehouse that has the tables which the engine reads."""
    native = duckdb.connect(path)
    native.execute("set threads = 1")
    native.execute(EMPTY)
    return DuckDBConnection(native)


@dataclass
class Store:
    """The warehouse of a shop; `run` lands everything known so far anew, as dbt would have it by then."""

    connection: DuckDBConnection = field(default_factory=connect)
    run_seq: int = 0
    _changed: dict[str, tuple[list[Sighting], int]] = field(default_factory=dict)
    _landed: dict[tuple[Sighting, int], int] = field(default_factory=dict)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.native.close()

    def collect(self, known: Iterable[Sighting], *, landed: Iterable[Sighting] | None = None) -> None:
        """Write what dbt makes of the events, each set marked with the run that changed it. `landed` may hold events that are
        not known yet (default: those that are known)."""
        self.run_seq += 1
        known = list(known)
        self._collect_events(known if landed is None else landed)
        sets: dict[str, list[Sighting]] = {}
        for each in as_evidence(known):
            if each.members:
                sets.setdefault(evidence_id(each.members), []).append(each)
        for name, keys in sets.items():
            if name not in self._changed or self._changed[name][0] != keys:
                self._changed[name] = (keys, self.run_seq)
        names = sorted({name for keys in sets.values() for name in keys[0].members})
        self._fill("identifiers", ((identifier_id(name), *name) for name in names))
        self._fill(
            "evidence_identifiers",
            ((name, identifier_id(member)) for name, keys in sets.items() for member in keys[0].members),
        )
        self._fill(
            "evidence",
            (
                (name, *keys[-1].key, keys[-1].known, keys[0].known, self._changed[name][1])
                for name, keys in sets.items()
            ),
        )
        self._fill(
            "superseded_keys",
            ((name, *key.key, key.known, later.known) for name, keys in sets.items() for key, later in pairwise(keys)),
        )
        self.connection.execute("delete from control.current_run")
        since = self.run_seq - 1 or None
        self.connection.execute("insert into control.current_run values (?, ?)", [self.run_seq, since])

    def _collect_events(self, landed: Iterable[Sighting]) -> None:
        seen: Counter[Sighting] = Counter()
        for each in landed:
            seen[each] += 1
            self._landed.setdefault((each, seen[each]), len(self._landed) + 1)
        self._fill(
            "event_evidence",
            (
                (seq, evidence_id(each.members), each.source, each.message_id, each.known, each.at)
                for (each, _), seq in self._landed.items()
                if each.members
            ),
        )

    def _fill(self, table: str, rows: Iterable[tuple[object, ...]]) -> None:
        self.connection.execute(f"delete from identity.{table}")
        filled = list(rows)
        if filled:
            columns = [pa.array(column) for column in zip(*filled, strict=True)]
            names = [f"c{number}" for number in range(len(columns))]
            self.connection.native.register("filled", pa.Table.from_arrays(columns, names))
            self.connection.execute(f"insert into identity.{table} select * from filled")
            self.connection.native.unregister("filled")

    def run(
        self,
        sightings: Iterable[Sighting],
        *,
        dates: Sequence[datetime],
        rules: Rules,
        decisions: Sequence[Decision] = (),
        landed: Iterable[Sighting] | None = None,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> Statistics:
        """Collect and stitch."""
        self.collect(sightings, landed=landed)
        given = decisions_table(decisions)
        return stitch(self.connection, rules=rules, decisions=given, dates=dates, salt=SALT, on_step=on_step)

    def table(self, name: str) -> list[tuple[object, ...]]:
        """All rows of a table of the engine, in a fixed order."""
        return sorted(self.connection.rows(f"select * from identity.{name}"), key=repr)

    def arrow(self, name: str, schema: pa.Schema) -> pa.Table:
        """A table of the engine as the engine gives it."""
        return self.connection.arrow(f"select {', '.join(schema.names)} from identity.{name}")

    def memberships(self) -> pa.Table:
        """The memberships, as the engine gives them."""
        return self.arrow("memberships", MEMBERSHIPS)

    def changes(self) -> set[tuple[str, str]]:
        """What the last run said has changed."""
        query = "select identifier_id, customer_id from identity.membership_changes where run_seq = ?"
        return {(identifier, customer) for identifier, customer in self.connection.rows(query, [self.run_seq])}


def held_at(memberships: pa.Table, date: datetime) -> dict[Identifier, str]:
    """identifier -> customer as known at a date in use, of those that are one customer's."""
    return {
        (row["identifier_type"], row["identifier_value"]): row["customer_id"]
        for row in known_at(memberships, date)
        if row["valid_from"] is None
    }


def periods_at(memberships: pa.Table, date: datetime) -> set[tuple[Identifier, str, datetime | None, datetime | None]]:
    """Who holds what from when to when, as known at a date in use."""
    return {
        (
            (row["identifier_type"], row["identifier_value"]),
            row["customer_id"],
            row["valid_from"],
            row["valid_to"],
        )
        for row in known_at(memberships, date)
    }


def known_at(rows: pa.Table, date: datetime) -> list[dict[str, Any]]:
    """The rows of a table with known intervals that hold at a date in use."""
    return [
        row
        for row in rows.to_pylist()
        if row["known_from"] <= date and (row["known_to"] is None or date < row["known_to"])
    ]


@dataclass(frozen=True)
class Step:
    """One run of a shop's life: all that has landed by then, what of it is known, the dates in use, and the decisions in force
    (one that is not has no sides, so that the others keep their numbers)."""

    landed: list[Sighting]
    known: list[Sighting]
    dates: list[datetime]
    decisions: list[Decision]


@st.composite
def lives(draw: st.DrawFn, size: int = 20) -> list[Step]:
    """Two to four runs over a random history: late and repeated events, clocks at random cuts, dates and decisions that come
    and go."""
    history = draw(histories(size=size))
    repeated = draw(st.lists(st.sampled_from(history), max_size=4)) if history else []
    again = [
        replace(each, at=each.at + shift, known=each.known + shift, message_id=f"again {number}")
        for number, (each, shift) in enumerate(
            draw(st.lists(st.tuples(st.sampled_from(history), st.sampled_from(SHIFTS)), max_size=6)) if history else []
        )
    ]
    events = [*history, *repeated, *again]
    batch = draw(st.lists(st.integers(0, 3), min_size=len(events), max_size=len(events)))
    clocks = sorted(draw(st.lists(st.integers(3, 16), min_size=2, max_size=4, unique=True)))
    pool = draw(some_decisions())
    steps = []
    for number, clock in enumerate(clocks):
        landed = [each for each, turn in zip(events, batch, strict=True) if turn <= number]
        earlier = draw(st.sets(st.integers(2, clock - 1), max_size=3))
        in_force = draw(st.sets(st.integers(0, len(pool) - 1))) if pool else set()
        steps.append(
            Step(
                landed=landed,
                known=[each for each in landed if each.known < day(clock)],
                dates=[day(2), *(day(date) for date in sorted(earlier - {2})), day(clock)],
                decisions=[each if place in in_force else Decision("link", ()) for place, each in enumerate(pool)],
            )
        )
    return steps


SHIFTS = (timedelta(0), timedelta(minutes=5), timedelta(minutes=50), timedelta(days=4), timedelta(days=-1))
"""How much later a set of identifiers is seen once more."""
