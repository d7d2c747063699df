"""Small histories for the tests: sightings as they are written down, as the engine's tables, and at random."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import networkx as nx
import pyarrow as pa
from hypothesis import strategies as st

from identity.engine import Resolution, resolve
from identity.rules import HotLimits, IdentifierType, Review, Rules, load_rules
from identity.tables import DECISIONS, EVENTS, EVIDENCE, EVIDENCE_IDENTIFIERS, IDENTIFIERS, LEDGER, MEMBERSHIPS
from identity.visits import EventsOf

SALT = "a salt for tests"
Identifier = tuple[str, str]
_TYPES = {"user": "user_id", "email": "email", "phone": "phone", "card": "loyalty_id", "device": "device_id",
          "cookie": "anonymous_id", "what": "no_such_type"}  # fmt: skip


@dataclass(frozen=True)
class Sighting:
    """One set of identifiers at its earliest key; `known` is when the business got it (default: at once)."""

    at: datetime
    members: frozenset[Identifier]
    known: datetime
    source: str = "web"
    message_id: str = ""

    @property
    def key(self) -> tuple[datetime, str, str]:
        """Its place in the order of evidence."""
        return self.at, self.source, self.message_id


@dataclass(frozen=True)
class Decision:
    """What a person decided; `sides` has two for a wall, one otherwise."""

    action: str
    sides: tuple[tuple[Identifier, ...], ...]


def names(text: str) -> tuple[Identifier, ...]:
    """Identifiers from names such as 'cookie:1 email:anna'."""
    return tuple((_TYPES[kind], value) for kind, value in (name.split(":", 1) for name in text.split()))


def link(text: str) -> Decision:
    return Decision("link", (names(text),))


def wall(one: str, other: str) -> Decision:
    return Decision("wall", (names(one), names(other)))


def refuse(text: str) -> Decision:
    return Decision("refuse", (names(text),))


def decisions_table(decisions: Sequence[Decision]) -> pa.Table:
    """Decisions as the engine gets them."""
    rows = [
        (number, each.action, side, *name)
        for number, each in enumerate(decisions, start=1)
        for side, listed in enumerate(each.sides)
        for name in listed
    ]
    return pa.Table.from_pylist([dict(zip(DECISIONS.names, row, strict=True)) for row in rows], DECISIONS)


def day(number: float) -> datetime:
    return datetime(2024, 1, 1) + timedelta(days=number)


def seen(at: float, text: str, *, known: float | None = None, source: str = "web", message: str = "") -> Sighting:
    """A sighting at day `at` from names such as 'cookie:1 email:anna'."""
    members = frozenset(names(text))
    return Sighting(day(at), members, day(at if known is None else known), source, message or f"m{at}-{text}")


def identifier_id(identifier: Identifier) -> str:
    return hashlib.md5(":".join(identifier).encode(), usedforsecurity=False).hexdigest()


def evidence_id(members: frozenset[Identifier]) -> str:
    return hashlib.md5("|".join(sorted(map(identifier_id, members))).encode(), usedforsecurity=False).hexdigest()


def as_evidence(sightings: Iterable[Sighting]) -> list[Sighting]:
    """What dbt makes of events: a row per distinct set as soon as it is known, and one more for every event that is learnt
    later and is earlier by key."""
    found: dict[frozenset[Identifier], list[Sighting]] = {}
    for new in sorted(sightings, key=lambda each: (each.known, each.key)):
        rows = found.setdefault(new.members, [])
        if not rows or new.key < rows[-1].key:
            rows.append(new)
    return [each for rows in found.values() for each in rows]


def tables(sightings: Iterable[Sighting]) -> dict[str, pa.Table]:
    evidence = [each for each in as_evidence(sightings) if each.members]
    listed = sorted({name for each in evidence for name in each.members})
    place = {name: number for number, name in enumerate(listed)}
    return {
        "identifiers": pa.Table.from_pylist(
            [dict(zip(IDENTIFIERS.names, (identifier_id(name), *name), strict=True)) for name in listed], IDENTIFIERS
        ),
        "evidence": pa.Table.from_pylist(
            [
                dict(zip(EVIDENCE.names, (evidence_id(e.members), e.at, e.source, e.message_id, e.known), strict=True))
                for e in evidence
            ],
            EVIDENCE,
        ),
        "evidence_identifiers": pa.Table.from_pylist(
            [
                {"evidence_row": row, "identifier_row": place[name]}
                for row, each in enumerate(evidence)
                for name in each.members
            ],
            EVIDENCE_IDENTIFIERS,
        ),
    }


def events_of(sightings: Sequence[Sighting], given: dict[str, pa.Table]) -> EventsOf:
    """The events of sets of evidence, as the warehouse gives them."""
    ids = given["evidence"]["evidence_id"].to_pylist()
    by_set: dict[str, list[Sighting]] = {}
    for each in set(sightings):
        by_set.setdefault(evidence_id(each.members), []).append(each)

    def events(rows: pa.Array) -> pa.Table:
        found = [(row, e.at, e.source, e.message_id, e.known) for row in rows.to_pylist() for e in by_set[ids[row]]]
        return pa.Table.from_pylist([dict(zip(EVENTS.names, row, strict=True)) for row in found], EVENTS)

    return events


@dataclass(frozen=True)
class Run:
    """One run of the engine and the state that the next one gets."""

    result: Resolution
    ledger: pa.Table

    @property
    def memberships(self) -> pa.Table:
        return self.result.memberships


def run(
    sightings: Iterable[Sighting],
    *,
    dates: Sequence[datetime],
    rules: Rules | None = None,
    after: Run | None = None,
    decisions: Sequence[Decision] = (),
    **changed: Any,
) -> Run:
    """Run the engine, on top of the state that `after` left."""
    ledger = after.ledger if after else LEDGER.empty_table()
    previous = after.memberships if after else MEMBERSHIPS.empty_table()
    sightings = list(sightings)
    given = (
        tables(sightings) | {"ledger": ledger, "previous": previous, "decisions": decisions_table(decisions)} | changed
    )
    given.setdefault("events_of", events_of(sightings, given))
    result = resolve(**given, rules=rules or load_rules(), dates=dates, salt=SALT)
    return Run(result, pa.concat_tables([ledger, result.new_ledger_rows]))


def customers(done: Run, at: datetime | None = None) -> dict[Identifier, str]:
    """identifier -> customer id as known at a date (None: now), of those that are one customer's."""
    found = {}
    for row in done.memberships.to_pylist():
        if row["valid_from"] is not None:
            continue
        holds = row["known_to"] is None if at is None else row["known_from"] <= at
        if holds and (at is None or row["known_to"] is None or at < row["known_to"]):
            name = (row["identifier_type"], row["identifier_value"])
            assert name not in found, f"{name} has two customers"
            found[name] = row["customer_id"]
    return found


