-- One row per event that tells of a refund (or of some of its lines) and period in which its order stood the same: what was paid back, at the rate of the
-- refunded order's day (its own day where the order is not known), and from when until when that was known. An order that is told of, changed or cancelled
-- later changes no earlier period. Without a refund_id every event is a refund of its own: an order may be refunded twice.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='refund_key', on_schema_change='fail') }}

with refund_events as (
    select
        stg_events.*,
        event_evidence.evidence_id,
        event_evidence.ordered_at as evidence_at,
        {{ refund_key('stg_events') }} as refund_key,
        {{ order_key('stg_events') }} as told_order_key
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

order_versions as (
    select * from {{ ref('order_versions') }}
),

changes as (
    select
        landed_seq,
        told_order_key,
        known_at as from_at
    from placed
    union
    select
        placed.landed_seq,
        placed.told_order_key,
        order_versions.known_at as from_at
    from placed
    inner join order_versions
        on
            placed.told_order_key = order_versions.order_key
            and placed.known_at < order_versions.known_at
            and (placed.replaced_at is null or order_versions.known_at < placed.replaced_at)
),

periods as (
    select
        *,
        lead(from_at) over (partition by landed_seq order by from_at) as next_at
    from changes
),

known_versions as (
    select
        order_versions.*,
        periods.landed_seq as refund_seq,
        periods.from_at,
        order_versions.known_until is null or order_versions.known_until > periods.from_at as is_standing
    from periods
    inner join order_versions on periods.told_order_key = order_versions.order_key and order_versions.known_at <= periods.from_at
),

orders as (
    select
        refund_seq,
        from_at,
        max(case when is_standing and not is_cancelled then order_key end) as order_key,
        {{ value_at_last('evidence_id', 'occurred_at, known_at, landed_seq', 'is_standing and not is_cancelled') }} as evidence_id,
        {{ value_at_last('evidence_at', 'occurred_at, known_at, landed_seq', 'is_standing and not is_cancelled') }} as evidence_at,
        min(ordered_at) as ordered_at,
        sum(case when is_standing and not is_cancelled then net_amount end) as net_amount,
        max(case when is_standing and is_cancelled then 1 else 0 end) as is_cancelled
    from known_versions
    group by refund_seq, from_at
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
        placed.known_at as told_at,
        periods.from_at as known_at,
        coalesce(periods.next_at, placed.replaced_at) as known_until,
        coalesce(orders.is_cancelled, 0) = 1 as is_cancelled,
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
    inner join periods on placed.landed_seq = periods.landed_seq
    left join totals on placed.landed_seq = totals.landed_seq
    left join orders on periods.landed_seq = orders.refund_seq and periods.from_at = orders.from_at
),

refund_versions as (
    select
        priced.refund_key,
        priced.order_key,
        priced.evidence_id,
        priced.evidence_at,
        priced.landed_seq,
        priced.refunded_at,
        priced.told_at,
        priced.known_at,
        priced.known_until,
        priced.is_cancelled,
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
