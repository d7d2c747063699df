-- One row per (customer, as_of_date) with a refund known by then.
with known_refunds as (
    select
        evidence_customers.customer_id,
        feature_dates.as_of_date,
        feature_dates.as_of,
        refunds.refunded_at,
        refunds.net_amount
    from {{ ref('refunds') }} as refunds
    inner join {{ source('control', 'feature_dates') }} as feature_dates
        on refunds.known_at < feature_dates.as_of and refunds.refunded_at < feature_dates.as_of
    inner join {{ ref('evidence_customers') }} as evidence_customers
        on refunds.evidence_id = evidence_customers.evidence_id and feature_dates.as_of = evidence_customers.as_of
),

refund_features as (
    select
        customer_id,
        as_of_date,
        count(*) as refund_count,
        cast(sum(net_amount) as double) as refund_amount,
        cast({{ sum_within('net_amount', 'refunded_at', 'as_of', 30) }} as double) as refund_amount_30d,
        cast({{ sum_within('net_amount', 'refunded_at', 'as_of', 90) }} as double) as refund_amount_90d,
        cast({{ sum_within('net_amount', 'refunded_at', 'as_of', 180) }} as double) as refund_amount_180d,
        cast({{ sum_within('net_amount', 'refunded_at', 'as_of', 365) }} as double) as refund_amount_365d
    from known_refunds
    group by customer_id, as_of_date
)

select * from refund_features
