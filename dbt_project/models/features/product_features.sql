-- One row per (customer, as_of_date) with a bought product known by then: how broad its taste is.
with known_items as (
    select
        evidence_customers.customer_id,
        feature_dates.as_of_date,
        order_items.product_id,
        order_items.category
    from {{ ref('order_items') }} as order_items
    inner join {{ ref('orders') }} as orders on order_items.order_key = orders.order_key
    inner join {{ source('control', 'feature_dates') }} as feature_dates
        on orders.known_at < feature_dates.as_of and orders.ordered_at < feature_dates.as_of
    inner join {{ ref('evidence_customers') }} as evidence_customers
        on orders.evidence_id = evidence_customers.evidence_id and feature_dates.as_of = evidence_customers.as_of
),

product_features as (
    select
        customer_id,
        as_of_date,
        count(distinct product_id) as distinct_product_count,
        count(distinct category) as distinct_category_count
    from known_items
    group by customer_id, as_of_date
)

select * from product_features
