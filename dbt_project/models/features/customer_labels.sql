-- One row per (customer, as_of_date, horizon) whose horizon has passed: what the customer who holds the row's anchor today did in [date, date + horizon).
-- Of rows whose customers were merged since, the oldest is kept (whose first order is earliest), so that one person is one row. A refund counts on the day
-- it was paid back, whenever its order was: as in the windows of the features.
with features as (
    select
        customer_features.customer_id,
        customer_features.as_of_date,
        feature_dates.as_of,
        customer_redirects.living_customer_id,
        row_number() over (
            partition by customer_redirects.living_customer_id, customer_features.as_of_date
            order by customer_features.tenure_days desc, customer_features.customer_id
        ) as age_rank
    from {{ ref('customer_features') }} as customer_features
    inner join {{ source('control', 'feature_dates') }} as feature_dates on customer_features.as_of_date = feature_dates.as_of_date
    inner join {{ ref('customer_redirects') }} as customer_redirects on customer_features.customer_id = customer_redirects.customer_id
),

kept as (
    select
        features.customer_id,
        features.as_of_date,
        features.as_of,
        features.living_customer_id,
        label_horizons.horizon_days,
        features.as_of + interval '1 day' * label_horizons.horizon_days as until
    from features
    inner join {{ source('control', 'label_horizons') }} as label_horizons
        on features.as_of + interval '1 day' * label_horizons.horizon_days <= {{ as_of() }}
    where features.age_rank = 1
),

bought as (
    select
        kept.customer_id,
        kept.as_of_date,
        kept.horizon_days,
        count(*) as order_count,
        sum(orders.net_amount) as order_amount,
        min(orders.ordered_at) as next_order_at
    from kept
    inner join {{ ref('orders') }} as orders
        on
            kept.living_customer_id = orders.customer_id
            and kept.as_of <= orders.ordered_at
            and orders.ordered_at < kept.until
    group by kept.customer_id, kept.as_of_date, kept.horizon_days
),

returned as (
    select
        kept.customer_id,
        kept.as_of_date,
        kept.horizon_days,
        sum(refunds.net_amount) as refund_amount
    from kept
    inner join {{ ref('refunds') }} as refunds
        on
            kept.living_customer_id = refunds.customer_id
            and kept.as_of <= refunds.refunded_at
            and refunds.refunded_at < kept.until
    group by kept.customer_id, kept.as_of_date, kept.horizon_days
),

labels as (
    select
        kept.customer_id,
        kept.as_of_date,
        cast(kept.horizon_days as bigint) as horizon_days,
        bought.order_count is null as has_churned,
        coalesce(bought.order_count, 0) as order_count_in_horizon,
        cast(coalesce(bought.order_amount, 0) - coalesce(returned.refund_amount, 0) as float8) as net_revenue_in_horizon,
        cast({{ days_between('kept.as_of', 'bought.next_order_at') }} as float8) as days_to_next_order
    from kept
    left join bought
        on kept.customer_id = bought.customer_id and kept.as_of_date = bought.as_of_date and kept.horizon_days = bought.horizon_days
    left join returned
        on kept.customer_id = returned.customer_id and kept.as_of_date = returned.as_of_date and kept.horizon_days = returned.horizon_days
)

select * from labels
