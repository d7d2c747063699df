"""Evidence as arrays: strings become integers once, and evidence gets its place in key order.

Codes: evidence's place is that of its key (first_at, first_source, first_message_id); an identifier's code is its place by
(priority, value) among those it can tie with, which are the ones of its type that evidence of the same key carries beside it.
So comparing integers compares what SPEC 3 compares, and few texts are ever sorted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array

from identity.blocked import block_reasons
from identity.rules import Rules
from identity.tables import IdentityError, positions

Ints = npt.NDArray[np.int64]
Codes = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]

_NAME = ["identifier_type", "identifier_value"]
_KEY = ["first_at", "first_source", "first_message_id"]


@dataclass(frozen=True)
class Evidence:
    """What is known by the run's last date, blocked identifiers left out.

    Identifiers, by code: `row_of` (of `given`, the table with those that only decisions name added, without an id),
    `type_code` (place in `types`; `strong_types` by type), `is_strong`, `is_usable` (not blocked). `decided_codes`: by row
    of the decisions.
    Pairs, one per evidence and identifier in it, in key order, those of a set side by side: `pair_place` (dense place
    of the evidence's key; equal keys share it), `pair_row` (the evidence's row in `table`), `pair_identifier`,
    `pair_date` (first date in `dates` at which the evidence counts).
    """

    table: pa.Table
    given: pa.Table
    row_of: Ints
    types: tuple[str, ...]
    strong_types: Flags
    type_code: Codes
    is_strong: Flags
    is_usable: Flags
    decided_codes: Codes
    pair_place: Codes
    pair_row: Codes
    pair_identifier: Codes
    pair_date: Codes
    blocked: pa.Table

    @property
    def identifier_count(self) -> int:
        """The number of identifiers, blocked ones and those that only decisions name included (they have no pairs)."""
        return len(self.type_code)

    def named(self, codes: Codes | Ints) -> pa.Table:
        """The identifiers (IDENTIFIERS) of codes."""
        return self.given.take(pa.array(self.row_of[codes]))

    def ids(self, codes: Codes | Ints) -> pa.ChunkedArray:
        """identifier_id of codes."""
        return self.given["identifier_id"].take(pa.array(self.row_of[codes]))

    def codes(self, identifier_ids: pa.ChunkedArray) -> Codes:
        """Codes of identifiers by their ids, -1 for those that the run does not know."""
        if not len(identifier_ids):  # an index of all identifiers is for nothing
            return np.empty(0, dtype=np.int32)
        row = pc.fill_null(positions(identifier_ids, self.given["identifier_id"]), -1)
        code_of = np.empty(self.identifier_count + 1, dtype=np.int32)
        code_of[self.row_of], code_of[-1] = np.arange(self.identifier_count, dtype=np.int32), -1
        found: Codes = code_of[row.to_numpy(zero_copy_only=False)]
        return found


def encode(
    identifiers: pa.Table,
    evidence: pa.Table,
    members: pa.Table,
    decisions: pa.Table,
    *,
    rules: Rules,
    dates: Sequence[datetime],
) -> Evidence:
    """Encode the four tables (already conformed). Cost: n log n in evidence, linear in identifiers and pairs."""
    given = len(identifiers)
    identifiers, decided = _with_decided(identifiers, decisions)
    identifiers = identifiers.combine_chunks()  # or every look at a few of them would put the chunks together
    kinds = sorted(rules.identifier_types.items(), key=lambda item: item[1].priority)
    types = tuple(name for name, _ in kinds)
    type_code = _type_codes(identifiers, types)
    reasons = block_reasons(identifiers, rules)
    strong = np.array([kind.is_strong for _, kind in kinds] + [False])

    pair_row = _places(members, "evidence_row", len(evidence))
    pair_identifier = _places(members, "identifier_row", given)
    position, place = _key_order(evidence)
    known_at = evidence["first_known_at"].cast(pa.int64()).to_numpy()
    counts_from = np.searchsorted(instants(dates), known_at, side="right").astype(np.int32)
    usable = pc.is_null(reasons).to_numpy(zero_copy_only=False)
    kept = (counts_from[pair_row] < len(dates)) & usable[pair_identifier]
    if not kept.all():
        pair_row, pair_identifier = pair_row[kept], pair_identifier[kept]
    by_key = _ascending(position[pair_row], len(evidence))
    pair_row, pair_identifier = pair_row[by_key], pair_identifier[by_key]
    pair_place = place[pair_row]
    order = _identifier_order(identifiers, type_code, pair_identifier, pair_place)
    code = np.empty(len(order), dtype=np.int32)
    code[order] = np.arange(len(order), dtype=np.int32)
    type_code = type_code[order]
    return Evidence(
        table=evidence,
        given=identifiers,
        row_of=order,
        types=types,
        strong_types=strong[:-1],
        type_code=type_code,
        is_strong=strong[type_code],
        is_usable=usable[order],
        decided_codes=code[decided],
        pair_place=pair_place,
        pair_row=pair_row,
        pair_identifier=code[pair_identifier],
        pair_date=counts_from[pair_row],
        blocked=_blocked_table(identifiers, reasons),
    )


def instants(dates: Sequence[datetime]) -> Ints:
    """Dates as microseconds since 1970."""
    return np.array(list(dates), dtype="datetime64[us]").astype(np.int64)


def _with_decided(identifiers: pa.Table, decisions: pa.Table) -> tuple[pa.Table, Ints]:
    """Append the identifiers that decisions name and no event carries; and the row of each decision's identifier."""
    if not len(decisions):
        return identifiers, np.empty(0, dtype=np.int64)
    named = list(zip(*(decisions[name].to_pylist() for name in _NAME), strict=True))
    candidates = np.flatnonzero(
        pc.is_in(identifiers["identifier_value"], value_set=decisions["identifier_value"].combine_chunks()).to_numpy()
    )
    taken = identifiers.take(pa.array(candidates))
    row = dict(zip(zip(*(taken[name].to_pylist() for name in _NAME), strict=True), candidates.tolist(), strict=True))
    unseen = [name for name in dict.fromkeys(named) if name not in row]
    row |= {name: len(identifiers) + place for place, name in enumerate(unseen)}
    more = pa.Table.from_pylist(
        [{"identifier_id": "", "identifier_type": kind, "identifier_value": value} for kind, value in unseen],
        identifiers.schema,
    )
    return pa.concat_tables([identifiers, more]), np.array([row[name] for name in named], dtype=np.int64)


