"""Rule 2: identifiers seen with too many different strong values are kiosks or a shop's own phone.

Decided per identifier on all evidence known at a date (blocked identifiers apart), hot ones counted too: whether X is
hot never depends on whether Y is. More evidence only adds values, so an identifier has one date from which it is hot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from identity.evidence import Codes, Evidence, Flags, Ints
from identity.rules import Rules
from identity.tables import HOT_IDENTIFIERS

NEVER_HOT = "user_id"
_PAIRS_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class HotIdentifiers:
    """`hot_from`: by identifier code, the first date (place in `dates`) at which it is hot, or the number of dates.

    `table`: HOT_IDENTIFIERS at the last date.
    """

    hot_from: Codes
    table: pa.Table


def find_hot(evidence: Evidence, rules: Rules, *, date_count: int) -> HotIdentifiers:
    """Decide rule 2 for every identifier and date at once.

    Cost: linear in pairs, and pairs of pairs only for identifiers that could be over their limit (an upper bound
    without counting distinct values says which); these are expanded in slices, so memory stays bounded.
    """
    hot_from = np.full(evidence.identifier_count, date_count, dtype=np.int32)
    tables = [HOT_IDENTIFIERS.empty_table()]
    strong = [other for other, name in enumerate(evidence.types) if rules.identifier_types[name].is_strong]
    allowed = {other: _allowed(evidence, rules, evidence.types[other]) for other in strong}
    pair_type = evidence.type_code[evidence.pair_identifier]
    # with how many values an identifier can have been seen at most, whatever their type: few need to be looked at by type
    most = np.zeros(len(evidence.table), dtype=np.int64)
    for other in strong:
        np.maximum(most, _per_evidence(evidence, pair_type == other), out=most)
    bound = np.bincount(evidence.pair_identifier, weights=most[evidence.pair_row], minlength=evidence.identifier_count)
    least = np.minimum.reduce([*allowed.values(), np.full(evidence.identifier_count, np.iinfo(np.int64).max)])
    pairs = np.flatnonzero((bound > least)[evidence.pair_identifier])
    for other in strong if len(pairs) else []:
        of_type, name = pair_type == other, evidence.types[other]
        for candidates in _slices(evidence, pairs, of_type, allowed[other]):
            hot, date, distinct = _over_limit(evidence, candidates, of_type, allowed[other])
            hot_from[hot] = np.minimum(hot_from[hot], date)
            tables.append(_reported(evidence, hot, name, distinct, allowed[other][hot]))
    return HotIdentifiers(hot_from=hot_from, table=pa.concat_tables(tables))


def _allowed(evidence: Evidence, rules: Rules, other: str) -> Ints:
    never = np.iinfo(np.int64).max
    limits = [never if name == NEVER_HOT else rules.hot.allowed(name, other) for name in evidence.types]
    return np.array([*limits, never], dtype=np.int64)[evidence.type_code]


def _per_evidence(evidence: Evidence, of_type: Flags) -> Ints:
    return np.bincount(evidence.pair_row[of_type], minlength=len(evidence.table))


def _slices(evidence: Evidence, pairs: Ints, of_type: Flags, allowed: Ints) -> list[Ints]:
    """Pairs of identifiers that may be hot, cut between identifiers into slices that expand to a bounded number."""
    # their evidence holds more values of the type than allowed, counting repeats and themselves
    seen = _per_evidence(evidence, of_type)[evidence.pair_row[pairs]]
    bound = np.bincount(evidence.pair_identifier[pairs], weights=seen, minlength=evidence.identifier_count)
    pairs = pairs[(bound > allowed)[evidence.pair_identifier[pairs]]]
    pairs = pairs[np.argsort(evidence.pair_identifier[pairs], kind="stable")]
    if not len(pairs):
        return []
    expanded = np.cumsum(_per_evidence(evidence, of_type)[evidence.pair_row[pairs]])
    identifiers = evidence.pair_identifier[pairs]
    first = np.flatnonzero(np.diff(identifiers, prepend=-1))
    bucket = (expanded[first] - 1) // _PAIRS_AT_ONCE
    cuts = first[1:][np.diff(bucket) > 0]
    return list(np.split(pairs, cuts))


def _over_limit(evidence: Evidence, pairs: Ints, of_type: Flags, allowed: Ints) -> tuple[Codes, Codes, Ints]:
    """Identifiers of `pairs` that are over the limit, since which date, and with how many values at the last one.

    (identifier, value, date) sorts as one integer: numpy sorts plain integers ten times faster than three columns.
    """
    others = np.flatnonzero(of_type)
    count = _per_evidence(evidence, of_type)
    by_row = others[np.argsort(evidence.pair_row[others], kind="stable")]
    start = np.concatenate(([0], np.cumsum(count)[:-1])) if len(count) else count
    rows = evidence.pair_row[pairs]
    repeats = count[rows]
    offset = np.arange(repeats.sum()) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    names, number = np.unique(evidence.pair_identifier[pairs], return_inverse=True)
    x = np.repeat(number, repeats)
    y = evidence.pair_identifier[by_row[np.repeat(start[rows], repeats) + offset]]
    dates = np.int64(evidence.pair_date.max() + 1)
    seen = (x * np.int64(evidence.identifier_count) + y) * dates + np.repeat(evidence.pair_date[pairs], repeats)
    seen = np.sort(seen[names[x] != y])
    seen = seen[np.diff(seen // dates, prepend=-1) != 0]  # each value at the first date it was seen
    seen = np.sort(seen // (evidence.identifier_count * dates) * dates + seen % dates)
    x, date = np.divmod(seen, dates)

    first = np.flatnonzero(np.diff(x, prepend=-1))
    distinct = np.diff(np.append(first, len(x)))
    limit = allowed[names[x[first]]]
    over = distinct > limit
    return names[x[first[over]]], date[first[over] + limit[over]].astype(np.int32), distinct[over]


def _reported(evidence: Evidence, hot: Codes, other: str, distinct: Ints, allowed: Ints) -> pa.Table:
    taken = evidence.named(hot)
    columns = [*taken.columns, pa.array([other] * len(hot), pa.string()), pa.array(distinct), pa.array(allowed)]
    return pa.Table.from_arrays(columns, schema=HOT_IDENTIFIERS)
