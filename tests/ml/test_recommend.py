"""Recommendations: what is learnt, what lists may hold, what a stranger is offered, and that equal shops give equal files."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from ml import recommend, schema
from ml.baskets import Acts, Baskets
from ml.model import ModelError, ModelOptions, Trained
from ml.recommend_lists import BasketBatch, popular_products, similar_products
from ml.recommend_model import DISCOVERY, RANKER, RULES
from ml.retrieval import RetrievalParams, Shop, ShopActs
from ml.splits import Split, time_split
from tests.ml.made_up_baskets import (
    HORIZON,
    TODAY,
    acts_at,
    made_up_baskets,
    made_up_lines,
    made_up_products,
    made_up_views,
    outcomes_at,
)

PARAMS = recommend.params(ModelOptions(seed=7))


def split_of(data: Baskets) -> Split:
    return time_split(pd.DataFrame({"as_of_date": list(data.acts), "horizon_days": HORIZON}))


def trained_on(data: Baskets, params: recommend.RecommendParams = PARAMS) -> Trained[recommend.RecommendModel]:
    return recommend.train(data, split_of(data), params)


@pytest.fixture(scope="module")
def data() -> Baskets:
    return made_up_baskets()


@pytest.fixture(scope="module")
def trained(data: Baskets) -> Trained[recommend.RecommendModel]:
    return trained_on(data)


@pytest.fixture(scope="module")
def lines() -> pd.DataFrame:
    return made_up_lines()


@pytest.fixture(scope="module")
def today(lines: pd.DataFrame) -> Acts:
    return acts_at(lines, made_up_views(lines), TODAY)


def scored(model: recommend.RecommendModel, acts: Acts, products: pd.DataFrame | None = None) -> pd.DataFrame:
    products = made_up_products() if products is None else products
    return recommend.score(model, BasketBatch(ShopActs(acts, products), acts))


@pytest.fixture(scope="module")
def lists(trained: Trained[recommend.RecommendModel], today: Acts) -> pd.DataFrame:
    return scored(trained.model, today)


def test_both_lists_are_better_than_what_is_popular_on_customers_and_dates_that_were_not_seen(
    trained: Trained[recommend.RecommendModel],
) -> None:
    ours, popular = trained.card.metrics, trained.card.baseline_metrics["popularity"]
    for figure in ("all_ndcg_at_10", "all_recall_at_20", "new_ndcg_at_10"):
        assert ours[figure] > popular[figure] * 1.2, figure
    assert ours["new_coverage_at_10"] > popular["new_coverage_at_10"]
    assert {RANKER, *RULES} == set(trained.card.baseline_metrics)
    assert trained.card.test_date not in trained.card.train_dates
    assert max(trained.card.train_dates) + timedelta(days=HORIZON) <= trained.card.test_date


def test_what_happens_after_a_date_changes_nothing_that_was_offered_at_it(
    trained: Trained[recommend.RecommendModel], data: Baskets, lines: pd.DataFrame
) -> None:
    """Outcomes of the test date reach the card's figures and the refitted model, never the judged one."""
    test = trained.card.test_date
    upside_down = outcomes_at(lines, test).assign(product_id="p511")
    other = trained_on(replace(data, outcomes={**data.outcomes, test: upside_down.drop_duplicates()}))
    assert other.judged.to_files() == trained.judged.to_files()
    assert other.model.to_files() != trained.model.to_files()
    assert other.card.metrics["all_ndcg_at_10"] < trained.card.metrics["all_ndcg_at_10"] / 2


def test_equal_shops_give_equal_files_whatever_the_order_of_their_rows(
    trained: Trained[recommend.RecommendModel], data: Baskets
) -> None:
    again = trained_on(data)
    assert again.model.to_files() == trained.model.to_files()
    assert again.card == trained.card
    read = recommend.from_files(trained.model.to_files())
    assert read == trained.model
    shuffled = {
        day: Acts(day, acts.purchases.sample(frac=1, random_state=1), acts.views.sample(frac=1, random_state=2))
        for day, acts in data.acts.items()
    }
    mixed = trained_on(replace(data, acts=shuffled))
    assert mixed.model.to_files() == trained.model.to_files()


