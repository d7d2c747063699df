"""Rule 3: what people decide, and whether a new decision contradicts those that are in force.

    link    all identifiers of side 0 are one person                        `weft link`, `weft review approve`
    wall    nobody of side 0 is anybody of side 1                           `weft forbid`, `weft split`
    refuse  events whose strong identifiers are those of side 0 join nothing  `weft review refuse`

Contradictions are judged on the closure of the links, so a decision may be refused for others that share no identifier with it. Taking a
decision back never makes a contradiction: what is left was judged before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from identity.evidence import Codes, Ints
from identity.tables import DECISIONS, IdentityError, conform

LINK, WALL, REFUSE = "link", "wall", "refuse"
_SIDES = {LINK: {0}, WALL: {0, 1}, REFUSE: {0}}
_TWO = 2


@dataclass(frozen=True)
class Contradiction:
    """Why a decision cannot come into force beside the others: the wall or refusal that it would break, the links that already join
    what it would keep apart (all on one way between them), or the decision itself, which keeps an identifier from itself."""

    breaks: Literal["wall", "refusal", "links", "itself"]
    decision_seqs: tuple[int, ...]


def judge(existing: pa.Table, new: pa.Table) -> Contradiction | None:
    """Whether the one decision in `new` contradicts `existing` (DECISIONS tables; those in force, that contradict nothing).

    Linear in the identifiers that the decisions name: a split of 2,500 from 2,500 is 5,000 rows, never the pairs between them.
    """
    existing, new = checked(existing, "existing"), checked(new, "new")
    if len(pc.unique(new["decision_seq"])) != 1:
        raise IdentityError("new must hold one decision.")
    action = new["action"][0].as_py()
    others = _Decisions.of(existing, new)
    own = others.code[len(existing) :]
    if action == LINK:
        return others.broken_by_linking(own)
    if action == WALL:
        side = new["side"].to_numpy()
        return others.joined_across(own[side == 0], own[side == 1])
    return others.joined_throughout(own)


def in_force(decisions: pa.Table) -> pa.Table:
    """The decisions of a table that stand when they are made one after the other: none that contradicts those accepted before it."""
    decisions = checked(decisions, "decisions")
    accepted = DECISIONS.empty_table()
    for seq in sorted(pc.unique(decisions["decision_seq"]).to_pylist()):
        new = decisions.filter(pc.equal(decisions["decision_seq"], seq))
        if judge(accepted, new) is None:
            accepted = pa.concat_tables([accepted, new])
    return accepted


def checked(decisions: pa.Table, name: str) -> pa.Table:
    """Give a table with the columns of DECISIONS; raise IdentityError where a decision has not the sides that its action has."""
    decisions = conform(decisions, DECISIONS, name)
    kinds = decisions.group_by(["decision_seq", "action"]).aggregate([("side", "distinct")]).to_pylist()
    if len(kinds) != len(pc.unique(decisions["decision_seq"])):
        raise IdentityError(f"{name} holds a decision with two actions.")
    for kind in kinds:
        if kind["action"] not in _SIDES:
            raise IdentityError(f"{name} holds a decision that is neither {', '.join(_SIDES)}.")
        if set(kind["side_distinct"]) != _SIDES[kind["action"]]:
            raise IdentityError(f"{name} holds a {kind['action']} without the sides that it must have.")
    return decisions


@dataclass(frozen=True)
class _Decisions:
    """Decisions in force, by row, in codes: `code` (identifier; the new decision's rows follow), `decision` (place in `seqs`)."""

    table: pa.Table
    code: Codes
    decision: Codes
    seqs: Ints
    count: int

    @classmethod
    def of(cls, existing: pa.Table, new: pa.Table) -> _Decisions:
        named = pa.concat_tables([existing, new])
        keys = pc.binary_join_element_wise(named["identifier_type"], named["identifier_value"], "\x1f")
        encoded = keys.combine_chunks().dictionary_encode()
        seqs, decision = np.unique(existing["decision_seq"].to_numpy(), return_inverse=True)
        code = np.asarray(encoded.indices.to_numpy(zero_copy_only=False), dtype=np.int32)
        return cls(existing, code, np.asarray(decision, dtype=np.int32), seqs, len(encoded.dictionary))

    def broken_by_linking(self, linked: Codes) -> Contradiction | None:
        """The first wall or refusal that is broken where `linked` are one person."""
        label = self._closure(linked)
        rows = self._rows(WALL)
        sides = np.column_stack((self.decision[rows], label[self.code[rows]], self.table["side"].to_numpy()[rows]))
        met, times = np.unique(np.unique(sides, axis=0)[:, :2], axis=0, return_counts=True)
        broken = met[times == _TWO, 0]
        if len(broken):
            return Contradiction("wall", (int(self.seqs[broken.min()]),))
        rows = self._rows(REFUSE)
        pairs = np.unique(np.column_stack((self.decision[rows], self.code[rows])), axis=0)
        sets = np.unique(np.column_stack((pairs[:, 0], label[pairs[:, 1]])), axis=0)
        refused, members = np.unique(pairs[:, 0], return_counts=True)
        _, groups = np.unique(sets[:, 0], return_counts=True)
        broken = refused[(groups == 1) & (members >= _TWO)]
        return Contradiction("refusal", (int(self.seqs[broken.min()]),)) if len(broken) else None

    def joined_across(self, one: Codes, other: Codes) -> Contradiction | None:
        """The links that join somebody of `one` with somebody of `other`."""
        if len(np.intersect1d(one, other)):
            return Contradiction("itself", ())
        label = self._closure()
        shared = np.intersect1d(label[one], label[other])
        if not len(shared):
            return None
        start, end = one[label[one] == shared[0]][0], other[label[other] == shared[0]][0]
        return Contradiction("links", self._links_between(int(start), np.array([end])))

    def joined_throughout(self, refused: Codes) -> Contradiction | None:
        """The links that join all of `refused`: a refusal would say that they are not one person."""
        label = self._closure()
        members = np.unique(refused)
        if len(members) < _TWO or len(np.unique(label[members])) > 1:
            return None
        return Contradiction("links", self._links_between(int(members[0]), members[1:]))

    def _closure(self, linked: Codes | None = None) -> Ints:
        """By identifier: the number of its group, as the links in force (and one that joins `linked`) make them."""
        rows = self._rows(LINK)
        left, right = self.code[rows], self.count + self.decision[rows]
        if linked is not None:
            left = np.concatenate((left, linked))
            right = np.concatenate((right, np.full(len(linked), self.count + len(self.seqs), dtype=np.int32)))
        _, label = connected_components(_graph(left, right, self.count + len(self.seqs) + 1), directed=False)
        return np.asarray(label[: self.count], dtype=np.int64)

    def _links_between(self, start: int, ends: Ints | Codes) -> tuple[int, ...]:
        rows = self._rows(LINK)
        graph = _graph(self.code[rows], self.count + self.decision[rows], self.count + len(self.seqs))
        _, before = breadth_first_order(graph, start, directed=False)
        found = set()
        for end in ends.tolist():
            node = int(end)
            while node != start:
                node = int(before[node])
                if node >= self.count:
                    found.add(int(self.seqs[node - self.count]))
        return tuple(sorted(found))

    def _rows(self, action: str) -> Ints:
        return np.flatnonzero(pc.equal(self.table["action"], action).to_numpy(zero_copy_only=False))


def _graph(left: Codes, right: Codes, size: int) -> csr_array:
    return coo_array((np.ones(len(left), np.int8), (left, right)), shape=(size, size)).tocsr()
