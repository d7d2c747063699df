-- One row per customer with an online visit: visits, carts, and carts that no order on any channel followed within cart_abandoned_hours.
-- A cart that was emptied again is not abandoned; an order placed before the last product went in does not follow the cart.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='customer_id', on_schema_change='fail') }}

with sessions as (
    select * from {{ ref('sessions') }} as sessions
    where true {{ and_touched('customer_id', 'sessions.customer_id') }}
),

orders as (
    select * from {{ ref('orders') }} as orders
    where orders.customer_id is not null {{ and_touched('customer_id', 'orders.customer_id') }}
),

with_orders as (
    select
        sessions.session_id,
        count(orders.order_key) as following_order_count
    from sessions
    inner join orders
        on
            sessions.customer_id = orders.customer_id
            and sessions.last_cart_add_at <= orders.ordered_at
            and orders.ordered_at < sessions.last_cart_add_at + interval '1 hour' * {{ var('cart_abandoned_hours') }}
    group by sessions.session_id
),

judged as (
    select
        sessions.*,
        {{ as_of() }} as run_as_of,
        sessions.cart_add_count > sessions.cart_remove_count
        and with_orders.session_id is null
        and sessions.last_cart_add_at + interval '1 hour' * {{ var('cart_abandoned_hours') }} <= {{ as_of() }} as is_abandoned
    from sessions
    left join with_orders on sessions.session_id = with_orders.session_id
),

visits as (
    select
        customer_id,
        count(*) as session_count,
        {{ count_within('started_at', 'run_as_of', 7) }} as session_count_7d,
        {{ count_within('started_at', 'run_as_of', 30) }} as session_count_30d,
        {{ count_within('started_at', 'run_as_of', 90) }} as session_count_90d,
        {{ count_within('started_at', 'run_as_of', 365) }} as session_count_365d,
        count(last_cart_add_at) as cart_count,
        count(case when is_abandoned then 1 end) as abandoned_cart_count,
        max(case when is_abandoned then last_cart_add_at end) as last_abandoned_cart_at
    from judged
    group by customer_id
)

select * from visits
