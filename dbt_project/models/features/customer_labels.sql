-- One row per (customer, as_of_date) whose horizon has passed: what the customer who holds the row's anchor today did in [date, date + horizon).
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
    where feature_dates.as_of + interval '1 day' * {{ var('label_horizon_days') }} <= {{ as_of() }}
),

kept as (
    select * from features
    where age_rank = 1
),

bought as (
    select
        kept.customer_id,
        kept.as_of_date,
        count(*) as order_count,
        sum(orders.net_amount) as order_amount
    from kept
    inner join {{ ref('orders') }} as orders
        on
            kept.living_customer_id = orders.customer_id
            and kept.as_of <= orders.ordered_at
            and orders.ordered_at < kept.as_of + interval '1 day' * {{ var('label_horizon_days') }}
    group by kept.customer_id, kept.as_of_date
),

returned as (
    select
        kept.customer_id,
        kept.as_of_date,
        sum(refunds.net_amount) as refund_amount
    from kept
    inner join {{ ref('refunds') }} as refunds
        on
            kept.living_customer_id = refunds.customer_id
            and kept.as_of <= refunds.refunded_at
            and refunds.refunded_at < kept.as_of + interval '1 day' * {{ var('label_horizon_days') }}
    group by kept.customer_id, kept.as_of_date
),

labels as (
    select
        kept.customer_id,
        kept.as_of_date,
        cast({{ var('label_horizon_days') }} as bigint) as horizon_days,
        bought.order_count is null as has_churned,
        coalesce(bought.order_count, 0) as order_count_in_horizon,
        cast(coalesce(bought.order_amount, 0) - coalesce(returned.refund_amount, 0) as float8) as net_revenue_in_horizon
    from kept
    left join bought on kept.customer_id = bought.customer_id and kept.as_of_date = bought.as_of_date
    left join returned on kept.customer_id = returned.customer_id and kept.as_of_date = returned.as_of_date
)

select * from labels
