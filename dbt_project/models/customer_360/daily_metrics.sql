-- One row per day with an event: revenue, orders, active customers, repeat rate and average order value, in the reporting currency.
with active as (
    select
        cast(occurred_at as date) as metric_date,
        count(*) as event_count,
        count(distinct case when {{ is_own_act('event') }} then customer_id end) as active_customer_count
    from {{ ref('events') }}
    group by cast(occurred_at as date)
),

numbered as (
    select
        *,
        case when customer_id is not null then row_number() over (partition by customer_id order by ordered_at, order_key) end as order_number
    from {{ ref('orders') }}
),

ordered as (
    select
        cast(ordered_at as date) as metric_date,
        count(*) as order_count,
        sum(net_amount) as order_amount,
        count(distinct customer_id) as buying_customer_count,
        count(distinct case when order_number > 1 then customer_id end) as repeat_customer_count
    from numbered
    group by cast(ordered_at as date)
),

refunded as (
    select
        cast(refunded_at as date) as metric_date,
        sum(net_amount) as refund_amount
    from {{ ref('refunds') }}
    group by cast(refunded_at as date)
),

daily_metrics as (
    select
        active.metric_date,
        active.event_count,
        active.active_customer_count,
        coalesce(ordered.order_count, 0) as order_count,
        coalesce(ordered.buying_customer_count, 0) as buying_customer_count,
        cast(coalesce(ordered.order_amount, 0) as decimal(18, 4)) as order_amount,
        cast(coalesce(refunded.refund_amount, 0) as decimal(18, 4)) as refund_amount,
        cast(coalesce(ordered.order_amount, 0) - coalesce(refunded.refund_amount, 0) as decimal(18, 4)) as net_revenue,
        cast(ordered.order_amount / nullif(ordered.order_count, 0) as float8) as average_order_value,
        cast(ordered.repeat_customer_count as float8) / nullif(ordered.buying_customer_count, 0) as repeat_rate
    from active
    left join ordered on active.metric_date = ordered.metric_date
    left join refunded on active.metric_date = refunded.metric_date
)

select * from daily_metrics
