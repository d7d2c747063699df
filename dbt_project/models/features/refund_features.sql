-- One row per (customer, as_of_date) with a refund known by then.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key=['customer_id', 'as_of_date'], on_schema_change='fail') }}

with known_refunds as (
    select
        known_evidence.customer_id,
        known_evidence.as_of_date,
        known_evidence.as_of,
        refund_versions.refund_key,
        min(refund_versions.refunded_at) as refunded_at,
        sum(refund_versions.net_amount) as net_amount
    from {{ ref('refund_versions') }} as refund_versions
    inner join {{ ref('known_evidence') }} as known_evidence
        on
            refund_versions.evidence_id = known_evidence.evidence_id
            and {{ is_owner_at('known_evidence', 'refund_versions.evidence_at') }}
    where
        {{ stands_at('refund_versions', 'known_evidence.as_of') }} and not refund_versions.is_cancelled
        {{ and_redone_at_date('customer_id', 'known_evidence') }}
    group by known_evidence.customer_id, known_evidence.as_of_date, known_evidence.as_of, refund_versions.refund_key
),

refund_features as (
    select
        customer_id,
        as_of_date,
        count(*) as refund_count,
        {{ count_within('refunded_at', 'as_of', 90) }} as refund_count_90d,
        cast(sum(net_amount) as float8) as refund_amount,
        cast({{ sum_within('net_amount', 'refunded_at', 'as_of', 30) }} as float8) as refund_amount_30d,
        cast({{ sum_within('net_amount', 'refunded_at', 'as_of', 90) }} as float8) as refund_amount_90d,
        cast({{ sum_within('net_amount', 'refunded_at', 'as_of', 180) }} as float8) as refund_amount_180d,
        cast({{ sum_within('net_amount', 'refunded_at', 'as_of', 365) }} as float8) as refund_amount_365d
    from known_refunds
    group by customer_id, as_of_date
)

select * from refund_features
