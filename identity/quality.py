"""How good the stitching is, judged by a known truth: whom each way of stitching puts together, Weft's and three simple ones.

Judged are identifiers with one true owner. What any method could have known is what noise-free evidence connects: every set
of evidence split by the owners of its identifiers, those of several owners or of none left out.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from identity.blocked import block_reasons
from identity.evidence import Codes, Flags, Ints
from identity.rules import Rules
from identity.tables import EVIDENCE_IDENTIFIERS, IDENTIFIERS, conform

LOGIN, COOKIE = "user_id", "anonymous_id"
METHODS = ("weft", "last_login_wins", "one_hop", "components")
"""Columns of JUDGED_IDENTIFIERS, one per way of stitching."""
JUDGED_IDENTIFIERS = pa.schema(
    [
        ("identifier_id", pa.string()),
        ("person_id", pa.string()),
        ("reachable", pa.int64()),
        *((method, pa.int64()) for method in METHODS),
    ]
)
"""One row per identifier with one true owner. Equal numbers are together, and mean no more: `reachable` in noise-free evidence,
the others in one customer of the method. What a method gives to nobody stands alone."""


class _Pairs:
    """Identifiers in sets of evidence, blocked ones left out: `row` (ascending), `identifier` (a place), and by row `last_seen`."""

    def __init__(self, members: pa.Table, last_seen: pa.Array, is_blocked: Flags) -> None:
        row, identifier = (members[name].to_numpy() for name in EVIDENCE_IDENTIFIERS.names)
        kept = np.flatnonzero(~is_blocked[identifier])
        kept = kept[np.argsort(row[kept], kind="stable")]
        self.row, self.identifier = row[kept], identifier[kept]
        self.last_seen = last_seen.cast(pa.int64()).to_numpy()[self.row]
        self.count = len(is_blocked)


def judge_identifiers(
    *,
    identifiers: pa.Table,
    evidence_identifiers: pa.Table,
    last_seen: pa.Array,
    owners: pa.Array,
    customers: pa.Array,
    rules: Rules,
) -> pa.Table:
    """Give JUDGED_IDENTIFIERS for evidence whose truth is known.

    `last_seen`: by row of evidence, its last event (naive UTC). By row of `identifiers`: `owners`, the true person, null where
    there is none or several; `customers`, whose it is by Weft's answer, null where it is shared or nobody's.
    Numbers are places in `identifiers`, so that equal tables give equal numbers. Cost: n log n in the pairs.
    """
    identifiers = conform(identifiers, IDENTIFIERS, "identifiers")
    members = conform(evidence_identifiers, EVIDENCE_IDENTIFIERS, "evidence_identifiers")
    is_blocked = pc.is_valid(block_reasons(identifiers, rules)).to_numpy(zero_copy_only=False)
    everything = _Pairs(members, last_seen, np.zeros(len(identifiers), dtype=bool))
    pairs, types = _Pairs(members, last_seen, is_blocked), _type_codes(identifiers, rules)
    owner = _codes(owners)
    clusters = {
        "reachable": reachable(everything, owner),
        "weft": _first_places(_alone_where_absent(_codes(customers))),
        "last_login_wins": last_login_wins(pairs, types, rules),
        "one_hop": one_hop(pairs, types, rules),
        "components": unconstrained(pairs),
    }
    judged = pa.array(np.flatnonzero(owner >= 0))
    columns = {name: pa.array(labels.astype(np.int64)).take(judged) for name, labels in clusters.items()}
    columns |= {"identifier_id": identifiers["identifier_id"].take(judged), "person_id": owners.take(judged)}
    return pa.table({field.name: columns[field.name] for field in JUDGED_IDENTIFIERS}, schema=JUDGED_IDENTIFIERS)


def reachable(pairs: _Pairs, owner: Ints) -> Ints:
    """What noise-free evidence connects: identifiers of one owner that sets of evidence hold together, directly or through others."""
    of = owner[pairs.identifier]
    kept = np.flatnonzero(of >= 0)
    kept = kept[np.lexsort((of[kept], pairs.row[kept]))]
    beside = (np.diff(pairs.row[kept]) == 0) & (np.diff(of[kept]) == 0)
    return _connected(pairs.identifier[kept], beside, pairs.count)


def unconstrained(pairs: _Pairs) -> Ints:
    """Connected components of all evidence: whatever an event carries together is one person, blocked values (rule 1) apart."""
    return _connected(pairs.identifier, np.diff(pairs.row) == 0, pairs.count)


def last_login_wins(pairs: _Pairs, types: Codes, rules: Rules) -> Ints:
    """Every identifier goes to the login (user_id) last seen beside it; one that never met a login, to the e-mail, else the phone, else
    the next strong type by priority, last seen beside it; a strong one only to types before its own."""
    is_weak = np.array([*(not rules.identifier_types[name].is_strong for name in _types(rules)), False])
    return _follow(_newest_above(pairs, types, rules, lambda kind, strong: is_weak[kind] | (kind > strong)))


def one_hop(pairs: _Pairs, types: Codes, rules: Rules) -> Ints:
    """Every cookie (anonymous_id) goes to the login (user_id) last seen beside it, as the user stitching of dbt packages for web
    analytics does; nothing else joins anything."""
    login, cookie = (_place(rules, name) for name in (LOGIN, COOKIE))
    return _follow(_newest_above(pairs, types, rules, lambda kind, strong: (kind == cookie) & (strong == login)))


def _newest_above(pairs: _Pairs, types: Codes, rules: Rules, follows: Callable[[Codes, int], Flags]) -> Ints:
    """By identifier: the strong one of the first type that it may follow, last seen beside it; itself where there is none.

    Of those last seen at one instant, the one with the larger place.
    """
    target = np.arange(pairs.count)
    kind = types[pairs.identifier]
    for strong, name in enumerate(_types(rules)):
        if not rules.identifier_types[name].is_strong:
            continue
        leading = np.flatnonzero(kind == strong)
        leader = np.full(pairs.row.max(initial=-1) + 1, -1, dtype=np.int64)
        np.maximum.at(leader, pairs.row[leading], pairs.identifier[leading])
        found = leader[pairs.row]
        led = np.flatnonzero((found >= 0) & follows(kind, strong) & (target[pairs.identifier] == pairs.identifier))
        led = led[np.lexsort((found[led], pairs.last_seen[led]))]
        target[pairs.identifier[led]] = found[led]  # the last of them stays
    return target


def _follow(target: Ints) -> Ints:
    """Where a chain of targets ends. A target has a type before its follower's, so chains are no longer than there are types."""
    while not np.array_equal(target, further := target[target]):
        target = further
    return _first_places(target)


