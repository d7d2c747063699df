"""The table that a model of uplift learns from: it tells what `weft audience lift` tells, person by person, with what was known then."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from orchestration.clock import FEATURE_DATES
from orchestration.holdouts import EVERYBODY
from orchestration.lift import measure_lift
from orchestration.memberships import settle_audiences
from orchestration.resources import Platform
from orchestration.settings import load_settings
from orchestration.treatments import HORIZONS, write_treatments
from orchestration.warehouse import write_table
from tests.orchestration.gated_shop import ALL, AS_OF, Shop, opened_shop

PEOPLE = [f"p{number:03}" for number in range(300)]
FEATURES = {"customer_id": "varchar", "as_of_date": "date", "recency_days": "float8", "order_count": "bigint"}
Rows = dict[tuple[str, str, str], dict[str, Any]]


@pytest.fixture(params=["duckdb", "postgres"])
def shop(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    address = {} if request.param == "duckdb" else {"postgres_url": request.getfixturevalue("postgres_url")}
    opened = opened_shop(Platform(load_settings(home=tmp_path, target=request.param, **address)), monkeypatch)
    opened.consents = {name: dict(ALL) for name in PEOPLE}
    opened.audience("buyers", PEOPLE[:250])
    return opened


def hold_out(shop: Shop, percent: float, scope: str) -> None:
    shop.platform.state.holdouts.set(scope, percent, salt="salt", note="a test", made_by="eve", now=AS_OF)


def run(shop: Shop, day: int) -> Rows:
    """A pass on a day: the build, features of a month before and of the day itself, memberships, the table; its rows."""
    shop.as_of = AS_OF + timedelta(days=day)
    shop.build(served=False)
    with shop.platform.warehouse.writer() as connection:
        dates = [shop.as_of - timedelta(days=30), shop.as_of]
        given = {"as_of_date": [each.date() for each in dates], "as_of": dates, "is_training_date": [True, False]}
        write_table(connection, "control.feature_dates", pa.table(given), FEATURE_DATES)
        living = sorted({shop.redirects.get(name, name) for name in PEOPLE[:200]})  # the others never ordered
        features = pa.concat_tables(
            pa.table(
                {
                    "customer_id": living,
                    "as_of_date": [each.date()] * len(living),
                    "recency_days": [float((each - AS_OF).days) for _ in living],
                    "order_count": [int(name[1:]) for name in living],
                }
            )
            for each in dates
        )
        write_table(connection, "features.customer_features", features, FEATURES)
        settle_audiences(connection, shop.platform.state)
        write_treatments(connection, shop.platform.state)
        rows = connection.arrow("select * from predictions.treatment_outcomes").to_pylist()
    shop.platform.warehouse.serve_newest_build()
    return {(row["audience"], row["scope"], row["customer_id"]): row for row in rows}


def order(shop: Shop, who: list[str], day: float, amount: float) -> None:
    at = AS_OF + timedelta(days=day)
    shop.orders += [(f"{day} {name}", name, at, amount) for name in who]


def equals_lift(shop: Shop, rows: Rows, audience: str, scope: str) -> None:
    for days in HORIZONS:
        with shop.platform.warehouse.open_served() as served:
            lift = measure_lift(served, shop.platform.state, audience, days=days)
        assert lift.holdout.scope == scope
        mine = [row for (name, of, _), row in rows.items() if (name, of) == (audience, scope)]
        assert sum(row["is_contaminated"] for row in mine) == lift.contaminated
        for side, is_treated in ((lift.treated, True), (lift.held_out, False)):
            known = [row for row in mine if row["is_treated"] is is_treated and row[f"order_count_{days}d"] is not None]
            assert len(known) == side.people
            assert sum(row[f"order_count_{days}d"] > 0 for row in known) == side.buyers
            assert sum(row[f"net_revenue_{days}d"] for row in known) == pytest.approx(side.mean_revenue * side.people)


def test_it_tells_of_each_person_what_lift_tells_of_all_and_what_was_known_on_entering(shop: Shop) -> None:
    hold_out(shop, 40, EVERYBODY)
    first = run(shop, 0)
    assert {name for _, _, name in first} == set(PEOPLE[:250])
    assert {row["order_count_30d"] for row in first.values()} == {None}, "nobody was there for 30 days"
    assert {row["features_on"] for row in first.values()} == {AS_OF.date(), None}
    assert json.loads(first["buyers", EVERYBODY, "p007"]["features"]) == {"recency_days": 0.0, "order_count": 7}
    assert first["buyers", EVERYBODY, "p220"]["features"] is None, "who never ordered has no features"

    order(shop, PEOPLE[:90], 3, 20.0)
    order(shop, PEOPLE[50:120], 45, 10.0)
    order(shop, PEOPLE[:250], -2, 500.0)
    shop.audience("buyers", PEOPLE)
    shop.audience("fans", PEOPLE[100:160])
    hold_out(shop, 50, "fans")
    second = run(shop, 31)
    assert second["buyers", EVERYBODY, "p007"] == first["buyers", EVERYBODY, "p007"] | {
        "order_count_30d": 1,
        "net_revenue_30d": 20.0,
    }, "what was known on entering stays as it was"
    assert second["buyers", EVERYBODY, "p290"]["entered_at"] == AS_OF + timedelta(days=31)
    assert (
        second["fans", "fans", next(name for a, s, name in second if (a, s) == ("fans", "fans"))]["order_count_30d"]
        is None
    )
    equals_lift(shop, second, "buyers", EVERYBODY)
    equals_lift(shop, second, "fans", "fans")

    third = run(shop, 95)
    assert third["buyers", EVERYBODY, "p060"]["order_count_90d"] == 2
    equals_lift(shop, third, "buyers", EVERYBODY)
    equals_lift(shop, third, "fans", "fans")
    assert run(shop, 95) == third, "the same build again changes nothing"
    hold_out(shop, 0, "fans")
    assert run(shop, 96) == third, "an ended round stays as it was"


@pytest.mark.parametrize("shop", ["duckdb"], indirect=True)
def test_merged_customers_are_one_row_with_the_side_that_they_lived_in(shop: Shop) -> None:
    hold_out(shop, 50, "buyers")
    first = run(shop, 0)
    held = [name for (_, _, name), row in first.items() if not row["is_treated"] and name < "p200"]
    treated = [name for (_, _, name), row in first.items() if row["is_treated"] and name < "p200"]
    order(shop, [treated[1], treated[2]], 2, 5.0)
    shop.redirects = {held[0]: treated[0], treated[2]: PEOPLE[299], held[1]: held[2]}
    shop.audience("buyers", [*PEOPLE[:250], PEOPLE[299]])
    merged = run(shop, 35)
    assert len(merged) == len(first) - 2
    both = merged["buyers", "buyers", treated[0]]
    assert (both["is_contaminated"], both["is_treated"]) == (True, None)
    taken_in, absorbed = merged["buyers", "buyers", PEOPLE[299]], first["buyers", "buyers", treated[2]]
    assert (taken_in["is_treated"], taken_in["entered_at"]) == (True, absorbed["entered_at"])
    assert (taken_in["features"], taken_in["features_on"]) == (absorbed["features"], absorbed["features_on"])
    equals_lift(shop, merged, "buyers", "buyers")
    assert run(shop, 35) == merged
    shop.redirects = {}
    assert run(shop, 36).keys() - first.keys() == {("buyers", "buyers", PEOPLE[299])}
