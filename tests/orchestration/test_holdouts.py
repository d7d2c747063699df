"""Holdouts on a small warehouse: who is left alone stays so through growth, rebuilds and merges, and lift compares the rest with them."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from math import sqrt
from pathlib import Path

import numpy as np
import pytest

from orchestration.errors import GateError
from orchestration.gate import CONTAMINATED, HELD_OUT
from orchestration.holdouts import EVERYBODY
from orchestration.lift import assignment_counts, measure_lift
from orchestration.resources import Platform
from orchestration.settings import load_settings
from tests.orchestration.gated_shop import ALL, AS_OF, Shop, opened_shop

NOW = datetime(2026, 3, 1, 12)
PEOPLE = [f"p{number:04}" for number in range(1_500)]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    opened = opened_shop(Platform(load_settings(home=tmp_path)), monkeypatch)
    opened.consents = {name: dict(ALL) for name in PEOPLE}
    return opened


def hold_out(shop: Shop, percent: float, scope: str = EVERYBODY) -> None:
    shop.platform.state.holdouts.set(scope, percent, salt="salt", note="a test", made_by="eve", now=NOW)


def assigned(shop: Shop) -> dict[tuple[str, str], tuple[bool, datetime]]:
    with shop.platform.warehouse.open_served() as served:
        rows = served.rows("select scope, customer_id, is_held_out, assigned_at from audiences.holdout_assignments")
    return {(scope, name): (held, at) for scope, name, held, at in rows}


def test_a_holdout_is_a_fair_share_that_stays_itself_through_growth_and_rebuilds(shop: Shop) -> None:
    buyers, others = shop.audience("buyers", PEOPLE[:1_000]), shop.audience("others", PEOPLE[:1_000])
    shop.build()
    hold_out(shop, 10)
    at_once = shop.passing(buyers)
    assert abs(len(at_once) - 900) < 4 * sqrt(1_000 * 0.1 * 0.9)
    assert shop.passing(others) == at_once, "who is left alone is left alone everywhere"
    shop.build()
    assert shop.passing(buyers) == at_once, "what was assigned is what was told before it was"
    first = assigned(shop)
    assert {name for (_, name), (held, _) in first.items() if not held} == at_once
    shop.audience("buyers", PEOPLE)
    shop.as_of += timedelta(days=1)
    shop.build()
    assert first.items() <= assigned(shop).items(), "nobody is assigned twice"
    assert {at for _, at in assigned(shop).values()} == {AS_OF, AS_OF + timedelta(days=1)}
    assert shop.passing(buyers) & set(PEOPLE[:1_000]) == at_once

    hold_out(shop, 50, "others")
    own = shop.passing(others)
    assert 0.4 < len(own) / len(at_once) < 0.6
    assert own < at_once
    hold_out(shop, 10)
    assert shop.passing(buyers) >= at_once, "the same share again is the same round"
    hold_out(shop, 0, "others")
    hold_out(shop, 0)
    assert shop.passing(buyers) == set(PEOPLE)
    hold_out(shop, 10)
    assert shop.platform.state.holdouts.list()[0].round == 2
    assert shop.passing(others) != at_once, "another round draws lots anew"
    hold_out(shop, 100)
    assert shop.gated(others).withheld == {HELD_OUT: 1_000}


def test_nobody_is_assigned_who_could_not_have_been_published(shop: Shop) -> None:
    shop.consents[PEOPLE[0]]["advertising"] = False
    shop.platform.state.exclusions.add([("customer_id", PEOPLE[1])], note="", made_by="eve", now=NOW)
    shop.audience("buyers", PEOPLE[:4])
    hold_out(shop, 50)
    shop.build()
    assert {name for _, name in assigned(shop)} == set(PEOPLE[2:4])


def test_a_person_merged_from_both_sides_is_withheld_and_counts_for_neither_and_a_person_of_one_side_keeps_it(
    shop: Shop,
) -> None:
    buyers = shop.audience("buyers", PEOPLE[:200])
    hold_out(shop, 50)
    shop.build()
    sides = assigned(shop)
    held = [name for name in PEOPLE[:200] if sides[EVERYBODY, name][0]]
    treated = [name for name in PEOPLE[:200] if not sides[EVERYBODY, name][0]]
    # an older customer that was never assigned takes in one that was: the side is the one that was lived in
    shop.redirects = {
        held[0]: treated[0],
        treated[1]: held[1],
        held[2]: held[3],
        held[4]: PEOPLE[900],
        treated[4]: PEOPLE[901],
    }
    shop.audience("buyers", [*PEOPLE[:200], PEOPLE[900], PEOPLE[901]])
    shop.build()
    gated = shop.gated(buyers)
    passing = set(gated.members["customer_id"].to_pylist())
    assert gated.withheld[CONTAMINATED] == 2
    assert not {treated[0], held[1], held[3], PEOPLE[900]} & passing
    assert PEOPLE[901] in passing
    with shop.platform.warehouse.open_served() as served:
        counts = assignment_counts(served, shop.platform.state.holdouts.list()[0])
    # two pairs are on neither side, one pair of the held out is one person
    assert counts == {"reached": len(treated) - 2, "held out": len(held) - 3, "merged from both sides": 2}
    shop.redirects = {}
    shop.build()
    assert held[0] not in shop.passing(buyers)
    assert treated[0] in shop.passing(buyers), "split again, each takes its side back"


def test_who_is_split_off_keeps_the_side_of_whom_they_were_with(shop: Shop) -> None:
    shop.audience("buyers", PEOPLE[:100])
    hold_out(shop, 50)
    shop.build()
    before = assigned(shop)
    shop.history = [("split", name, f"{name}-b") for name in PEOPLE[:100]]
    shop.consents |= {f"{name}-b": dict(ALL) for name in PEOPLE[:100]}
    shop.audience("buyers", [*PEOPLE[:100], *(f"{name}-b" for name in PEOPLE[:100])])
    shop.build()
    after = assigned(shop)
    assert all(after[EVERYBODY, f"{name}-b"][0] == before[EVERYBODY, name][0] for name in PEOPLE[:100])


def test_lift_counts_orders_after_entering_by_intention_to_treat_without_who_counts_for_neither(shop: Shop) -> None:
    shop.audience("buyers", PEOPLE)
    shop.build()
    with pytest.raises(GateError, match="Nobody of buyers is held out"):
        lift_of(shop)
    hold_out(shop, 30, "buyers")
    with pytest.raises(GateError, match="has been assigned yet"):
        lift_of(shop)
    shop.build()
    sides = {name: held for (_, name), (held, _) in assigned(shop).items()}
    held, treated = (sorted(name for name, side in sides.items() if side is which) for which in (True, False))
    rng = np.random.default_rng(5)
    shop.orders = [
        *ordered(rng.permutation(treated)[:400], AS_OF + timedelta(days=2), 30.0),
        *ordered(rng.permutation(held)[:40], AS_OF + timedelta(days=9), 30.0),
        *ordered(held, AS_OF - timedelta(days=1), 500.0),  # before they were assigned
        *ordered(treated, AS_OF + timedelta(days=40), 500.0),  # not known yet
    ]
    shop.consents[treated[0]]["advertising"] = False  # reached once: counted all the same
    shop.as_of += timedelta(days=20)
    shop.build()
    found = lift_of(shop)
    assert (found.treated.people, found.held_out.people) == (len(treated), len(held))
    assert (found.treated.buyers, found.held_out.buyers) == (400, 40)
    assert found.treated.mean_revenue == pytest.approx(400 * 30 / len(treated))
    assert found.conversion.is_clear and found.revenue.is_clear
    assert "Newcombe 1998" in found.text() and "Welch 1947" in found.text()
    assert lift_of(shop, days=7).held_out.buyers == 0
    assert lift_of(shop, days=30).treated.people == 0, "nobody was there for 30 days"
    shop.redirects = {held[0]: treated[0]}
    shop.build()
    merged = lift_of(shop)
    assert (merged.contaminated, merged.treated.people, merged.held_out.people) == (1, len(treated) - 1, len(held) - 1)


def test_an_audiences_own_experiment_leaves_out_who_is_left_alone_everywhere(shop: Shop) -> None:
    shop.audience("buyers", PEOPLE)
    hold_out(shop, 20)
    hold_out(shop, 50, "buyers")
    shop.build()
    alone = {name for (scope, name), (held, _) in assigned(shop).items() if scope == EVERYBODY and held}
    found = lift_of(shop)
    assert found.treated.people + found.held_out.people == len(PEOPLE) - len(alone)


def lift_of(shop: Shop, days: int | None = None):  # type: ignore[no-untyped-def]
    with shop.platform.warehouse.open_served() as served:
        return measure_lift(served, shop.platform.state, "buyers", days=days)


def ordered(names: Iterable[str], at: datetime, amount: float) -> list[tuple[str, str, datetime, float]]:
    return [(f"{at}{name}", str(name), at, amount) for name in names]
