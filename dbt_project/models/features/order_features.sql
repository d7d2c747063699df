-- One row per (customer, as_of_date) with an order known by then: what it had bought, as the orders stood and as the identity was known then.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key=['customer_id', 'as_of_date'], on_schema_change='fail') }}

with known_evidence as (
    select * from {{ ref('known_evidence') }}
),

known_orders as (
    select
        known_evidence.customer_id,
        known_evidence.as_of_date,
        known_evidence.as_of,
        order_versions.order_key,
        min(order_versions.ordered_at) as ordered_at,
        sum(order_versions.net_amount) as net_amount,
        sum(order_versions.discount_amount) as discount_amount
    from {{ ref('order_versions') }} as order_versions
    inner join known_evidence
        on
            order_versions.evidence_id = known_evidence.evidence_id
            and {{ is_owner_at('known_evidence', 'order_versions.evidence_at') }}
    where
        {{ stands_at('order_versions', 'known_evidence.as_of') }} and not order_versions.is_cancelled
        {{ and_redone_at_date('customer_id', 'known_evidence') }}
    group by known_evidence.customer_id, known_evidence.as_of_date, known_evidence.as_of, order_versions.order_key
),

order_features as (
    select
        customer_id,
        as_of_date,
        max(as_of) as as_of,
        count(*) as order_count,
        count(distinct cast(ordered_at as date)) as order_day_count,
        min(ordered_at) as first_order_at,
        max(ordered_at) as last_order_at,
        {{ count_within('ordered_at', 'as_of', 30) }} as order_count_30d,
        {{ count_within('ordered_at', 'as_of', 90) }} as order_count_90d,
        {{ count_within('ordered_at', 'as_of', 365) }} as order_count_365d,
        cast(sum(net_amount) as float8) as order_amount,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 30) }} as float8) as order_amount_30d,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 90) }} as float8) as order_amount_90d,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 180) }} as float8) as order_amount_180d,
        cast({{ sum_within('net_amount', 'ordered_at', 'as_of', 365) }} as float8) as order_amount_365d,
        cast(sum(discount_amount) as float8) as discount_amount
    from known_orders
    group by customer_id, as_of_date
)

select * from order_features