def _type_codes(identifiers: pa.Table, types: tuple[str, ...]) -> Codes:
    codes = positions(identifiers["identifier_type"], pa.array(types, pa.string()))
    return np.asarray(pc.fill_null(codes, len(types)).to_numpy(zero_copy_only=False), dtype=np.int32)


def _identifier_order(identifiers: pa.Table, type_code: Codes, pair_identifier: Codes, pair_place: Codes) -> Ints:
    """Rows by type; within a type those that can tie go first, by value, the others in any order. Unknown types are last.

    Two identifiers of a type tie where they are seen first at the same key, and are compared where one set holds both.
    """
    values = identifiers["identifier_value"].combine_chunks()
    ties, place_count = np.zeros(len(type_code), dtype=bool), int(pair_place.max(initial=-1)) + 1
    pair_type, kinds = type_code[pair_identifier], int(type_code.max(initial=-1)) + 1
    for kind in range(kinds):
        pairs = np.flatnonzero(pair_type == kind)
        beside = np.bincount(pair_place[pairs], minlength=place_count)
        ties[pair_identifier[pairs[beside[pair_place[pairs]] > 1]]] = True
    order = _ascending(2 * type_code + ~ties, 2 * kinds)
    start = np.searchsorted(type_code[order], np.arange(kinds))
    for first, tied in zip(start.tolist(), np.bincount(type_code[ties], minlength=kinds).tolist(), strict=True):
        rows = order[first : first + tied]
        order[first : first + tied] = rows[pc.array_sort_indices(values.take(pa.array(rows))).to_numpy()]
    return order


def _ascending(numbers: Codes | Ints, bound: int) -> Ints:
    """A stable order of numbers below `bound`. Cost: linear (SciPy sorts rows of a matrix by counting), where numpy merges."""
    count = len(numbers)
    cells = (numbers, np.arange(count, dtype=np.int32))
    order: Ints = coo_array((np.ones(count, np.int8), cells), shape=(bound, count)).tocsr().indices.astype(np.int64)
    return order


def _places(members: pa.Table, column: str, count: int) -> Codes:
    found = np.asarray(members[column].to_numpy(), dtype=np.int32)
    wrong = int(((found < 0) | (found >= count)).sum())
    if wrong:
        raise IdentityError(f"evidence_identifiers.{column} refers to {wrong} rows that do not exist.")
    return found


def _key_order(evidence: pa.Table) -> tuple[Codes, Codes]:
    """By row: its position in key order, and the dense place that rows of an equal key share.

    Strings are compared only among rows of the same instant, which is most of the time saved.
    """
    at = evidence["first_at"].cast(pa.int64()).to_numpy()
    order = np.argsort(at, kind="stable")
    sorted_at = at[order]
    new = np.ones(len(at), dtype=bool)
    new[1:] = sorted_at[1:] != sorted_at[:-1]
    tied = ~new
    tied[:-1] |= ~new[1:]
    rows = order[tied]
    if len(rows):
        keyed = evidence.take(pa.array(rows))
        inner = pc.sort_indices(keyed, sort_keys=[(name, "ascending") for name in (*_KEY, "evidence_id")]).to_numpy()
        order[tied] = rows[inner]
        new[tied] = _differs_from_last(keyed.select(_KEY).take(pa.array(inner)))
    position, place = np.empty(len(at), dtype=np.int32), np.empty(len(at), dtype=np.int32)
    position[order] = np.arange(len(at))
    place[order] = np.cumsum(new) - 1
    return position, place


def _differs_from_last(keyed: pa.Table) -> Flags:
    differs = np.zeros(len(keyed), dtype=bool)
    differs[0] = True
    for column in (column.combine_chunks() for column in keyed.columns):
        differs[1:] |= pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
    return differs


def _blocked_table(identifiers: pa.Table, reasons: pa.Array) -> pa.Table:
    named = identifiers.select(["identifier_id", "identifier_type"]).append_column("reason", reasons)
    return named.filter(pc.and_(pc.is_valid(reasons), pc.not_equal(named["identifier_id"], "")))
