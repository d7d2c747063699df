-- One row per order that stands, in the reporting currency: merchandise after discount, without tax and shipping, before refunds.
-- A cancelled order is none: neither it nor its refunds count.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='order_key', on_schema_change='fail') }}

with order_versions as (
    select * from {{ ref('order_versions') }} as order_versions
    where true {{ and_touched('order_key', 'order_versions.order_key') }}
),

first_told as (
    select
        order_key,
        min(ordered_at) as ordered_at,
        min(known_at) as known_at
    from order_versions
    group by order_key
),

standing as (
    select
        *,
        row_number() over (partition by order_key order by occurred_at desc, known_at desc, landed_seq desc) as newest
    from order_versions
    where known_until is null and not is_cancelled
),

totals as (
    select
        order_key,
        sum(item_count) as item_count,
        sum(net_amount) as net_amount,
        sum(discount_amount) as discount_amount
    from standing
    group by order_key
),

orders as (
    select
        standing.order_key,
        evidence_customers.customer_id,
        standing.evidence_id,
        standing.evidence_at,
        standing.landed_seq,
        standing.source,
        standing.order_id,
        standing.channel,
        first_told.ordered_at,
        first_told.known_at,
        standing.currency,
        totals.item_count,
        cast(totals.net_amount as decimal(18, 4)) as net_amount,
        cast(totals.discount_amount as decimal(18, 4)) as discount_amount
    from standing
    inner join totals on standing.order_key = totals.order_key
    inner join first_told on standing.order_key = first_told.order_key
    left join {{ ref('evidence_customers') }} as evidence_customers
        on
            standing.evidence_id = evidence_customers.evidence_id
            and {{ is_owner_at('evidence_customers', 'standing.evidence_at') }}
    where standing.newest = 1
)

select * from orders
