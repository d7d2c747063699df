"""What rules kept apart, as tables: set aside, refused joins, what waits for a person, and decisions that wait for what they name."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from identity.decision_codes import LINK, Decided
from identity.evidence import Codes, Evidence, Ints
from identity.groups import Groups
from identity.memberships import consecutive
from identity.passes import FREE, JOINED, LIMIT, REFUSED, SEVERAL, WALL, Small
from identity.tables import REFUSED_JOINS, REVIEW_QUEUE, SET_ASIDE, WAITING_DECISIONS

_REASONS = {SEVERAL: "several people", LIMIT: "limit", WALL: "wall"}
_STEPS = ("strong", "weak")


def set_aside_table(evidence: Evidence, groups: Groups, decided: Decided) -> pa.Table:
    """The rows (SET_ASIDE) of one date."""
    rulings = groups.rulings
    hits = np.flatnonzero(rulings.outcome.aside != JOINED)
    sets = np.searchsorted(rulings.start, hits, side="right") - 1
    evidence_ids = evidence.table["evidence_id"].take(pa.array(rulings.set_row[sets]))
    named = evidence.named(rulings.member[hits])
    why = _why(evidence, decided, rulings.outcome.aside[hits], rulings.outcome.aside_of[hits])
    return pa.Table.from_arrays([evidence_ids, *named.columns, *why], schema=SET_ASIDE)


def refused_joins_table(evidence: Evidence, groups: Groups, decided: Decided) -> pa.Table:
    """The rows (REFUSED_JOINS) of one date."""
    rulings = groups.rulings
    step, node = np.nonzero(rulings.outcome.refusal != JOINED)
    code = rulings.nodes[node]
    named = evidence.named(code)
    why = _why(evidence, decided, rulings.outcome.refusal[step, node], rulings.outcome.refusal_of[step, node])
    steps = pa.array([_STEPS[each] for each in step.tolist()], pa.string())
    table = pa.Table.from_arrays([*named.columns, steps, pa.array(groups.shared[code]), *why], schema=REFUSED_JOINS)
    return table.filter(pa.array(groups.group[code] >= 0))


def waiting_table(decisions: pa.Table, evidence: Evidence, hot_from: Codes, *, date: int) -> pa.Table:
    """The rows (WAITING_DECISIONS) of one date: what links name and cannot join, or cannot join anything to yet."""
    code, identifiers = (
        evidence.decided_codes,
        evidence.ids(evidence.decided_codes),
    )
    reasons = np.select(
        [~evidence.is_usable[code], hot_from[code] <= date, pc.equal(identifiers, "").to_numpy()],
        ["blocked", "hot", "not seen"],
        "",
    )
    waits = pc.and_(pc.equal(decisions["action"], LINK), pa.array(reasons != ""))
    columns = [decisions[name] for name in ("decision_seq", "identifier_type", "identifier_value")]
    table = pa.Table.from_arrays([*columns, pa.array(reasons.tolist(), pa.string())], schema=WAITING_DECISIONS)
    return table.filter(waits)


def _why(evidence: Evidence, decided: Decided, reason: Codes | Small, what: Codes) -> list[pa.Array]:
    """Reason, limited type and decision of each hit."""
    types = pa.array(evidence.types, pa.string())
    walls = pa.array(decided.wall_seq, pa.int64())
    return [
        pa.array([_REASONS[each] for each in reason.tolist()], pa.string()),
        types.take(pa.array(what, mask=reason == WALL)),
        walls.take(pa.array(what, mask=reason != WALL)),
    ]


class Reviews:
    """Collects, date by date, the evidence that joins nothing."""

    def __init__(self, evidence: Evidence) -> None:
        self._evidence = evidence
        self._rows: list[tuple[Codes, Codes, Codes, Codes]] = []
        self._number: dict[tuple[int, ...], int] = {}
        self._row_of: dict[str, int] = {}

    def add(self, groups: Groups, *, date: int) -> None:
        """Take the evidence of the next date."""
        rulings, outcome = groups.rulings, groups.rulings.outcome
        held = np.flatnonzero(outcome.state[rulings.given_set] != FREE)
        # a set that was learnt to be earlier than it seemed has a row for each key
        row, first = np.unique(self._first_rows(rulings.given_row[held]), return_index=True)
        held = held[first]
        sets = rulings.given_set[held]
        numbers = np.array(
            [self._review(rulings.member[rulings.start[s] : rulings.start[s + 1]]) for s in sets], np.int32
        )
        count = np.where(outcome.state[sets] == REFUSED, -1 - outcome.group_count[sets], outcome.group_count[sets])
        self._rows.append((row, numbers, count.astype(np.int32), np.full(len(held), date, dtype=np.int32)))

    def _first_rows(self, rows: Ints) -> Codes:
        ids = self._evidence.table["evidence_id"].take(pa.array(rows)).to_pylist()
        pairs = zip(ids, rows.tolist(), strict=True)
        return np.array([self._row_of.setdefault(name, row) for name, row in pairs], dtype=np.int32)

    def _review(self, members: Codes) -> int:
        strong = tuple(members[self._evidence.is_strong[members]].tolist())
        return self._number.setdefault(strong, len(self._number))

    def table(self, dates: Sequence[datetime]) -> pa.Table:
        """The rows (REVIEW_QUEUE)."""
        row, number, count, date = (np.concatenate(column) for column in zip(*self._rows, strict=True))
        since, until, chosen = consecutive((row, number, (count < 0).astype(np.int32)), date)
        # the newest count: that of the last date of each interval
        newest = np.lexsort((date, (count < 0), number, row))
        last = np.searchsorted(np.arange(len(newest)), np.cumsum(until - since) - 1)
        counts = count[newest[last]] if len(newest) else count
        names = pa.array([self._name(members) for members in self._number], pa.string())
        moments = pa.array(np.array([*dates, "NaT"], dtype="datetime64[us]"))
        refused = counts < 0
        columns = [
            names.take(pa.array(number[chosen])),
            self._evidence.table["evidence_id"].take(pa.array(row[chosen])).combine_chunks(),
            pa.array(np.where(refused, "refused", "open").tolist(), pa.string()),
            pa.array(np.where(refused, -1 - counts, counts).astype(np.int64)),
            moments.take(pa.array(since)),
            moments.take(pa.array(until)),
        ]
        return pa.Table.from_arrays(columns, schema=REVIEW_QUEUE)

    def _name(self, members: tuple[int, ...]) -> str:
        """A review's id is a function of its strong identifiers, so that a later run asks under the same one."""
        ids = self._evidence.ids(np.array(members, dtype=np.int64)).to_pylist()
        return hashlib.sha256("\x1f".join(sorted(ids)).encode()).hexdigest()[:16]
