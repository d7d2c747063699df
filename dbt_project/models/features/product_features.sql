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
        known_evidence.as_of,
        order_versions.order_key,
        order_versions.ordered_at,
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

products as (
    select
        customer_id,
        as_of_date,
        count(distinct order_key) as order_count
    from known_items
    where product_id is not null
    group by customer_id, as_of_date, product_id
),

bought as (
    select
        customer_id,
        as_of_date,
        count(*) as distinct_product_count,
        sum(order_count) as ordered_product_count
    from products
    group by customer_id, as_of_date
),

categories as (
    select
        customer_id,
        as_of_date,
        max(as_of) as as_of,
        count(*) as line_count,
        max(ordered_at) as last_ordered_at
    from known_items
    where category is not null
    group by customer_id, as_of_date, category
),

tastes as (
    select
        customer_id,
        as_of_date,
        count(*) as distinct_category_count,
        {{ count_within('last_ordered_at', 'as_of', 90) }} as category_count_90d,
        sum(line_count) as categorised_line_count,
        max(line_count) as top_category_line_count
    from categories
    group by customer_id, as_of_date
),

product_features as (
    select
        coalesce(bought.customer_id, tastes.customer_id) as customer_id,
        coalesce(bought.as_of_date, tastes.as_of_date) as as_of_date,
        coalesce(bought.distinct_product_count, 0) as distinct_product_count,
        cast(coalesce(bought.ordered_product_count, 0) as bigint) as ordered_product_count,
        coalesce(tastes.distinct_category_count, 0) as distinct_category_count,
        coalesce(tastes.category_count_90d, 0) as category_count_90d,
        cast(coalesce(tastes.categorised_line_count, 0) as bigint) as categorised_line_count,
        coalesce(tastes.top_category_line_count, 0) as top_category_line_count
    from bought
    full outer join tastes on bought.customer_id = tastes.customer_id and bought.as_of_date = tastes.as_of_date
)

select * from product_features
