-- One row per day and channel with a product view or an order: how many of the day's viewers went on, in this order and within funnel_days of their
-- first view of the day: viewed, added to the cart, checkout started, ordered. Orders without such a story are in order_count only.
with steps as (
    select
        customer_id,
        channel,
        occurred_at,
        landed_seq,
        event
    from {{ ref('events') }}
    where event in ('Product Viewed', 'Product Added', 'Checkout Started') and customer_id is not null
    union all
    select
        customer_id,
        channel,
        ordered_at as occurred_at,
        landed_seq,
        'Order Completed' as event
    from {{ ref('orders') }}
    where customer_id is not null
),

-- from the last step to the first: when the next order comes after each moment, then the next checkout and the order after that checkout, and so on
{% set onwards %}over (partition by customer_id, channel order by occurred_at, landed_seq rows between current row and unbounded following){% endset -%}
with_orders as (
    select
        *,
        min(case when event = 'Order Completed' then occurred_at end) {{ onwards }} as ordered_at
    from steps
),

with_checkouts as (
    select
        customer_id,
        channel,
        occurred_at,
        landed_seq,
        event,
        min(case when event = 'Checkout Started' then occurred_at end) {{ onwards }} as checkout_at,
        min(case when event = 'Checkout Started' then ordered_at end) {{ onwards }} as ordered_at
    from with_orders
),

with_carts as (
    select
        customer_id,
        channel,
        occurred_at,
        landed_seq,
        event,
        min(case when event = 'Product Added' then occurred_at end) {{ onwards }} as added_at,
        min(case when event = 'Product Added' then checkout_at end) {{ onwards }} as checkout_at,
        min(case when event = 'Product Added' then ordered_at end) {{ onwards }} as ordered_at
    from with_checkouts
),

viewers as (
    select
        customer_id,
        channel,
        cast(occurred_at as date) as view_date,
        min(occurred_at) as viewed_at,
        min(added_at) as added_at,
        min(checkout_at) as checkout_at,
        min(ordered_at) as ordered_at
    from with_carts
    where event = 'Product Viewed'
    group by customer_id, channel, cast(occurred_at as date)
),

reached as (
    select
        view_date,
        channel,
        count(*) as viewed_customer_count,
        count(case when added_at < viewed_at + interval '1 day' * {{ var('funnel_days') }} then 1 end) as added_customer_count,
        count(case when checkout_at < viewed_at + interval '1 day' * {{ var('funnel_days') }} then 1 end) as checkout_customer_count,
        count(case when ordered_at < viewed_at + interval '1 day' * {{ var('funnel_days') }} then 1 end) as ordered_customer_count
    from viewers
    group by view_date, channel
),

ordered as (
    select
        cast(ordered_at as date) as order_date,
        channel,
        count(*) as order_count
    from {{ ref('orders') }}
    group by cast(ordered_at as date), channel
),

funnel as (
    select
        coalesce(reached.view_date, ordered.order_date) as funnel_date,
        coalesce(reached.channel, ordered.channel) as channel,
        coalesce(reached.viewed_customer_count, 0) as viewed_customer_count,
        coalesce(reached.added_customer_count, 0) as added_customer_count,
        coalesce(reached.checkout_customer_count, 0) as checkout_customer_count,
        coalesce(reached.ordered_customer_count, 0) as ordered_customer_count,
        coalesce(ordered.order_count, 0) as order_count,
        cast(coalesce(reached.view_date, ordered.order_date) as timestamp)
        + interval '1 day' * ({{ var('funnel_days') }} + 1) <= {{ as_of() }} as is_closed
    from reached
    full outer join ordered on reached.view_date = ordered.order_date and reached.channel = ordered.channel
)

select * from funnel
