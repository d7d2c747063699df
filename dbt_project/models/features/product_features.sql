-- One row per (customer, as_of_date) with a bought product known by then: how broad its taste is.
with known_items as (
    select
        known_evidence.customer_id,
        known_evidence.as_of_date,
        order_items.product_id,
        order_items.category
    from {{ ref('order_items') }} as order_items
    inner join {{ ref('orders') }} as orders on order_items.order_key = orders.order_key
    inner join {{ ref('known_evidence') }} as known_evidence on orders.evidence_id = known_evidence.evidence_id
    where orders.known_at < known_evidence.as_of and orders.ordered_at < known_evidence.as_of
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
