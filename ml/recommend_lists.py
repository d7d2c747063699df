"""Lists for customers with their reasons, and two tables for everybody: what goes with a product, and what is popular."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pandas as pd

from ml.baskets import Acts, IntArray, Pairs
from ml.candidates import Candidates
from ml.reasons import REASON_COUNT, spoken
from ml.recommend_model import LISTS, RecommendModel
from ml.retrieval import Shop, ShopActs, best, places
from ml.schema import FloatArray

LENGTH: Final = 20
SIMILAR: Final = 10
POPULAR_LENGTH: Final = 50


@dataclass(frozen=True)
class BasketBatch:
    """Some of today's customers with all their acts, and the shop that they are customers of."""

    of: ShopActs
    acts: Acts


def best_lists(model: RecommendModel, found: Candidates, *, explain: bool = True) -> pd.DataFrame:
    """The columns of recommendations but model_version: the first LENGTH candidates of each list, best first.

    `reason_codes` are empty lists without `explain`.
    """
    return pd.concat([_list(model.order(found, name), name, found, explain) for name in LISTS], ignore_index=True)


def _list(scores: Pairs, name: str, found: Candidates, explain: bool) -> pd.DataFrame:
    of, shop = found.of, found.shop
    top = best(scores, len(of.ids), LENGTH)
    rank = places(top, len(of.ids))
    order = np.lexsort((rank, top.rows))
    keys = top.keys[order]
    return pd.DataFrame(
        {
            "customer_id": of.ids[keys // shop.width],
            "as_of_date": np.full(len(keys), np.datetime64(shop.acts.as_of_date, "us")),
            "list": name,
            "rank": (rank[order] + 1).astype(np.int32),
            "product_id": shop.ids[keys % shop.width],
            "score": top.values[order],
            "reason_codes": list(_reasons(keys, found)) if explain else ["[]"] * len(keys),
        }
    )


def _reasons(keys: IntArray, found: Candidates) -> Iterator[str]:
    """JSON per pair: up to 3 {"reason", "product_id", "value", "text"}, the customer's own acts first, popularity last."""
    of, shop = found.of, found.shop
    partner, partner_days = _partners(keys, found)
    buyers = shop.buyers(30)[keys % shop.width] / shop.share
    orders, last, views, carts = (
        of.orders.at(keys),
        of.last_days.at(keys),
        of.views.at(keys),
        of.carts.at(keys),
    )
    for place, key in enumerate(keys.tolist()):
        said: list[dict[str, Any]] = []
        if orders[place]:
            times = "once" if orders[place] == 1 else f"{spoken(orders[place], 'orders')} times"
            text = f"ordered {times}, last {spoken(last[place], 'days')} days ago"
            said.append(_reason("ordered_before", shop.ids[key % shop.width], orders[place], text))
        if carts[place]:
            said.append(_reason("in_cart", shop.ids[key % shop.width], carts[place], "put into the cart lately"))
        elif views[place]:
            said.append(_reason("looked_at", shop.ids[key % shop.width], views[place], "looked at lately"))
        if partner[place] >= 0:
            days = partner_days[place]
            when = "looked at lately" if np.isnan(days) else f"ordered {spoken(days, 'days')} days ago"
            other = int(partner[place])
            said.append(_reason("goes_with", shop.ids[other], days, f"often ordered with {_name(shop, other)}, {when}"))
        if buyers[place] >= 1:
            count = spoken(float(np.round(buyers[place])), "customers")
            text = "1 customer ordered it in 30 days" if count == "1" else f"{count} customers ordered it in 30 days"
            said.append(_reason("popular", shop.ids[key % shop.width], buyers[place], text))
        yield json.dumps(said[:REASON_COUNT])


def _reason(reason: str, product_id: str, value: float, text: str) -> dict[str, Any]:
    return {
        "reason": reason,
        "product_id": product_id,
        "value": None if np.isnan(value) else round(float(value), 4),
        "text": text,
    }


def _name(shop: Shop, column: int) -> str:
    name = shop.products["product_name"].iat[column]
    return str(name) if isinstance(name, str) and name else str(shop.ids[column])


def _partners(keys: IntArray, found: Candidates) -> tuple[IntArray, FloatArray]:
    """Per pair what the customer cares for that goes best with the product (-1: nothing), and days since it was ordered."""
    shop, cares, near = found.shop, found.of.interest, found.shop.together
    rows, columns = keys // shop.width, keys % shop.width
    counts = np.diff(near.indptr)[columns]
    pair = np.repeat(np.arange(len(keys)), counts)
    offset = np.arange(len(pair)) - np.repeat(np.cumsum(counts) - counts, counts)
    place = near.indptr[columns][pair] + offset
    others = near.indices[place].astype(np.int64)
    strength = near.data[place] * cares.at(rows[pair] * shop.width + others)
    order = np.lexsort((others, -strength, pair))
    is_first = np.r_[True, pair[order][1:] != pair[order][:-1]] if len(order) else np.empty(0, dtype=bool)
    winners = order[is_first]
    partner = np.full(len(keys), -1, dtype=np.int64)
    partner[pair[winners]] = np.where(strength[winners] > 0, others[winners], -1)
    days = found.of.last_days.at(rows * shop.width + np.maximum(partner, 0), otherwise=np.nan)
    return partner, days


def similar_products(shop: Shop) -> pd.DataFrame:
    """product_id, rank, similar_product_id, score: what is ordered together most; of two products never ordered
    together but of the same customers, that counts half. What is out of stock is left out."""
    both = (shop.together + 0.5 * shop.shared_buyers).tocsr()
    both.sort_indices()
    rows = np.repeat(np.arange(shop.width, dtype=np.int64), np.diff(both.indptr))
    in_stock = _in_stock(shop)[both.indices]
    pairs = Pairs((rows * shop.width + both.indices)[in_stock], both.data[in_stock].astype(np.float64), shop.width)
    top = best(pairs, shop.width, SIMILAR)
    return pd.DataFrame(
        {
            "product_id": shop.ids[top.rows],
            "rank": (places(top, shop.width) + 1).astype(np.int32),
            "similar_product_id": shop.ids[top.columns],
            "score": top.values,
        }
    ).sort_values(["product_id", "rank"], ignore_index=True)


def popular_products(shop: Shop) -> pd.DataFrame:
    """rank, product_id, score (customers who ordered it in 30 days) of the products in stock: for who is not known at all."""
    order = np.argsort(-shop.popularity, kind="stable")
    order = order[_in_stock(shop)[order] & (shop.buyers(90)[order] > 0)][:POPULAR_LENGTH]
    return pd.DataFrame(
        {
            "rank": np.arange(1, len(order) + 1, dtype=np.int32),
            "product_id": shop.ids[order],
            "score": np.round(shop.buyers(30)[order] / shop.share),
        }
    )


def _in_stock(shop: Shop) -> npt.NDArray[np.bool_]:
    stock = shop.products["stock"].to_numpy(dtype=np.float64, na_value=np.nan)
    return np.asarray(~(stock <= 0))
