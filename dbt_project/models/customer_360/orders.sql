-- One row per order, in the reporting currency: merchandise after discount, without tax and shipping, before refunds.
with order_events as (
    select * from {{ ref('stg_events') }}
    where event = 'Order Completed' and order_id is not null and known_at < {{ as_of() }}
),

ranked as (
    select
        *,
        row_number() over (partition by source, order_id order by is_partial, occurred_at desc, known_at desc, landed_seq desc) as newest
    from order_events
),

lines as (
    select
        order_key,
        cast(sum(quantity * price_amount - discount_amount) as decimal(18, 4)) as amount,
        cast(sum(discount_amount) as decimal(18, 4)) as discount_amount,
        sum(quantity) as item_count
    from {{ ref('order_items') }}
    group by order_key
),

rates as (
    select * from {{ ref('stg_exchange_rates') }}
),

event_customers as (
    select * from {{ ref('event_customers') }}
),

priced as (
    select
        ranked.source || ':' || ranked.order_id as order_key,
        ranked.landed_seq,
        ranked.source,
        ranked.order_id,
        ranked.channel,
        ranked.occurred_at as ordered_at,
        ranked.known_at,
        coalesce(ranked.currency, {{ reporting_currency() }}) as currency,
        case
            when ranked.is_partial then coalesce(lines.amount, 0)
            else coalesce(ranked.revenue, lines.amount - coalesce(ranked.discount, 0), ranked.total - coalesce(ranked.tax, 0) - coalesce(ranked.shipping, 0), 0)
        end as net_amount_in_currency,
        coalesce(lines.discount_amount, 0) + case when ranked.is_partial then 0 else coalesce(ranked.discount, 0) end as discount_in_currency,
        coalesce(lines.item_count, 0) as item_count
    from ranked
    left join lines on ranked.source || ':' || ranked.order_id = lines.order_key
    where ranked.newest = 1
),

orders as (
    select
        priced.order_key,
        event_customers.customer_id,
        event_customers.evidence_id,
        priced.landed_seq,
        priced.source,
        priced.order_id,
        priced.channel,
        priced.ordered_at,
        priced.known_at,
        priced.currency,
        cast(priced.item_count as double) as item_count,
        {{ in_reporting_currency('priced.net_amount_in_currency', 'own.rate', 'reporting.rate') }} as net_amount,
        {{ in_reporting_currency('priced.discount_in_currency', 'own.rate', 'reporting.rate') }} as discount_amount
    from priced
    inner join rates as own
        on priced.currency = own.currency and cast(priced.ordered_at as date) >= own.from_date and cast(priced.ordered_at as date) < own.until_date
    inner join rates as reporting
        on
            reporting.currency = {{ reporting_currency() }}
            and cast(priced.ordered_at as date) >= reporting.from_date
            and cast(priced.ordered_at as date) < reporting.until_date
    left join event_customers on priced.landed_seq = event_customers.landed_seq
)

select * from orders
