"""What the served build says of one component: its identifiers, its evidence, and which rule kept what apart. For `weft why`.

Reads with plain queries, because a served build takes no temporary tables: identifiers and sets of evidence are numbered in the order of
their ids, by every query anew.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.explain import Flags, Ints, Sightings
from orchestration.decision_records import Identifier
from orchestration.warehouse import Connection

NUMBERED = """
    with numbered as (
        select identifier_id, row_number() over (order by identifier_id) - 1 as place
        from (
            select distinct identifier_id from identity.memberships where known_to is null and component_id = {component}
        ) as members
    ),
    seen as (
        select evidence.evidence_id, numbered.place
        from identity.evidence_identifiers as evidence
        inner join numbered on evidence.identifier_id = numbered.identifier_id
    ),
    sets as (
        select evidence_id, row_number() over (order by evidence_id) - 1 as place
        from (select distinct evidence_id from seen) as found
    )
"""


@dataclass(frozen=True)
class Refusal:
    """Why an identifier joined nothing, or not by this evidence: reason, the type that there would be too many of, the decision."""

    reason: str
    limited_type: str | None
    decision_seq: int | None


@dataclass(frozen=True)
class Component:
    """`sightings` in numbers; `members` (identifier_type, identifier_value), `linked` (those after them, that only links know) and
    `evidence_ids` by number; `link_seqs` by number of a link. Reasons: of an identifier set aside in a set (row, identifier), and of
    one that is shared or joined nothing in a step of rule 5."""

    sightings: Sightings
    members: pa.Table
    linked: list[Identifier]
    evidence_ids: pa.ChunkedArray
    link_seqs: list[int]
    aside: dict[tuple[int, int], Refusal]
    refused: dict[int, Refusal]

    def name(self, place: int) -> Identifier:
        """An identifier by its number."""
        if place >= len(self.members):
            return self.linked[place - len(self.members)]
        kind, value = (column[place].as_py() for column in self.members.columns[:2])
        return kind, value

    def place(self, name: Identifier) -> int:
        """The number of one of the component's own identifiers."""
        kind, value = (pc.equal(column, part) for column, part in zip(self.members.columns[:2], name, strict=True))
        return int(pc.index(pc.and_(kind, value), pa.scalar(True)).as_py())


def read_component(served: Connection, component_id: int) -> Component:
    """Read a component whole. Cost: linear in its evidence, beside scans of single columns of the build."""
    numbered = NUMBERED.format(component=int(component_id))
    members = served.arrow(
        f"{numbered} select identifiers.identifier_type, identifiers.identifier_value, "
        "coalesce(types.is_strong, false) as is_strong from numbered "
        "inner join identity.identifiers as identifiers on numbered.identifier_id = identifiers.identifier_id "
        "left join control.identifier_types as types on identifiers.identifier_type = types.identifier_type "
        "order by numbered.place"
    )
    pairs = served.arrow(
        f"{numbered} select sets.place as evidence_row, seen.place as identifier_row "
        "from seen inner join sets on seen.evidence_id = sets.evidence_id"
    )
    sets = served.arrow(f"{numbered} select evidence_id from sets order by place")["evidence_id"]
    queue = served.rows(
        f"{numbered} select sets.place from sets "
        "inner join identity.review_queue as queue on sets.evidence_id = queue.evidence_id where queue.known_to is null"
    )
    refused = served.rows(
        f"{numbered} select numbered.place, joins.step, joins.is_shared, joins.reason, joins.limited_type, joins.decision_seq "
        "from numbered inner join identity.refused_joins as joins on numbered.identifier_id = joins.identifier_id"
    )
    aside = served.rows(
        f"{numbered} select sets.place, numbered.place, aside.reason, aside.limited_type, aside.decision_seq "
        "from identity.set_aside as aside "
        "inner join sets on aside.evidence_id = sets.evidence_id "
        "inner join numbered on aside.identifier_id = numbered.identifier_id"
    )
    row = pairs["evidence_row"].to_numpy().astype(np.int64)
    identifier = pairs["identifier_row"].to_numpy().astype(np.int64)
    strong = np.flatnonzero(members["is_strong"].to_numpy(zero_copy_only=False))
    by_set = {(at, place): Refusal(*why) for at, place, *why in aside}
    is_aside, everywhere = _spread(by_set, row, identifier)
    links, linked, seqs = _links(served, numbered, len(members))
    count = len(members) + len(linked)
    return Component(
        Sightings(
            pair_row=row,
            pair_identifier=identifier,
            is_aside=is_aside,
            is_strong=_flags(strong, count),
            is_shared=_flags([place for place, _, is_shared, *_ in refused if is_shared], count),
            refused_beside_strong=_flags([place for place, step, *_ in refused if step == "strong"], count),
            refused_beside_weak=_flags([place for place, step, *_ in refused if step == "weak"], count),
            in_review=_flags([place for (place,) in queue], len(sets)),
            link=np.array([number for number, _ in links], dtype=np.int64),
            link_identifier=np.array([place for _, place in links], dtype=np.int64),
        ),
        members,
        linked,
        sets,
        seqs,
        everywhere,
        {place: Refusal(*why) for place, _, _, *why in sorted(refused, key=lambda each: each[2])},
    )