def test_lists_have_twenty_places_in_order_and_the_columns_of_the_table(lists: pd.DataFrame) -> None:
    assert list(lists.columns) == [c for c in schema.PREDICTIONS["recommendations"] if c != "model_version"]
    assert not lists.duplicated(["customer_id", "list", "product_id"]).any()
    for _, rows in lists.groupby(["customer_id", "list"]):
        assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
        assert rows["score"].is_monotonic_decreasing
        assert len(rows) <= 20
    assert (lists.groupby(["customer_id", "list"]).size() == 20).mean() > 0.9


def test_nothing_is_offered_that_is_out_of_stock_or_was_just_bought_once(
    lists: pd.DataFrame, today: Acts, trained: Trained[recommend.RecommendModel]
) -> None:
    assert "p000" not in set(lists["product_id"])
    in_stock = made_up_products().assign(stock=5)
    assert "p000" in set(scored(trained.model, today, in_stock)["product_id"]), "the rule, not chance, left it out"
    bought = today.purchases.drop_duplicates(["customer_id", "order_key", "product_id"])
    counts = bought.groupby(["customer_id", "product_id"]).agg(n=("order_key", "nunique"), last=("ordered_at", "max"))
    offered = lists[lists["list"] == "all"].set_index(["customer_id", "product_id"]).join(counts, how="inner")
    once = offered[offered["n"] == 1]
    assert len(once)
    assert not (once.index.get_level_values("product_id") == "p001").any(), "the catalogue says it is bought once"
    rare = made_up_products().assign(is_repeatable=False)
    all_once = scored(trained.model, today, rare).set_index(["customer_id", "product_id"]).join(counts, how="inner")
    assert (all_once["n"] > 1).all()
    assert len(all_once)


def test_the_list_of_new_products_holds_nothing_the_customer_has_ordered(lists: pd.DataFrame, today: Acts) -> None:
    had = set(zip(today.purchases["customer_id"], today.purchases["product_id"], strict=True))
    pairs = {name: set(zip(of["customer_id"], of["product_id"], strict=True)) for name, of in lists.groupby("list")}
    assert not pairs["new"] & had
    assert pairs["all"] & had


def test_strangers_are_offered_what_they_put_into_the_cart_and_looked_at_first(
    trained: Trained[recommend.RecommendModel], today: Acts
) -> None:
    yesterday = pd.Timestamp(TODAY) - pd.Timedelta(days=1)
    views = pd.DataFrame(
        {
            "customer_id": ["stranger", "stranger"],
            "product_id": ["p207", "p999"],
            "occurred_at": pd.Series([yesterday] * 2, dtype="datetime64[us]"),
            "is_cart": [False, True],
        }
    )
    acts = Acts(TODAY, today.purchases, pd.concat([today.views, views]))
    found = scored(trained.model, acts).query("customer_id == 'stranger' and list == 'new'")
    assert found["product_id"].tolist()[:2] == ["p999", "p207"]
    assert json.loads(found["reason_codes"].iat[0])[0]["reason"] == "in_cart"
    beside = set(found["product_id"].str[:2].tolist()[2:])
    assert "p2" in beside, "what goes with it is on the same shelf"


def test_a_customer_gets_the_same_lists_whoever_is_scored_beside_it(
    trained: Trained[recommend.RecommendModel], today: Acts, lists: pd.DataFrame
) -> None:
    of = ShopActs(today, made_up_products())
    some = sorted(lists["customer_id"].unique())[3:6]
    alone = pd.concat([recommend.score(trained.model, BasketBatch(of, today.of([one]))) for one in some])
    together = lists[lists["customer_id"].isin(some)]
    order = ["customer_id", "list", "rank"]
    pd.testing.assert_frame_equal(
        alone.sort_values(order, ignore_index=True), together.sort_values(order, ignore_index=True), rtol=1e-4
    )


def test_reasons_say_what_the_customer_did_and_name_products(lists: pd.DataFrame) -> None:
    reasons: list[dict[str, Any]] = [reason for codes in lists["reason_codes"] for reason in json.loads(codes)]
    said = {reason["reason"] for reason in reasons}
    assert {"ordered_before", "goes_with", "popular"} <= said
    goes_with = next(reason for reason in reasons if reason["reason"] == "goes_with")
    assert goes_with["text"].startswith("often ordered with Thing p")
    assert (lists["reason_codes"].str.len() > 2).mean() > 0.95


