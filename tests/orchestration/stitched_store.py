"""A warehouse in memory with what dbt leaves for the engine, and runs of the engine on it beside full ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import pyarrow as pa
from hypothesis import strategies as st

from identity.rules import Rules
from identity.tables import MEMBERSHIPS
from orchestration.duckdb_warehouse import DuckDBConnection
from orchestration.stitching import Statistics, stitch
from tests.identity.histories import SALT, Identifier, Sighting, as_evidence, day, evidence_id, histories, tables

EMPTY = """
    create schema identity;
    create schema control;
    create table control.current_run (run_seq bigint, since_run_seq bigint);
    create table identity.identifiers (identifier_id varchar, identifier_type varchar, identifier_value varchar);
    create table identity.evidence (
        evidence_id varchar, first_at timestamp, first_source varchar, first_message_id varchar, first_known_at timestamp,
        changed_seq bigint
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
    _changed: dict[str, tuple[Sighting, int]] = field(default_factory=dict)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.native.close()

    def collect(self, sightings: Iterable[Sighting]) -> None:
        """Write what dbt makes of the events, each set marked with the run that changed it."""
        self.run_seq += 1
        evidence = [each for each in as_evidence(sightings) if each.members]
        for each in evidence:
            name = evidence_id(each.members)
            if name not in self._changed or self._changed[name][0] != each:
                self._changed[name] = (each, self.run_seq)
        made = tables(evidence)
        names, ids = made["evidence"]["evidence_id"], made["identifiers"]["identifier_id"]
        changed = pa.array([self._changed[name][1] for name in names.to_pylist()], pa.int64())
        members = made["evidence_identifiers"]
        rows = {
            "identifiers": made["identifiers"],
            "evidence": made["evidence"].append_column("changed_seq", changed),
            "evidence_identifiers": pa.table(
                {
                    "evidence_id": names.take(members["evidence_row"]),
                    "identifier_id": ids.take(members["identifier_row"]),
                }
            ),
        }
        for table, content in rows.items():
            self.connection.execute(f"delete from identity.{table}")
            self.connection.append(f"identity.{table}", content)
        self.connection.execute("delete from control.current_run")
        since = self.run_seq - 1 or None
        self.connection.execute("insert into control.current_run values (?, ?)", [self.run_seq, since])

    def run(
        self,
        sightings: Iterable[Sighting],
        *,
        dates: Sequence[datetime],
        rules: Rules,
        on_step: Callable[[str], None] = lambda _: None,
    ) -> Statistics:
        """Collect and stitch."""
        self.collect(sightings)
        return stitch(self.connection, rules=rules, dates=dates, salt=SALT, on_step=on_step)

    def table(self, name: str) -> list[tuple[object, ...]]:
        """All rows of a table of the engine, in a fixed order."""
        return sorted(self.connection.rows(f"select * from identity.{name}"), key=repr)

    def memberships(self) -> pa.Table:
        """The memberships, as the engine gives them."""
        return self.connection.arrow(f"select {', '.join(MEMBERSHIPS.names)} from identity.memberships")

    def changes(self) -> set[tuple[str, str]]:
        """What the last run said has changed."""
        query = "select identifier_id, customer_id from identity.membership_changes where run_seq = ?"
        return {(identifier, customer) for identifier, customer in self.connection.rows(query, [self.run_seq])}


def held_at(memberships: pa.Table, date: datetime) -> dict[Identifier, str]:
    """identifier -> customer as known at a date in use."""
    return {
        (row["identifier_type"], row["identifier_value"]): row["customer_id"]
        for row in memberships.to_pylist()
        if row["known_from"] <= date and (row["known_to"] is None or date < row["known_to"])
    }


@dataclass(frozen=True)
class Step:
    """One run of a shop's life: all that has landed by then and is known, and the dates in use."""

    known: list[Sighting]
    dates: list[datetime]


@st.composite
def lives(draw: st.DrawFn, size: int = 20) -> list[Step]:
    """Two to four runs over a random history: late and repeated events, clocks at random cuts, dates that come and go."""
    history = draw(histories(size=size))
    repeated = draw(st.lists(st.sampled_from(history), max_size=4)) if history else []
    landed = [*history, *repeated]
    batch = draw(st.lists(st.integers(0, 3), min_size=len(landed), max_size=len(landed)))
    clocks = sorted(draw(st.lists(st.integers(3, 16), min_size=2, max_size=4, unique=True)))
    steps = []
    for number, clock in enumerate(clocks):
        known = [each for each, turn in zip(landed, batch, strict=True) if turn <= number and each.known < day(clock)]
        earlier = draw(st.sets(st.integers(2, clock - 1), max_size=3))
        steps.append(Step(known, [day(2), *(day(date) for date in sorted(earlier - {2})), day(clock)]))
    return steps
