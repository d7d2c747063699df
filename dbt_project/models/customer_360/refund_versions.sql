-- One row per event that tells of a refund (or of some of its lines): what was paid back, at the rate of the refunded order's day (its own day where the order
-- is not known), and from when until when that stood. Without a refund_id every event is a refund of its own: an order may be refunded twice.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='refund_key', on_schema_change='fail') }}

with refund_events as (
    select
        stg_events.*,
        event_evidence.evidence_id,
        event_evidence.ordered_at as evidence_at,
        {{ refund_key('stg_events') }} as refund_key
    from {{ ref('stg_events') }} as stg_events
    left join {{ ref('event_evidence') }} as event_evidence on stg_events.landed_seq = event_evidence.landed_seq
    where stg_events.event = 'Order Refunded' and stg_events.known_at < {{ as_of() }} {{ and_touched('refund_key', refund_key('stg_events')) }}
),

placed as (
    select
        *,
        {{ replaced_at('refund_key') }} as replaced_at
    from refund_events
),

totals as (
    {{ product_totals('placed') }}
),

orders as (
    select * from {{ ref('orders') }}
),

cancellations as (
    select * from {{ ref('order_versions') }}
    where is_cancelled and known_until is null
),

rates as (
    select * from {{ ref('stg_exchange_rates') }}
),

priced as (
    select
        placed.refund_key,
        orders.order_key,
        -- what comes back is taken from who bought it; the shop's own system often names nobody
        coalesce(orders.evidence_id, placed.evidence_id) as evidence_id,
        case when orders.evidence_id is not null then orders.evidence_at else placed.evidence_at end as evidence_at,
        placed.landed_seq,
        placed.occurred_at as refunded_at,
        placed.known_at,
        least(placed.replaced_at, cancellations.known_at) as known_until,
        cast(coalesce(orders.ordered_at, placed.occurred_at) as date) as rate_date,
        coalesce(placed.currency, {{ reporting_currency() }}) as currency,
        coalesce(
            case when not placed.is_partial then placed.revenue end,
            nullif(totals.gross_amount - totals.discount_amount, 0),
            placed.revenue,
            placed.total - coalesce(placed.tax, 0) - coalesce(placed.shipping, 0),
            totals.gross_amount
        ) as amount_in_currency,
        -- a refund that names no amount is of the whole order
        coalesce(orders.net_amount, 0) as order_amount
    from placed
    left join totals on placed.landed_seq = totals.landed_seq
    left join orders on placed.source = orders.source and placed.order_id = orders.order_id
    left join cancellations on placed.source = cancellations.source and placed.order_id = cancellations.order_id
),

refund_versions as (
    select
        priced.refund_key,
        priced.order_key,
        priced.evidence_id,
        priced.evidence_at,
        priced.landed_seq,
        priced.refunded_at,
        priced.known_at,
        priced.known_until,
        cast(
            coalesce({{ in_reporting_currency('priced.amount_in_currency', 'own.rate', 'reporting.rate') }}, priced.order_amount) as decimal(18, 4)
        ) as net_amount
    from priced
    inner join rates as own
        on priced.currency = own.currency and priced.rate_date >= own.from_date and priced.rate_date < own.until_date
    inner join rates as reporting
        on
            reporting.currency = {{ reporting_currency() }}
            and priced.rate_date >= reporting.from_date
            and priced.rate_date < reporting.until_date
)

select * from refund_versions
