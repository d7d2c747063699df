"""A model can learn from the shop: who comes back, what they are worth, what goes together."""

import numpy as np
import pytest
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

PURCHASES = """
    select
        person_id,
        occurred_at as moment,
        (properties ->> '$.revenue')::double
            / case properties ->> '$.currency' when 'SEK' then 11.2 when 'PLN' then 4.3 else 1 end as euros,
        properties like '%"coupon"%' as has_coupon
    from web join truth_event_owners using (message_id)
    where event = 'Order Completed' and person_id is not null
    union all
    select
        person_id,
        sold_at::timestamp,
        sum(quantity::int * unit_price::double - discount::double),
        max(discount::double) > 0
    from pos join truth_event_owners using (message_id)
    where receipt_type = 'sale' and person_id is not null
    group by receipt_id, 1, 2
"""
BEHAVIOUR = """
    with bought as (
        select
            person_id,
            epoch({cut} - max(moment)) / 86400 as recency,
            epoch({cut} - min(moment)) / 86400 as tenure,
            count(*) as orders,
            count(*) filter (moment >= {cut} - interval 90 days) as recent,
            arg_max(has_coupon, moment)::int as coupon
        from purchases where moment < {cut} group by 1
    ),
    owned as (select * from web join truth_event_owners using (message_id) where received_at < {cut}),
    refunded as (select person_id, count(*) as refunds from owned where event = 'Order Refunded' group by 1),
    seen as (
        select
            person_id,
            epoch({cut} - max(received_at)) / 86400 as silence,
            count(*) filter (received_at >= {cut} - interval 30 days) as lately
        from owned group by 1
    ),
    later as (select distinct person_id from purchases where moment >= {cut} and moment < {cut} + interval 90 days)
    select *, person_id in (from later) as returns
    from bought left join refunded using (person_id) left join seen using (person_id)
    order by person_id
"""
CUT = "timestamp '2026-03-15'"


@pytest.fixture(scope="module")
def larger_shop(run_simulation, open_shop):
    larger = open_shop(run_simulation(events=100_000))
    larger.connection.execute(f"create table purchases as {PURCHASES}")
    return larger


def behaviour(shop, day: str) -> tuple[np.ndarray, np.ndarray]:
    """What is known of each buyer before a day, and whether no order follows within 90 days."""
    frame = shop.connection.sql(BEHAVIOUR.format(cut=f"timestamp '{day}'")).df()
    columns = (
        frame.drop(columns=["person_id", "returns"]).astype(float).fillna({"refunds": 0, "silence": 400, "lately": 0})
    )
    return np.log1p(columns.clip(lower=0).to_numpy()), ~frame["returns"].to_numpy(bool)


def test_recency_and_frequency_tell_who_orders_again(larger_shop):
    columns = larger_shop.connection.sql(
        f"select epoch({CUT} - max(moment) filter (moment < {CUT})) / 86400 as recency, "
        f"count(*) filter (moment < {CUT} and moment >= {CUT} - interval 180 days) as frequency, "
        f"bool_or(moment >= {CUT} and moment < {CUT} + interval 90 days) as returns from purchases group by person_id "
        f"having count(*) filter (moment < {CUT}) > 0 order by person_id"
    ).fetchnumpy()
    score = np.log1p(columns["frequency"]) - np.log1p(columns["recency"]) / 2
    assert 0.25 < columns["returns"].mean() < 0.65
    assert 0.68 < roc_auc_score(columns["returns"], score) < 0.9


def test_a_refund_makes_the_last_order_more_likely_the_last(larger_shop):
    rows = larger_shop.rows(
        f"select has_refund, avg(is_last::int), count(*) from (select person_id, id in (select properties ->> '$.order_id' from web "
        "where event = 'Order Refunded') as has_refund, lead(occurred_at) over (partition by person_id order by occurred_at) is null "
        "as is_last from (select person_id, occurred_at, properties ->> '$.order_id' as id from web join truth_event_owners "
        f"using (message_id) where event = 'Order Completed' and occurred_at < {CUT})) group by 1 order by 1"
    )
    (_, usual, _), (_, after_refund, refunds) = rows
    assert refunds > 80
    assert after_refund > usual + 0.08


def test_a_persons_worth_lasts(larger_shop):
    halves = larger_shop.connection.sql(
        "select avg(euros) filter (place % 2 = 0) as even, avg(euros) filter (place % 2 = 1) as odd from (select *, row_number() "
        "over (partition by person_id order by moment) as place from purchases) group by person_id having count(*) >= 6 order by person_id"
    ).fetchnumpy()
    assert len(halves["even"]) > 80
    assert spearmanr(halves["even"], halves["odd"]).statistic > 0.5


def test_order_values_have_a_heavy_tail(larger_shop):
    middle, tail = larger_shop.one("select median(euros), quantile_cont(euros, 0.99) from purchases")
    assert tail > 8 * middle


def test_people_buy_from_their_favourite_categories(larger_shop):
    (share,) = larger_shop.one(
        "select avg((category = favourite_category)::int) from (select person_id, unnest(from_json(properties -> '$.products', "
        '\'[{"category":"varchar"}]\'), recursive := true) from web join truth_event_owners using (message_id) '
        "where event = 'Order Completed') join truth_people using (person_id)"
    )
    assert share > 0.4  # 1 in 12 by chance


def test_products_of_one_order_go_together(larger_shop):
    lines = larger_shop.rows(
        "select order_id, list(category) from (select properties ->> '$.order_id' as order_id, unnest(from_json(properties -> "
        "'$.products', '[{\"category\":\"varchar\"}]'), recursive := true) from web where event = 'Order Completed') "
        "group by 1 having count(*) >= 2"
    )
    assert len(lines) > 300
    assert np.mean([len(set(categories)) < len(categories) for _, categories in lines]) > 0.7


def test_december_is_busy_and_august_is_quiet(larger_shop):
    months = dict(
        larger_shop.rows("select month(moment), count(*) / count(distinct year(moment)) from purchases group by 1")
    )
    assert months[12] > 1.4 * months[8]


def test_behaviour_before_the_cut_predicts_churn_within_reach(larger_shop):
    days = ("2025-09-01", "2025-10-01", "2025-11-01", "2025-12-01")
    train = [behaviour(larger_shop, day) for day in days]
    features, churned = behaviour(larger_shop, "2026-04-01")
    model = make_pipeline(StandardScaler(), LogisticRegression())
    model.fit(np.vstack([known for known, _ in train]), np.concatenate([left for _, left in train]))
    assert 0.75 < roc_auc_score(churned, model.predict_proba(features)[:, 1]) < 0.9