def _flags(places: Sequence[int] | Ints, count: int) -> Flags:
    flags = np.zeros(count, dtype=bool)
    flags[np.asarray(places, dtype=np.int64)] = True
    return flags


def _spread(
    aside: dict[tuple[int, int], Refusal], row: Ints, identifier: Ints
) -> tuple[Flags, dict[tuple[int, int], Refusal]]:
    """Sets that are equal once hot and blocked identifiers have left are one: what was set aside in one is so in all."""
    is_aside, spread = np.zeros(len(row), dtype=bool), {}
    if not aside:
        return is_aside, {}
    # equal sets have equal sums of random marks; others have them by chance once in 2^64 pairs
    marks = np.random.default_rng(7).integers(1, 1 << 63, int(identifier.max()) + 1, dtype=np.uint64)
    sums = np.zeros(int(row.max()) + 1, dtype=np.uint64)
    np.add.at(sums, row, marks[identifier])
    by_sum = {(int(sums[at]), place): why for (at, place), why in aside.items()}
    for pair in np.flatnonzero(np.isin(identifier, [place for _, place in aside])).tolist():
        why = by_sum.get((int(sums[row[pair]]), int(identifier[pair])))
        if why is not None:
            is_aside[pair] = True
            spread[int(row[pair]), int(identifier[pair])] = why
    return is_aside, spread


def _links(
    served: Connection, numbered: str, members: int
) -> tuple[list[tuple[int, int]], list[Identifier], list[int]]:
    """Links in force as (number, identifier), the identifiers that no member is (numbered from `members` on), and the decisions' seqs."""
    rows = served.rows(
        f"{numbered} select decisions.decision_seq, decisions.identifier_type, decisions.identifier_value, numbered.place "
        "from control.identity_decisions as decisions "
        "left join numbered "
        "on numbered.identifier_id = md5(decisions.identifier_type || ':' || decisions.identifier_value) "
        "left join identity.waiting_decisions as waiting "
        "on decisions.decision_seq = waiting.decision_seq and decisions.identifier_type = waiting.identifier_type "
        "and decisions.identifier_value = waiting.identifier_value and waiting.reason in ('blocked', 'hot') "
        "where decisions.action = 'link' and waiting.decision_seq is null order by 1, 2, 3"
    )
    seqs: dict[int, int] = {}
    others: dict[Identifier, int] = {}
    links = []
    for seq, kind, value, place in rows:
        node = members + others.setdefault((kind, value), len(others)) if place is None else place
        links.append((seqs.setdefault(seq, len(seqs)), node))
    return links, list(others), list(seqs)
