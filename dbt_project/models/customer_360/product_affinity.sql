-- One row per customer and product: share of weighted interest (view 1, cart 3, order 10), halved every affinity_half_life_days.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='customer_id', on_schema_change='fail') }}

with interest as (
    select
        customer_id,
        product_id,
        occurred_at,
        case when event = 'Product Viewed' then 1 else 0 end as view_count,
        case when event = 'Product Added' then 1 else 0 end as cart_add_count,
        0 as quantity,
        case when event = 'Product Viewed' then 1.0 else 3.0 end as weight
    from (
        {{ touched_events(['event', 'occurred_at', 'product_id']) }}
    ) as touched_events
    where event in ('Product Viewed', 'Product Added') and product_id is not null
    union all
    select
        orders.customer_id,
        order_items.product_id,
        orders.ordered_at as occurred_at,
        0 as view_count,
        0 as cart_add_count,
        order_items.quantity,
        10.0 as weight
    from {{ ref('order_items') }} as order_items
    inner join {{ ref('orders') }} as orders on order_items.order_key = orders.order_key
    where orders.customer_id is not null and order_items.product_id is not null {{ and_touched('customer_id', 'orders.customer_id') }}
),

last_interests as (
    select
        customer_id,
        max(occurred_at) as last_interest_at
    from interest
    group by customer_id
),

weighted as (
    select
        interest.customer_id,
        interest.product_id,
        sum(interest.view_count) as view_count,
        sum(interest.cart_add_count) as cart_add_count,
        sum(interest.quantity) as ordered_quantity,
        max(interest.occurred_at) as last_interest_at,
        -- halved from the customer's own last interest, and of fixed digits: a customer that did nothing keeps its shares from run to run
        cast(
            sum(interest.weight * {{ halved('interest.occurred_at', 'last_interests.last_interest_at') }}) as decimal(18, 6)
        ) as interest
    from interest
    inner join last_interests on interest.customer_id = last_interests.customer_id
    group by interest.customer_id, interest.product_id
),

product_affinity as (
    select
        customer_id,
        product_id,
        cast(view_count as bigint) as view_count,
        cast(cart_add_count as bigint) as cart_add_count,
        cast(ordered_quantity as decimal(18, 4)) as ordered_quantity,
        last_interest_at,
        cast(interest / nullif(sum(interest) over (partition by customer_id), 0) as decimal(9, 6)) as interest_share,
        cast(row_number() over (partition by customer_id order by interest desc, last_interest_at desc, product_id) as integer) as interest_rank
    from weighted
)

select * from product_affinity
