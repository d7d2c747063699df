-- One row per customer and category: share of weighted interest (view 1, cart 3, order 10), halved every affinity_half_life_days.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='customer_id', on_schema_change='fail') }}

with interest as (
    select
        customer_id,
        category,
        occurred_at,
        case when event = 'Product Viewed' then 1.0 else 3.0 end as weight
    from (
        {{ touched_events(['event', 'occurred_at', 'category']) }}
    ) as touched_events
    where event in ('Product Viewed', 'Product Added') and category is not null
    union all
    select
        orders.customer_id,
        order_items.category,
        orders.ordered_at as occurred_at,
        10.0 as weight
    from {{ ref('order_items') }} as order_items
    inner join {{ ref('orders') }} as orders on order_items.order_key = orders.order_key
    where orders.customer_id is not null and order_items.category is not null {{ and_touched('customer_id', 'orders.customer_id') }}
),

dated as (
    select
        *,
        max(occurred_at) over (partition by customer_id) as last_interest_at
    from interest
),

weighted as (
    select
        customer_id,
        category,
        last_interest_at,
        -- halved from the customer's own last interest, so that the shares of who has been away for years do not fall to nothing; rounded, because the order
        -- in which doubles are added up is not the same in every run, and a profile that did not change must not be sent again
        {{ rounded('sum(weight * ' ~ halved('occurred_at', 'last_interest_at') ~ ')', 6) }} as interest_then
    from dated
    group by customer_id, category, last_interest_at
),

category_affinity as (
    select
        customer_id,
        category,
        interest_then as interest,
        {{ rounded('interest_then / sum(interest_then) over (partition by customer_id)', 6) }} as interest_share,
        cast(row_number() over (partition by customer_id order by interest_then desc, category) as integer) as interest_rank
    from weighted
)

select * from category_affinity
