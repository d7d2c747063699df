"""What stitching is judged by: the partitions that an implementation finds which looks at everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from random import Random

import numpy as np
import pyarrow as pa
import pytest

from identity import quality
from identity.quality import METHODS, judge_identifiers
from identity.rules import load_rules
from identity.tables import EVIDENCE_IDENTIFIERS, IDENTIFIERS
from tests.identity import quality_oracle
from tests.identity.quality_oracle import Identifier, Shop, random_shop

RULES = load_rules()


def judged(shop: Shop) -> pa.Table:
    names = shop.identifiers
    place = {name: number for number, name in enumerate(names)}
    members = [(row, place[name]) for row, (_, held) in enumerate(shop.evidence) for name in sorted(held)]
    one_owner = {name: next(iter(shop.owners[name])) for name in shop.judged}
    return judge_identifiers(
        identifiers=pa.Table.from_pylist(
            [dict(zip(IDENTIFIERS.names, (":".join(name), *name), strict=True)) for name in names], IDENTIFIERS
        ),
        evidence_identifiers=pa.table(
            [pa.array(column, pa.int32()) for column in zip(*members, strict=True)], schema=EVIDENCE_IDENTIFIERS
        ),
        last_seen=pa.array([datetime(2026, 1, 1) + timedelta(days=at) for at, _ in shop.evidence], pa.timestamp("us")),
        owners=pa.array([one_owner.get(name) for name in names], pa.string()),
        customers=pa.array([shop.customers.get(name) for name in names], pa.string()),
        rules=RULES,
    )


def partition(labels: Mapping[Identifier, object], names: list[Identifier]) -> set[frozenset[str]]:
    parts: dict[object, set[str]] = {}
    for name in names:
        parts.setdefault(labels[name], set()).add(":".join(name))
    return {frozenset(part) for part in parts.values()}


def agrees(shop: Shop) -> None:
    table = judged(shop)
    assert dict(zip(table["identifier_id"].to_pylist(), table["person_id"].to_pylist(), strict=True)) == {
        ":".join(name): next(iter(shop.owners[name])) for name in shop.judged
    }
    for column in ("reachable", *METHODS):
        by_hand = partition(getattr(quality_oracle, column)(shop), shop.judged)
        parts: dict[int, set[str]] = {}
        for row in table.to_pylist():
            parts.setdefault(row[column], set()).add(row["identifier_id"])
        assert {frozenset(part) for part in parts.values()} == by_hand, column


def agree_on_many_shops() -> None:
    for seed in range(300):
        agrees(random_shop(Random(seed)))


def test_every_way_of_stitching_puts_together_what_the_direct_implementation_does() -> None:
    agree_on_many_shops()


FIND_NEWEST = quality._newest_above
MUTANTS: dict[str, Callable[..., object]] = {
    "_first_places": lambda labels: np.arange(len(labels)),
    "_alone_where_absent": lambda codes: codes,
    "_follow": lambda target: target,
    "_newest_above": lambda pairs, types, rules, follows: FIND_NEWEST(pairs, types, rules, np.greater),
    "block_reasons": lambda identifiers, rules: pa.nulls(len(identifiers), pa.string()),
    "reachable": lambda pairs, owner: quality.unconstrained(pairs),
    "unconstrained": lambda pairs: quality.reachable(pairs, np.zeros(pairs.count, np.int64) - 1),
    "last_login_wins": quality.one_hop,
    "one_hop": quality.last_login_wins,
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_method_that_does_something_else_is_found_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, name, MUTANTS[name])
    with pytest.raises(AssertionError):
        agree_on_many_shops()


def test_the_order_of_rows_changes_nothing() -> None:
    for seed in range(50):
        shop = random_shop(Random(seed))
        turned = Shop(shop.evidence[::-1], shop.owners, shop.customers)
        assert judged(shop) == judged(turned)


def test_a_shared_device_reaches_nobody_and_two_logins_on_it_stay_two() -> None:
    anna, ben, device = ("user_id", "anna"), ("user_id", "ben"), ("device_id", "d")
    shop = Shop(
        [(1, frozenset({anna, device})), (2, frozenset({ben, device}))],
        {anna: {"1"}, ben: {"2"}, device: {"1", "2"}},
        {anna: "x", ben: "x", device: "x"},
    )
    rows = {row["identifier_id"]: row for row in judged(shop).to_pylist()}
    assert rows.keys() == {"user_id:anna", "user_id:ben"}
    one, other = rows.values()
    assert one["reachable"] != other["reachable"]
    assert one["weft"] == other["weft"]
    assert one["last_login_wins"] != other["last_login_wins"]
    assert one["components"] == other["components"]


def test_an_empty_shop_is_judged() -> None:
    assert judged_empty().num_rows == 0


def judged_empty() -> pa.Table:
    nothing = pa.array([], pa.string())
    return judge_identifiers(
        identifiers=IDENTIFIERS.empty_table(),
        evidence_identifiers=EVIDENCE_IDENTIFIERS.empty_table(),
        last_seen=pa.array([], pa.timestamp("us")),
        owners=nothing,
        customers=nothing,
        rules=RULES,
    )
