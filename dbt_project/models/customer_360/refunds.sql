-- One row per refund that stands, in the reporting currency. It is the customer's who bought.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='refund_key', on_schema_change='fail') }}

with standing as (
    select
        *,
        row_number() over (partition by refund_key order by refunded_at desc, told_at desc, landed_seq desc) as newest
    from {{ ref('refund_versions') }} as refund_versions
    where refund_versions.known_until is null and not refund_versions.is_cancelled {{ and_touched('refund_key', 'refund_versions.refund_key') }}
),

totals as (
    select
        refund_key,
        min(refunded_at) as refunded_at,
        min(told_at) as known_at,
        sum(net_amount) as net_amount
    from standing
    group by refund_key
),

refunds as (
    select
        standing.refund_key,
        standing.order_key,
        evidence_customers.customer_id,
        standing.evidence_id,
        standing.landed_seq,
        totals.refunded_at,
        totals.known_at,
        cast(totals.net_amount as decimal(18, 4)) as net_amount
    from standing
    inner join totals on standing.refund_key = totals.refund_key
    left join {{ ref('evidence_customers') }} as evidence_customers
        on
            standing.evidence_id = evidence_customers.evidence_id
            and {{ is_owner_at('evidence_customers', 'standing.evidence_at') }}
    where standing.newest = 1
)

select * from refunds