def _connected(identifier: Codes, beside: Flags, count: int) -> Ints:
    left, right = identifier[:-1][beside], identifier[1:][beside]
    edges = coo_array((np.ones(len(left), np.int8), (left, right)), shape=(count, count))
    return _first_places(connected_components(edges, directed=False)[1]) if count else np.empty(0, np.int64)


def _first_places(labels: Ints) -> Ints:
    """The same partition, each part named by its first member."""
    _, first, part = np.unique(labels, return_index=True, return_inverse=True)
    return first[part]


def _alone_where_absent(codes: Ints) -> Ints:
    return np.where(codes >= 0, codes, len(codes) + np.arange(len(codes)))


def _codes(values: pa.Array) -> Ints:
    """Equal numbers for equal values, -1 for null."""
    return np.asarray(pc.fill_null(values.dictionary_encode().indices, -1).to_numpy(zero_copy_only=False), np.int64)


def _types(rules: Rules) -> list[str]:
    return sorted(rules.identifier_types, key=lambda name: rules.identifier_types[name].priority)


def _place(rules: Rules, name: str) -> int:
    types = _types(rules)
    return types.index(name) if name in types else len(types)


def _type_codes(identifiers: pa.Table, rules: Rules) -> Codes:
    types = _types(rules)
    codes = pc.index_in(identifiers["identifier_type"].combine_chunks(), value_set=pa.array(types, pa.string()))
    return np.asarray(pc.fill_null(codes, len(types)).to_numpy(zero_copy_only=False), np.int32)