def owners(done: Run, sightings: Sequence[Sighting], at: datetime, rules: Rules) -> dict[Sighting, str | None]:
    """Whose each event known at a date is, by the tables that the engine gives: what the warehouse's SQL does."""
    reviewed = {
        row["evidence_id"]
        for row in done.result.review_queue.to_pylist()
        if row["known_from"] <= at and (row["known_to"] is None or at < row["known_to"])
    }
    rows: dict[Identifier, list[dict[str, Any]]] = {}
    for row in done.memberships.to_pylist():
        if row["known_from"] <= at and (row["known_to"] is None or at < row["known_to"]):
            rows.setdefault((row["identifier_type"], row["identifier_value"]), []).append(row)
    kinds, found = rules.identifier_types, {}
    for event in {each for each in sightings if each.known < at}:
        held = evidence_id(event.members) in reviewed
        ranked = sorted(
            (not kinds[name[0]].is_strong, rows[name][0]["valid_from"] is not None, kinds[name[0]].priority, name)
            for name in event.members
            if name in rows and not (held and kinds[name[0]].is_strong)
        )
        of_first = rows[ranked[0][3]] if ranked else []
        here = [
            row["customer_id"]
            for row in of_first
            if row["valid_from"] is None or row["valid_from"] <= event.at < row["valid_to"]
        ]
        assert len(here) == bool(ranked), "an event is in no run of visits, or in two"
        found[event] = here[0] if here else None
    return found


def groups(held: dict[Identifier, str]) -> set[frozenset[Identifier]]:
    """Who is together, whatever the ids."""
    by_customer: dict[str, set[Identifier]] = {}
    for name, customer in held.items():
        by_customer.setdefault(customer, set()).add(name)
    return {frozenset(names) for names in by_customer.values()}


