"""The properties of web events as JSON, kind by kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa

from ingestion.simulator.arrays import Ints, Strings, choose
from ingestion.simulator.arrow_text import grouped_text, hex_ids, joined, money_text, number_text, picked
from ingestion.simulator.baskets import COUPONS
from ingestion.simulator.catalogue import CATEGORIES
from ingestion.simulator.clicks import ADD, CART, CHECKOUT, LIST, ORDER, PAGE, REMOVE, REVIEWED, SEARCH, STORE, VIEW
from ingestion.simulator.places import CURRENCIES
from ingestion.simulator.web import REFUND, WebEvents
from ingestion.simulator.world import Shop, World

_PAGES = (
    ("Home", "/"),
    ("Offers", "/offers"),
    ("Delivery", "/help/delivery"),
    ("Account", "/account"),
    ("Stores", "/stores"),
)

Builder = Callable[[Ints], Strings]


class WebProperties:
    """Makes the properties of the events of one chunk; each method takes row numbers and gives one JSON object each."""

    def __init__(self, rng: np.random.Generator, shop: Shop, world: World, events: WebEvents) -> None:
        self._rng, self._shop, self._world, self._events = rng, shop, world, events
        clicks = world.clicks
        self._product = np.where(events.click >= 0, clicks.product[events.click], -1)
        self._visit = np.where(events.click >= 0, clicks.visit[events.click], -1)
        self._currency = world.people.currency[events.person]
        self._carts = hex_ids(rng, world.visits.count, 8)
        self._codes = [f'"{code}"' for code in CURRENCIES]

    def all(self) -> Strings:
        """One JSON object per event."""
        makers: dict[int, Builder] = {
            PAGE: self._page, LIST: self._list, SEARCH: self._search, VIEW: self._view, ADD: self._in_cart,
            REMOVE: self._in_cart, CART: self._cart, CHECKOUT: self._cart, ORDER: self._order, REVIEWED: self._review,
            STORE: self._store, REFUND: self._refund,
        }  # fmt: skip
        parts, places = [], []
        for kind in np.unique(self._events.kind).tolist():
            rows = np.flatnonzero(self._events.kind == kind)
            maker = makers.get(kind)
            parts.append(maker(rows) if maker else pa.array(["{}"] * rows.size, pa.string()))
            places.append(rows)
        return picked(pa.concat_arrays(parts), np.argsort(np.concatenate(places)))

    def _page(self, rows: Ints) -> Strings:
        is_first = self._world.clicks.is_first[self._events.click[rows]]
        page = np.where(is_first, 0, choose(self._rng, rows.size, [2, 3, 1, 1, 1]))
        objects = [
            f'{{"name":"{name}","path":"{path}","url":"https://shop.example{path}","title":"{name}"}}'
            for name, path in _PAGES
        ]
        return picked(objects, page)

    def _list(self, rows: Ints) -> Strings:
        objects = [f'{{"list_id":"list-{i}","category":"{item.path}"}}' for i, item in enumerate(CATEGORIES)]
        return picked(objects, self._product[rows])

    def _search(self, rows: Ints) -> Strings:
        objects = [f'{{"query":"{thing.lower()}"}}' for item in CATEGORIES for thing in item.things[:4]]
        return picked(objects, self._product[rows] * 4 + choose(self._rng, rows.size, [4, 3, 2, 1]))

    def _goods(self, rows: Ints) -> Strings:
        currency = self._currency[rows]
        fragment = self._shop.catalogue.fragment(self._product[rows], currency)
        return joined(fragment, ',"currency":', picked(self._codes, currency))

    def _view(self, rows: Ints) -> Strings:
        return joined("{", self._goods(rows), "}")

    def _in_cart(self, rows: Ints) -> Strings:
        return joined("{", self._goods(rows), ',"quantity":1,"cart_id":"', picked(self._carts, self._visit[rows]), '"}')

    def _cart(self, rows: Ints) -> Strings:
        code = picked(self._codes, self._currency[rows])
        return joined('{"cart_id":"', picked(self._carts, self._visit[rows]), '","currency":', code, "}")

    def _review(self, rows: Ints) -> Strings:
        stars = number_text(1 + choose(self._rng, rows.size, [1, 1, 2, 4, 6]))
        review = hex_ids(self._rng, rows.size, 8)
        return joined("{", self._goods(rows), ',"review_id":"', review, '","rating":', stars, "}")

    def _store(self, rows: Ints) -> Strings:
        objects = [f'{{"store_id":"{store.store_id}"}}' for store in self._shop.stores]
        return picked(objects, self._events.kiosk[rows])

    def _order(self, rows: Ints) -> Strings:
        world, orders = self._world, self._world.orders
        order = world.visits.order[self._visit[rows]]
        every_line = np.arange(world.lines.order.size)
        products = _product_lists(self._shop, world, every_line, world.lines.order, world.purchases.count)
        coupon = orders.coupon[order]
        coupons = picked([f',"coupon":"{name}"' for name in COUPONS], coupon, only=coupon >= 0)
        amounts = [
            part
            for name in ("revenue", "shipping", "tax", "discount", "total")
            for part in (f',"{name}":', money_text(getattr(orders, name)[order]))
        ]
        return joined(
            '{"order_id":"', picked(world.order_ids, order), '","cart_id":"', picked(self._carts, self._visit[rows]),
            '","currency":', picked(self._codes, self._currency[rows]), *amounts, coupons,
            ',"products":[', picked(products, order), "]}",
        )  # fmt: skip

    def _refund(self, rows: Ints) -> Strings:
        world, refunds = self._world, self._world.refunds
        refund = self._events.refund[rows]
        products = _product_lists(self._shop, world, refunds.line, refunds.refund, refunds.order.size)
        total = np.bincount(refunds.refund, world.lines.net[refunds.line], refunds.order.size).astype(np.int64)
        return joined(
            '{"order_id":"', picked(world.order_ids, refunds.order[refund]),
            '","refund_id":"', picked(world.refund_ids, refund),
            '","currency":', picked(self._codes, self._currency[rows]), ',"total":', money_text(total[refund]),
            ',"products":[', picked(products, refund), "]}",
        )  # fmt: skip


def _product_lists(shop: Shop, world: World, line: Ints, group: Ints, groups: int) -> Strings:
    """The members of `products` of each group of lines (an order's or a refund's), without brackets."""
    lines = world.lines
    currency = world.people.currency[world.purchases.person[lines.order[line]]]
    objects = joined(
        "{", shop.catalogue.fragment(lines.product[line], currency), ',"quantity":', number_text(lines.quantity[line]),
        ',"discount":', money_text(lines.discount[line]), "}",
    )  # fmt: skip
    return grouped_text(objects, group, groups)
