"""Small histories for the tests: sightings as they are written down, as the engine's tables, and at random."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from identity.engine import Resolution, resolve
from identity.rules import HotLimits, IdentifierType, Rules, load_rules
from identity.tables import EVIDENCE, EVIDENCE_IDENTIFIERS, IDENTIFIERS, LEDGER, MEMBERSHIPS

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


def day(number: float) -> datetime:
    return datetime(2024, 1, 1) + timedelta(days=number)


def seen(at: float, names: str, *, known: float | None = None, source: str = "web", message: str = "") -> Sighting:
    """A sighting at day `at` from names such as 'cookie:1 email:anna'."""
    pairs = (name.split(":", 1) for name in names.split())
    members = frozenset((_TYPES[kind], value) for kind, value in pairs)
    return Sighting(day(at), members, day(at if known is None else known), source, message or f"m{at}-{names}")


def identifier_id(identifier: Identifier) -> str:
    return hashlib.md5(":".join(identifier).encode(), usedforsecurity=False).hexdigest()


def evidence_id(members: frozenset[Identifier]) -> str:
    return hashlib.md5("|".join(sorted(map(identifier_id, members))).encode(), usedforsecurity=False).hexdigest()


def as_evidence(sightings: Iterable[Sighting]) -> list[Sighting]:
    """What dbt makes of events: one row per distinct set, at its earliest key, known since its first event."""
    best: dict[frozenset[Identifier], Sighting] = {}
    for new in sightings:
        old = best.get(new.members, new)
        first = min(old, new, key=lambda each: (each.at, each.source, each.message_id))
        best[new.members] = Sighting(first.at, first.members, min(old.known, new.known), first.source, first.message_id)
    return list(best.values())


def tables(sightings: Iterable[Sighting]) -> dict[str, pa.Table]:
    evidence = [each for each in as_evidence(sightings) if each.members]
    names = sorted({name for each in evidence for name in each.members})
    place = {name: number for number, name in enumerate(names)}
    return {
        "identifiers": pa.Table.from_pylist(
            [dict(zip(IDENTIFIERS.names, (identifier_id(name), *name), strict=True)) for name in names], IDENTIFIERS
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
    **changed: Any,
) -> Run:
    """Run the engine, on top of the state that `after` left."""
    ledger = after.ledger if after else LEDGER.empty_table()
    previous = after.memberships if after else MEMBERSHIPS.empty_table()
    given = tables(sightings) | {"ledger": ledger, "previous": previous} | changed
    result = resolve(**given, rules=rules or load_rules(), dates=dates, salt=SALT)
    return Run(result, pa.concat_tables([ledger, result.new_ledger_rows]))


def customers(done: Run, at: datetime | None = None) -> dict[Identifier, str]:
    """identifier -> customer id as known at a date (None: now)."""
    found = {}
    for row in done.memberships.to_pylist():
        holds = row["known_to"] is None if at is None else row["known_from"] <= at
        if holds and (at is None or row["known_to"] is None or at < row["known_to"]):
            name = (row["identifier_type"], row["identifier_value"])
            assert name not in found, f"{name} has two customers"
            found[name] = row["customer_id"]
    return found


def groups(held: dict[Identifier, str]) -> set[frozenset[Identifier]]:
    """Who is together, whatever the ids."""
    by_customer: dict[str, set[Identifier]] = {}
    for name, customer in held.items():
        by_customer.setdefault(customer, set()).add(name)
    return {frozenset(names) for names in by_customer.values()}


def strict_rules(limit: int = 2) -> Rules:
    """The packaged rules with a hot limit that small histories reach."""
    return load_rules().model_copy(update={"hot": HotLimits(limit=limit, per_pair={"device_id": {"email": 1}})})


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
        lambda at, late, members, source, number: Sighting(
            day(at), frozenset(members), day(at + late), source, f"m{number}"
        ),
        st.integers(0, 9),
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
