"""Quality of stitching by hand: every pair of identifiers looked at, every definition written out as it is said."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from random import Random

Identifier = tuple[str, str]
Together = Callable[[Identifier, Identifier], bool]
PRIORITY = ["user_id", "email", "phone", "loyalty_id", "device_id", "anonymous_id"]
STRONG = PRIORITY[:4]
BLOCKED_VALUE = "null"


@dataclass
class Shop:
    """Sets of evidence with the instant each was last seen, true owners, and the customers of an answer (none: nobody's)."""

    evidence: list[tuple[int, frozenset[Identifier]]]
    owners: dict[Identifier, set[str]]
    customers: dict[Identifier, str] = field(default_factory=dict)

    @property
    def identifiers(self) -> list[Identifier]:
        return sorted({name for _, names in self.evidence for name in names})

    @property
    def judged(self) -> list[Identifier]:
        return [name for name in self.identifiers if len(self.owners.get(name, ())) == 1]


def random_shop(random: Random) -> Shop:
    kinds = [*PRIORITY, "no_such_type"]
    pool = [(kind, value) for kind in kinds for value in (*"abc"[: random.randint(1, 3)], BLOCKED_VALUE)]
    evidence: dict[frozenset[Identifier], int] = {}
    for _ in range(random.randint(1, 14)):
        names = frozenset(random.sample(pool, random.randint(1, min(4, len(pool)))))
        evidence[names] = random.randint(0, 6)
    people = [str(number) for number in range(random.randint(1, 4))]
    owners = {name: set(random.choices(people, k=random.choice([0, 1, 1, 1, 1, 2]))) for name in pool}
    customers = {name: random.choice("xyz") for name in pool if random.random() < 0.8}
    return Shop([(at, names) for names, at in evidence.items()], owners, customers)


def parts(names: Iterable[Identifier], links: Iterable[tuple[Identifier, Identifier]]) -> dict[Identifier, int]:
    """Connected components, by setting labels equal until nothing changes."""
    label = {name: number for number, name in enumerate(names)}
    links = list(links)
    while any(label[a] != label[b] for a, b in links):
        for a, b in links:
            label[a] = label[b] = min(label[a], label[b])
    return label


def reachable(shop: Shop) -> dict[Identifier, int]:
    """Evidence split by owner, identifiers of several owners left out; what is connected then."""
    links = []
    for _, names in shop.evidence:
        clean = [name for name in names if len(shop.owners.get(name, ())) == 1]
        links += [(a, b) for a, b in combinations(clean, 2) if shop.owners[a] == shop.owners[b]]
    return parts(shop.identifiers, links)


def weft(shop: Shop) -> dict[Identifier, object]:
    return {name: shop.customers.get(name, name) for name in shop.identifiers}


def _usable(names: Iterable[Identifier]) -> list[Identifier]:
    return [name for name in names if name[1] != BLOCKED_VALUE and name[0] in PRIORITY]


def components(shop: Shop) -> dict[Identifier, int]:
    links = [pair for _, names in shop.evidence for pair in combinations(_usable(names), 2)]
    return parts(shop.identifiers, links)


def _newest(shop: Shop, name: Identifier, kind: str) -> Identifier | None:
    """Of identifiers of that type, the one last seen beside it; at one instant, the larger."""
    found = [
        (at, other) for at, names in shop.evidence if name in names for other in _usable(names) if other[0] == kind
    ]
    return max(found)[1] if found and name in _usable([name]) else None


def last_login_wins(shop: Shop) -> dict[Identifier, Identifier]:
    def goes_to(name: Identifier) -> Identifier:
        kinds = STRONG[: STRONG.index(name[0])] if name[0] in STRONG else STRONG
        for kind in kinds:
            newest = _newest(shop, name, kind)
            if newest is not None:
                return goes_to(newest)
        return name

    return {name: goes_to(name) for name in shop.identifiers}


def one_hop(shop: Shop) -> dict[Identifier, Identifier]:
    return {
        name: (_newest(shop, name, "user_id") or name) if name[0] == "anonymous_id" else name
        for name in shop.identifiers
    }


Clusters = dict[str, dict[str, object]]
"""By identifier: person, reachable, cluster."""


def measures(rows: list[dict[str, object]], method: str) -> dict[str, float | int | None]:
    """Every measure of one method over judged identifiers, by looking at every pair."""

    def same(column: str) -> list[tuple[int, int]]:
        return [(a, b) for a, b in combinations(range(len(rows)), 2) if rows[a][column] == rows[b][column]]

    predicted, true, reach = set(same(method)), set(same("person_id")), set(same("reachable"))
    around = {
        column: [[r for r in rows if r[column] == row[column]] for row in rows] for column in (method, "reachable")
    }
    pairs = list(enumerate(rows))
    bcubed_precision = [
        Fraction(sum(r["person_id"] == row["person_id"] for r in around[method][i]), len(around[method][i]))
        for i, row in pairs
    ]
    bcubed_recall = [
        Fraction(sum(r[method] == row[method] for r in around["reachable"][i]), len(around["reachable"][i]))
        for i, row in pairs
    ]
    connected = exact = 0
    for person in {row["person_id"] for row in rows}:
        own = [row for row in rows if row["person_id"] == person]
        if len(own) < 2 or len({row["reachable"] for row in own}) > 1:
            continue
        connected += 1
        exact += all({id(r) for r in rows if r[method] == row[method]} == {id(r) for r in own} for row in own)
    precision, recall = _share(len(predicted & true), len(predicted)), _share(len(predicted & reach), len(reach))
    b_precision, b_recall = _share(sum(bcubed_precision), len(rows)), _share(sum(bcubed_recall), len(rows))
    return {
        "identifier_count": len(rows),
        "predicted_pairs": len(predicted),
        "hit_pairs": len(predicted & true),
        "true_pairs": len(true),
        "reachable_pairs": len(reach),
        "reached_pairs": len(predicted & reach),
        "unreachable_pairs": len(true - reach),
        "connected_customer_count": connected,
        "exact_customer_count": exact,
        "pairwise_precision": precision,
        "pairwise_recall": recall,
        "pairwise_f1": _harmonic(precision, recall),
        "bcubed_precision": b_precision,
        "bcubed_recall": b_recall,
        "bcubed_f1": _harmonic(b_precision, b_recall),
        "exact_share": _share(exact, connected),
    }


def _share(part: Fraction | int, whole: int) -> float | None:
    return float(Fraction(part) / whole) if whole else None


def _harmonic(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return None
    return 2 * one * other / (one + other) if one + other else 0.0
