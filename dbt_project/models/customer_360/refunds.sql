-- One row per refund, in the reporting currency at the rate of the refunded order's day (its own day where the order is not known).
with refund_events as (
    select * from {{ ref('stg_events') }}
    where event = 'Order Refunded' and known_at < {{ as_of() }}
),

keyed as (
    select
        *,
        source || ':' || coalesce(refund_id, order_id, message_id) as refund_key
    from refund_events
),

ranked as (
    select
        *,
        row_number() over (partition by refund_key order by is_partial, occurred_at desc, known_at desc, landed_seq desc) as newest,
        min(case when is_partial then 1 else 0 end) over (partition by refund_key) as only_partial
    from keyed
),

product_lines as (
    select
        refund_key,
        {{ json_elements('products') }} as product
    from ranked
    where products is not null and (newest = 1 or only_partial = 1)
),

lines as (
    select
        refund_key,
        cast(sum(
            coalesce(cast({{ json_text('product', 'quantity') }} as decimal(18, 4)), 1)
            * coalesce(cast({{ json_text('product', 'price') }} as decimal(18, 4)), 0)
            - coalesce(cast({{ json_text('product', 'discount') }} as decimal(18, 4)), 0)
        ) as decimal(18, 4)) as amount
    from product_lines
    group by refund_key
),

orders as (
    select * from {{ ref('orders') }}
),

rates as (
    select * from {{ ref('stg_exchange_rates') }}
),

event_customers as (
    select * from {{ ref('event_customers') }}
),

priced as (
    select
        ranked.refund_key,
        orders.order_key,
        ranked.landed_seq,
        ranked.occurred_at as refunded_at,
        ranked.known_at,
        cast(coalesce(orders.ordered_at, ranked.occurred_at) as date) as rate_date,
        coalesce(ranked.currency, {{ reporting_currency() }}) as currency,
        coalesce(ranked.revenue, lines.amount, ranked.total - coalesce(ranked.tax, 0) - coalesce(ranked.shipping, 0), 0) as amount_in_currency
    from ranked
    left join lines on ranked.refund_key = lines.refund_key
    left join orders on ranked.source = orders.source and ranked.order_id = orders.order_id
    where ranked.newest = 1
),

refunds as (
    select
        priced.refund_key,
        priced.order_key,
        event_customers.customer_id,
        event_customers.evidence_id,
        priced.landed_seq,
        priced.refunded_at,
        priced.known_at,
        {{ in_reporting_currency('priced.amount_in_currency', 'own.rate', 'reporting.rate') }} as net_amount
    from priced
    inner join rates as own
        on priced.currency = own.currency and priced.rate_date >= own.from_date and priced.rate_date < own.until_date
    inner join rates as reporting
        on
            reporting.currency = {{ reporting_currency() }}
            and priced.rate_date >= reporting.from_date
            and priced.rate_date < reporting.until_date
    left join event_customers on priced.landed_seq = event_customers.landed_seq
)

select * from refunds
