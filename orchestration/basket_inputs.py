"""What recommendations are handed: purchases and product views as known at each date, and what was bought after it."""

from collections.abc import Iterator
from datetime import date
from typing import Any, Final

import pandas as pd
import pyarrow as pa

from ml import schema, splits
from ml.baskets import OUTCOMES, PRODUCTS, PURCHASES, VIEWS, Acts, Baskets
from ml.model import Reads
from ml.recommend_lists import BasketBatch, popular_products, similar_products
from ml.recommend_model import RecommendModel
from ml.retrieval import ShopActs
from ml.splits import Split
from orchestration.run_features import RUN_DATE, refuse_stale_features
from orchestration.warehouse import Connection, scalar, write_table

MOST_LINES: Final = 1_000_000
"""Order lines of one date that products are judged by at most; of more, a sample of customers."""
MOST_DATES: Final = 4
"""The test date and those before it that are learnt from."""
BATCH_CUSTOMERS: Final = 4_000
"""Customers that are scored at a time: with 200 candidates each, about 180 MB."""
TODAYS_ACTS: Final = f"""
    select customer_id, order_key, product_id, ordered_at as acted_at, false as is_cart
    from features.known_purchases where as_of_date = {RUN_DATE}
    union all
    select customer_id, cast(null as varchar) as order_key, product_id, occurred_at as acted_at, is_cart
    from features.known_product_views where as_of_date = {RUN_DATE}
    order by customer_id
"""


class BasketInputs:
    """Rows of features.known_purchases and features.known_product_views, with those of features.product_labels for training."""

    def training(self, connection: Connection, reads: Reads) -> Baskets:
        """The newest labelled dates, of the sampled customers. Raises ModelError where there is none."""
        [horizon] = reads.horizons
        days = connection.rows(
            "select distinct as_of_date from features.customer_labels where horizon_days = ? and as_of_date in "
            "(select as_of_date from control.feature_dates where is_training_date) order by as_of_date desc",
            [horizon],
        )
        split = splits.time_split(_as_labels([day for (day,) in days], horizon))
        used = [*split.dates_before_test, split.test_date][-MOST_DATES:]
        share = _share(connection, split.test_date)
        return Baskets(
            horizon,
            {day: _acts(connection, day, share) for day in used},
            {day: _outcomes(connection, day, horizon, share) for day in used},
            _products(connection),
            share,
        )

    def split(self, data: Baskets, reads: Reads) -> Split:
        """By the dates of the labels."""
        return splits.time_split(_as_labels(list(data.acts), data.horizon_days))

    def on(self, data: Baskets, day: date) -> Baskets:
        """The part of that date."""
        return data.on(day)

    def batches(self, connection: Connection) -> Iterator[BasketBatch]:
        """Today's customers with an order, or with a product looked at in 30 days, each with all their acts."""
        self.scored(connection)
        of = todays_shop(connection)
        for acts in _whole_customers(connection.batches(TODAYS_ACTS)):
            is_order = acts["order_key"].notna()
            bought = acts[is_order].rename(columns={"acted_at": "ordered_at"})[list(PURCHASES)]
            seen = acts[~is_order].rename(columns={"acted_at": "occurred_at"})[list(VIEWS)]
            yield BasketBatch(of, Acts(of.acts.as_of_date, bought, seen))

    def scored(self, connection: Connection) -> str:
        """See KnowsWhoIsScored."""
        refuse_stale_features(connection)
        return f"select distinct customer_id, {RUN_DATE} as as_of_date from ({TODAYS_ACTS}) as acts"


def write_product_tables(connection: Connection, model: RecommendModel | None) -> None:
    """Fill predictions.similar_products and predictions.popular_products; empty where there is no model."""
    similar, popular = pd.DataFrame(), pd.DataFrame()
    if model is not None:
        shop = todays_shop(connection).shop(model.retrieval)
        similar, popular = similar_products(shop), popular_products(shop)
    for table, frame in (("similar_products", similar), ("popular_products", popular)):
        columns = schema.PREDICTIONS[table]
        rows = pa.Table.from_pandas(frame.reindex(columns=list(columns)), preserve_index=False)
        write_table(connection, f"predictions.{table}", rows, columns)


def todays_shop(connection: Connection) -> ShopActs:
    """What products are judged by today: the acts of the sampled customers, and the catalogue."""
    run_date = scalar(connection, f"select {RUN_DATE}")
    share = _share(connection, run_date)
    return ShopActs(_acts(connection, run_date, share), _products(connection), share)


def _as_labels(days: list[date], horizon: int) -> pd.DataFrame:
    return pd.DataFrame({"as_of_date": days, "horizon_days": horizon})


def _share(connection: Connection, day: date) -> float:
    """The share of customers whose acts are read."""
    lines = int(scalar(connection, "select count(*) from features.known_purchases where as_of_date = ?", [day]))
    return min(1.0, MOST_LINES / max(lines, 1))


def _some(share: float) -> str:
    """SQL that holds for that share of customers: the same ones on every warehouse."""
    return "1 = 1" if share == 1.0 else f"substr(md5(customer_id), 1, 8) < '{int(share * 16**8):08x}'"


def _acts(connection: Connection, day: date, share: float) -> Acts:
    where = f"where as_of_date = date '{day:%Y-%m-%d}' and {_some(share)}"
    bought = f"select {', '.join(PURCHASES)} from features.known_purchases {where} order by 1, 2, 3, 4"
    seen = f"select {', '.join(VIEWS)} from features.known_product_views {where} order by 1, 2, 3, 4"
    return Acts(day, _frame(connection, bought), _frame(connection, seen))


def _outcomes(connection: Connection, day: date, horizon: int, share: float) -> pd.DataFrame:
    return _frame(
        connection,
        f"select {', '.join(OUTCOMES)} from features.product_labels where as_of_date = date '{day:%Y-%m-%d}' "
        f"and horizon_days = {horizon} and {_some(share)} order by 1, 2",
    )


def _products(connection: Connection) -> pd.DataFrame:
    return _frame(connection, f"select {', '.join(PRODUCTS)} from features.products order by product_id")


def _frame(connection: Connection, query: str) -> pd.DataFrame:
    frame: pd.DataFrame = connection.arrow(query).to_pandas(date_as_object=False)
    return frame


def _whole_customers(parts: Iterator[pa.Table]) -> Iterator[pd.DataFrame]:
    """Rows that come ordered by customer, cut where a customer ends: up to BATCH_CUSTOMERS at a time."""
    waiting: list[pd.DataFrame] = []
    for part in parts:
        frame: Any = pd.concat([*waiting, part.to_pandas(date_as_object=False)], ignore_index=True)
        last = frame["customer_id"].iat[-1]
        is_whole = frame["customer_id"] != last
        yield from _in_groups(frame[is_whole])
        waiting = [frame[~is_whole]]
    for frame in waiting:
        yield from _in_groups(frame)


def _in_groups(frame: pd.DataFrame) -> Iterator[pd.DataFrame]:
    group = pd.factorize(frame["customer_id"])[0] // BATCH_CUSTOMERS
    for _, rows in frame.groupby(group, sort=True):
        yield rows
