-- One row per customer with an order or a refund: how often, how much and in which rhythm, in the reporting currency, as of the run clock.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='customer_id', on_schema_change='fail') }}

with orders as (
    select
        *,
        {{ as_of() }} as run_as_of
    from {{ ref('orders') }} as orders
    where orders.customer_id is not null {{ and_touched('customer_id', 'orders.customer_id') }}
),

refunds as (
    select
        *,
        {{ as_of() }} as run_as_of
    from {{ ref('refunds') }} as refunds
    where refunds.customer_id is not null {{ and_touched('customer_id', 'refunds.customer_id') }}
),

ordered as (
    select
        customer_id,
        count(*) as order_count,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at,
        count(distinct cast(ordered_at as date)) as order_day_count,
        sum(net_amount) as order_amount,
        {{ count_within('ordered_at', 'run_as_of', 7) }} as order_count_7d,
        {{ count_within('ordered_at', 'run_as_of', 30) }} as order_count_30d,
        {{ count_within('ordered_at', 'run_as_of', 90) }} as order_count_90d,
        {{ count_within('ordered_at', 'run_as_of', 365) }} as order_count_365d,
        {{ sum_within('net_amount', 'ordered_at', 'run_as_of', 7) }} as order_amount_7d,
        {{ sum_within('net_amount', 'ordered_at', 'run_as_of', 30) }} as order_amount_30d,
        {{ sum_within('net_amount', 'ordered_at', 'run_as_of', 90) }} as order_amount_90d,
        {{ sum_within('net_amount', 'ordered_at', 'run_as_of', 365) }} as order_amount_365d
    from orders
    group by customer_id
),

refunded as (
    select
        customer_id,
        count(*) as refund_count,
        sum(net_amount) as refund_amount,
        {{ sum_within('net_amount', 'refunded_at', 'run_as_of', 7) }} as refund_amount_7d,
        {{ sum_within('net_amount', 'refunded_at', 'run_as_of', 30) }} as refund_amount_30d,
        {{ sum_within('net_amount', 'refunded_at', 'run_as_of', 90) }} as refund_amount_90d,
        {{ sum_within('net_amount', 'refunded_at', 'run_as_of', 365) }} as refund_amount_365d
    from refunds
    group by customer_id
),

purchases as (
    select
        coalesce(ordered.customer_id, refunded.customer_id) as customer_id,
        coalesce(ordered.order_count, 0) as order_count,
        ordered.first_order_at,
        ordered.last_order_at,
        coalesce(refunded.refund_count, 0) as refund_count,
        cast(coalesce(refunded.refund_amount, 0) as decimal(18, 4)) as refund_amount,
        cast(coalesce(ordered.order_amount, 0) - coalesce(refunded.refund_amount, 0) as decimal(18, 4)) as net_revenue,
        cast(coalesce(ordered.order_amount_7d, 0) - coalesce(refunded.refund_amount_7d, 0) as decimal(18, 4)) as net_revenue_7d,
        cast(coalesce(ordered.order_amount_30d, 0) - coalesce(refunded.refund_amount_30d, 0) as decimal(18, 4)) as net_revenue_30d,
        cast(coalesce(ordered.order_amount_90d, 0) - coalesce(refunded.refund_amount_90d, 0) as decimal(18, 4)) as net_revenue_90d,
        cast(coalesce(ordered.order_amount_365d, 0) - coalesce(refunded.refund_amount_365d, 0) as decimal(18, 4)) as net_revenue_365d,
        coalesce(ordered.order_count_7d, 0) as order_count_7d,
        coalesce(ordered.order_count_30d, 0) as order_count_30d,
        coalesce(ordered.order_count_90d, 0) as order_count_90d,
        coalesce(ordered.order_count_365d, 0) as order_count_365d,
        cast(ordered.order_amount / nullif(ordered.order_count, 0) as float8) as average_order_value,
        cast(
            {{ days_between('ordered.first_order_at', 'ordered.last_order_at') }} / nullif(ordered.order_day_count - 1, 0) as float8
        ) as mean_days_between_orders
    from ordered
    full outer join refunded on ordered.customer_id = refunded.customer_id
)

select * from purchases
