-- One row per (customer, as_of_date) with an order known by then: what it had bought, tied by the identity known then.
with known_evidence as (
    select * from {{ ref('known_evidence') }}
),

item_counts as (
    select
        order_key,
        count(distinct product_id) as product_count
    from {{ ref('order_items') }}
    group by order_key
),

known_orders as (
    select
        known_evidence.customer_id,
        known_evidence.as_of_date,
        known_evidence.as_of,
        orders.order_key,
        orders.ordered_at,
        orders.net_amount,
        orders.discount_amount,
        orders.item_count,
        orders.channel,
        coalesce(item_counts.product_count, 0) as product_count
    from {{ ref('orders') }} as orders
    inner join known_evidence on orders.evidence_id = known_evidence.evidence_id
    left join item_counts on orders.order_key = item_counts.order_key
    where orders.known_at < known_evidence.as_of and orders.ordered_at < known_evidence.as_of
),

order_features as (
    select
        customer_id,
        as_of_date,
        max(as_of) as as_of,
        count(*) as order_count,
        count(distinct cast(ordered_at as date)) as order_day_count,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at,
        {{ count_within('ordered_at', 'as_of', 30) }} as order_count_30d,
        {{ count_within('ordered_at', 'as_of', 90) }} as order_count_90d,
        {{ count_within('ordered_at', 'as_of', 365) }} as order_count_365d,
        cast(sum(net_amount) as double) as order_amount,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 30) }} as double) as order_amount_30d,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 90) }} as double) as order_amount_90d,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 180) }} as double) as order_amount_180d,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 365) }} as double) as order_amount_365d,
        cast(sum(discount_amount) as double) as discount_amount,
        cast(sum(product_count) as double) / count(*) as products_per_order
    from known_orders
    group by customer_id, as_of_date
)

select * from order_features
