-- One row per (customer, as_of_date) with a bought product known by then: how broad its taste is.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key=['customer_id', 'as_of_date'], on_schema_change='fail') }}

with order_versions as (
    select * from {{ ref('order_versions') }}
    where not is_cancelled
),

lines as (
    {{ product_lines('order_versions') }}
),

known_items as (
    select
        known_evidence.customer_id,
        known_evidence.as_of_date,
        order_versions.order_key,
        lines.product_id,
        lines.category
    from order_versions
    inner join lines on order_versions.landed_seq = lines.landed_seq
    inner join {{ ref('known_evidence') }} as known_evidence
        on
            order_versions.evidence_id = known_evidence.evidence_id
            and {{ is_owner_at('known_evidence', 'order_versions.evidence_at') }}
    where {{ stands_at('order_versions', 'known_evidence.as_of') }} {{ and_redone_at_date('customer_id', 'known_evidence') }}
),

product_features as (
    select
        customer_id,
        as_of_date,
        count(distinct product_id) as distinct_product_count,
        count(distinct category) as distinct_category_count,
        count(distinct order_key || ':' || product_id) as ordered_product_count
    from known_items
    group by customer_id, as_of_date
)

select * from product_features