def strict_rules(limit: int = 2) -> Rules:
    """The packaged rules with limits that small histories reach."""
    hot = HotLimits(limit=limit, per_pair={"device_id": {"email": max(1, limit - 1)}})
    limits = {"user_id": 1, "email": 2, "phone": 2, "loyalty_id": 1, "device_id": 2, "anonymous_id": 3}
    return load_rules().model_copy(update={"hot": hot, "limits": limits, "review": Review(groups=2)})


def free_rules() -> Rules:
    """The packaged rules without a limit per customer and without review: what evidence connects is joined, walls, hot and
    shared identifiers apart."""
    return load_rules().model_copy(update={"limits": {}, "review": Review(groups=10**6)})


def only_strong(sightings: Iterable[Sighting]) -> list[Sighting]:
    """The same without weak identifiers."""
    kinds = load_rules().identifier_types
    left = [(each, frozenset(n for n in each.members if n[0] in kinds and kinds[n[0]].is_strong)) for each in sightings]
    return [replace(each, members=members) for each, members in left if members]


def rules_blocking(identifier_type: str, *values: str) -> Rules:
    """The packaged rules with more blocked values of one type."""
    rules = load_rules()
    listed = rules.blocked[identifier_type]
    more = listed.model_copy(update={"values": [*listed.values, *values]})
    return rules.model_copy(update={"blocked": {**rules.blocked, identifier_type: more}})


_NAMES = [(kind, value) for kind in _TYPES.values() for value in ("1", "2", "3")]
_NAMES += [("email", "null"), ("phone", "000")]
_NAMES += [("email", str(number)) for number in range(4, 8)] + [("anonymous_id", str(number)) for number in range(4, 8)]


@st.composite
def histories(draw: st.DrawFn, size: int = 14) -> list[Sighting]:
    """Random sightings over ten days, some learnt late, with junk, shared identifiers and equal instants."""
    sighting = st.builds(
        lambda at, minutes, late, members, source, number: Sighting(
            day(at + minutes / 1440), frozenset(members), day(at + minutes / 1440 + late), source, f"m{number}"
        ),
        st.integers(0, 9),
        st.sampled_from([0, 0, 1, 20, 45, 75]),
        st.sampled_from([0.0, 0.0, 0.0, 0.5, 3.0]),
        st.lists(st.sampled_from(_NAMES), min_size=1, max_size=4),
        st.sampled_from(["web", "pos"]),
        st.integers(0, 10**6),
    )
    return draw(st.lists(sighting, max_size=size, unique_by=lambda each: (each.at, each.source, each.message_id)))


@st.composite
def some_dates(draw: st.DrawFn) -> list[datetime]:
    """One to three dates, ascending, the last after everything is known."""
    earlier = draw(st.lists(st.integers(1, 12), max_size=2, unique=True))
    return [*map(day, sorted(earlier)), day(20)]


def with_other_types() -> Rules:
    """Rules that list a type more, strong, and leave one out."""
    rules = load_rules()
    kinds = {**rules.identifier_types, "upi_id": IdentifierType(priority=4, strength="strong")}
    return rules.model_copy(update={"identifier_types": kinds})


@st.composite
def some_decisions(draw: st.DrawFn) -> list[Decision]:
    """Up to four decisions that do not contradict each other: no wall between what links join."""
    drawn = draw(st.lists(st.tuples(st.sampled_from(["link", "wall", "wall", "refuse"]), _SIDE, _SIDE), max_size=4))
    chosen: list[Decision] = []
    for action, one, other in drawn:
        new = Decision(action, (tuple(one), tuple(other)) if action == "wall" else (tuple(one),))
        if _fits([*chosen, new]):
            chosen.append(new)
    return chosen


_SIDE = st.lists(st.sampled_from(_NAMES), min_size=1, max_size=3, unique=True)


def _fits(decisions: Sequence[Decision]) -> bool:
    graph: nx.Graph = nx.Graph()
    for each in decisions:
        if each.action == "link":
            nx.add_path(graph, each.sides[0])
    for each in decisions:
        if each.action == "wall":
            graph.add_nodes_from([*each.sides[0], *each.sides[1]])
            joined = [nx.node_connected_component(graph, name) & set(each.sides[1]) for name in each.sides[0]]
            if any(joined):
                return False
    return True
