-- One row per (customer, as_of_date, order, line) that stood and was known to be the customer's then: what it had bought. Recommendations read it.
{{ config(materialized='view') }}

with order_versions as (
    select * from {{ ref('order_versions') }}
    where not is_cancelled
),

lines as (
    {{ product_lines('order_versions') }}
),

known_purchases as (
    select
        known_evidence.customer_id,
        known_evidence.as_of_date,
        order_versions.order_key,
        lines.product_id,
        order_versions.ordered_at
    from order_versions
    inner join lines on order_versions.landed_seq = lines.landed_seq
    inner join {{ ref('known_evidence') }} as known_evidence
        on
            order_versions.evidence_id = known_evidence.evidence_id
            and {{ is_owner_at('known_evidence', 'order_versions.evidence_at') }}
    where {{ stands_at('order_versions', 'known_evidence.as_of') }} and lines.product_id is not null
)

select * from known_purchases