def test_losses_are_one_per_customer_and_lower_for_the_model_that_learnt(
    trained: Trained[recommend.RecommendModel], data: Baskets
) -> None:
    rows = data.on(trained.card.test_date)
    ours = recommend.losses(trained.judged, rows)
    blind = replace(trained.judged, chosen=dict.fromkeys(("all", "new"), "popularity"))
    assert len(ours) == trained.card.test_rows
    assert ((ours >= 0) & (ours <= 1)).all()
    assert ours.mean() < recommend.losses(blind, rows).mean()


def test_a_rule_orders_a_list_where_it_was_better_before_the_test(data: Baskets) -> None:
    idle = replace(PARAMS, trees=1, ranker={**PARAMS.ranker, "learning_rate": 1e-9})
    found = trained_on(data, idle)
    assert found.card.parameters["judged"]["all"] in RULES
    assert found.judged.chosen == found.card.parameters["judged"]


def test_with_one_date_before_the_test_customers_are_kept_apart() -> None:
    found = trained_on(made_up_baskets(300, dates=2))
    assert len(found.card.train_dates) == 1
    assert found.card.metrics["all_ndcg_at_10"] > found.card.baseline_metrics["popularity"]["all_ndcg_at_10"]


def test_a_shop_with_too_few_customers_gets_a_sentence() -> None:
    with pytest.raises(ModelError, match=r"30 are needed\."):
        trained_on(made_up_baskets(12))


def test_a_shop_whose_orders_name_no_product_gets_a_sentence_and_its_customers_no_lists(
    data: Baskets, today: Acts, trained: Trained[Any]
) -> None:
    nothing = {day: Acts(day, acts.purchases.head(0), acts.views.head(0)) for day, acts in data.acts.items()}
    for empty in (
        replace(data, acts=nothing),
        replace(data, outcomes={day: o.head(0) for day, o in data.outcomes.items()}),
    ):
        with pytest.raises(ModelError, match="have to name their products"):
            trained_on(empty)
    bare = replace(today, purchases=today.purchases.head(0), views=today.views.head(0))
    assert scored(trained.model, bare, made_up_products().head(0)).empty


@pytest.mark.parametrize("products", ["none", "without names"])
def test_a_shop_without_a_catalogue_is_served(data: Baskets, today: Acts, products: str) -> None:
    bare = made_up_products().assign(product_name=None, category=None, stock=None, is_repeatable=None)
    catalogue = bare.head(0) if products == "none" else bare
    found = trained_on(replace(data, products=catalogue))
    assert len(scored(found.model, today, catalogue))


def test_similar_products_stand_on_the_same_shelf_and_popular_ones_are_in_stock(today: Acts) -> None:
    shop = Shop(today, made_up_products(), RetrievalParams(7))
    similar = similar_products(shop)
    assert list(similar.columns) == list(schema.PREDICTIONS["similar_products"])
    first = similar[similar["rank"] == 1]
    assert (first["product_id"].str[1] == first["similar_product_id"].str[1]).mean() > 0.8
    assert "p000" not in set(similar["similar_product_id"])
    popular = popular_products(shop)
    assert list(popular.columns) == list(schema.PREDICTIONS["popular_products"])
    assert popular["score"].is_monotonic_decreasing
    counted = today.purchases[today.purchases["ordered_at"] >= pd.Timestamp(TODAY) - pd.Timedelta(days=30)]
    best = popular.iloc[0]
    assert best["score"] == counted[counted["product_id"] == best["product_id"]]["customer_id"].nunique()
    assert "p000" not in set(popular["product_id"])


def test_the_discount_for_popularity_shows_more_of_the_catalogue(
    trained: Trained[recommend.RecommendModel], monkeypatch: pytest.MonkeyPatch, data: Baskets
) -> None:
    assert DISCOVERY > 0
    monkeypatch.setattr("ml.recommend_model.DISCOVERY", 0.0)
    plain = trained_on(data)
    assert plain.card.metrics["new_coverage_at_10"] <= trained.card.metrics["new_coverage_at_10"]


def test_empty_acts_give_no_rows(trained: Trained[recommend.RecommendModel], today: Acts) -> None:
    nobody = Acts(TODAY, today.purchases.head(0), today.views.head(0))
    found = recommend.score(trained.model, BasketBatch(ShopActs(today, made_up_products()), nobody))
    assert not len(found)
    assert np.issubdtype(found["rank"].dtype, np.integer)
