-- One row per customer: the 360 with the newest predictions beside it. The one door to predictions.
with customers as (
    select * from {{ ref('customers') }}
),

best_channels as (
    select * from {{ source('predictions', 'best_channels') }}
),

churn_scores as (
    select * from {{ source('predictions', 'churn_scores') }}
),

ltv_scores as (
    select * from {{ source('predictions', 'ltv_scores') }}
),

next_orders as (
    select * from {{ source('predictions', 'next_orders') }}
),

popular as (
    select string_agg(product_id, ',' order by rank) as product_ids
    from {{ source('predictions', 'popular_products') }}
    where rank <= 10
),

recommendations as (
    select
        customer_id,
        string_agg(product_id, ',' order by rank) as product_ids
    from {{ source('predictions', 'recommendations') }}
    where list = 'new' and rank <= 10
    group by customer_id
),

segments as (
    select * from {{ source('predictions', 'segments') }}
),

profiles as (
    select
        customers.*,
        churn_scores.churn_probability,
        ltv_scores.expected_net_revenue_90d,
        ltv_scores.lower_net_revenue_90d,
        ltv_scores.upper_net_revenue_90d,
        ltv_scores.expected_net_revenue_365d,
        ltv_scores.lower_net_revenue_365d,
        ltv_scores.upper_net_revenue_365d,
        next_orders.expected_on as next_order_on,
        best_channels.channel as best_channel,
        coalesce(recommendations.product_ids, popular.product_ids) as recommended_products,
        segments.segment_name,
        churn_scores.as_of_date as predicted_on
    from customers
    left join best_channels on customers.customer_id = best_channels.customer_id
    left join churn_scores on customers.customer_id = churn_scores.customer_id
    left join ltv_scores on customers.customer_id = ltv_scores.customer_id
    left join next_orders on customers.customer_id = next_orders.customer_id
    left join recommendations on customers.customer_id = recommendations.customer_id
    cross join popular
    left join segments on customers.customer_id = segments.customer_id
)

select * from profiles
