-- One row per event that says how an order stands (completed, updated, cancelled; or some of its lines): what it says, and from when until when that stood.
-- An update without a completed order counts as the order: its completion was lost, its money was not.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='order_key', on_schema_change='fail') }}

with order_events as (
    select
        stg_events.*,
        event_evidence.evidence_id,
        event_evidence.ordered_at as evidence_at,
        {{ order_key('stg_events') }} as order_key,
        row_number() over (
            partition by stg_events.source, stg_events.order_id order by stg_events.known_at, stg_events.landed_seq
        ) as known_rank
    from {{ ref('stg_events') }} as stg_events
    left join {{ ref('event_evidence') }} as event_evidence on stg_events.landed_seq = event_evidence.landed_seq
    where
        stg_events.event in ('Order Completed', 'Order Updated', 'Order Cancelled')
        and stg_events.order_id is not null
        and stg_events.known_at < {{ as_of() }}
        {{ and_touched('order_key', order_key('stg_events')) }}
),

placed as (
    select
        *,
        event = 'Order Cancelled' as is_cancelled,
        {{ replaced_at('order_key') }} as known_until,
        {{ newest_evidence('order_key') }} as evidence_rank,
        -- an order is of the day it was first told of, however often it is updated
        min(occurred_at) over (partition by order_key order by known_rank rows unbounded preceding) as ordered_at
    from order_events
),

totals as (
    {{ product_totals('placed') }}
),

rates as (
    select * from {{ ref('stg_exchange_rates') }}
),

priced as (
    select
        placed.order_key,
        coalesce(placed.evidence_id, identified.evidence_id) as evidence_id,
        coalesce(placed.evidence_at, identified.evidence_at) as evidence_at,
        placed.landed_seq,
        placed.source,
        placed.order_id,
        placed.channel,
        placed.occurred_at,
        placed.ordered_at,
        placed.known_at,
        placed.known_until,
        placed.is_cancelled,
        coalesce(placed.currency, {{ reporting_currency() }}) as currency,
        coalesce(totals.item_count, 0) as item_count,
        case
            when placed.is_partial then coalesce(totals.gross_amount - totals.discount_amount, placed.revenue, placed.total, 0)
            else coalesce(
                placed.revenue,
                -- a total that stands alone may hold tax and shipping: then the lines are nearer to net
                case
                    when placed.tax is not null or placed.shipping is not null
                        then placed.total - coalesce(placed.tax, 0) - coalesce(placed.shipping, 0)
                end,
                nullif(totals.gross_amount, 0) - greatest(totals.discount_amount, coalesce(placed.discount, 0)),
                placed.total,
                0
            )
        end as net_amount_in_currency,
        -- the discount of the order is that of all its lines, given once more
        case
            when placed.is_partial then coalesce(totals.discount_amount, placed.discount, 0)
            else greatest(coalesce(totals.discount_amount, 0), coalesce(placed.discount, 0))
        end as discount_in_currency,
        placed.products
    from placed
    left join totals on placed.landed_seq = totals.landed_seq
    left join order_events as identified on placed.order_key = identified.order_key and placed.evidence_rank = identified.known_rank
),

order_versions as (
    select
        priced.order_key,
        priced.evidence_id,
        priced.evidence_at,
        priced.landed_seq,
        priced.source,
        priced.order_id,
        priced.channel,
        priced.occurred_at,
        priced.ordered_at,
        priced.known_at,
        priced.known_until,
        priced.is_cancelled,
        priced.currency,
        cast(priced.item_count as float8) as item_count,
        {{ in_reporting_currency('priced.net_amount_in_currency', 'own.rate', 'reporting.rate') }} as net_amount,
        {{ in_reporting_currency('priced.discount_in_currency', 'own.rate', 'reporting.rate') }} as discount_amount,
        priced.products
    from priced
    inner join rates as own
        on priced.currency = own.currency and cast(priced.ordered_at as date) >= own.from_date and cast(priced.ordered_at as date) < own.until_date
    inner join rates as reporting
        on
            reporting.currency = {{ reporting_currency() }}
            and cast(priced.ordered_at as date) >= reporting.from_date
            and cast(priced.ordered_at as date) < reporting.until_date
)

select * from order_versions
