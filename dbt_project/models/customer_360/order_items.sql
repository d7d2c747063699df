-- One row per line of an order as it stands. An order that came whole is its newest event; lines that came one by one are added up.
{{ config(materialized='incremental', incremental_strategy='touched', unique_key='order_key', on_schema_change='fail') }}

with standing as (
    select * from {{ ref('order_versions') }} as order_versions
    where order_versions.known_until is null and not order_versions.is_cancelled {{ and_touched('order_key', 'order_versions.order_key') }}
),

lines as (
    {{ product_lines('standing') }}
),

order_items as (
    select
        standing.order_key,
        standing.landed_seq,
        lines.product_id,
        lines.product_name,
        lines.category,
        standing.ordered_at,
        standing.known_at,
        standing.currency,
        lines.quantity,
        lines.price_amount,
        lines.discount_amount
    from standing
    inner join lines on standing.landed_seq = lines.landed_seq
)

select * from order_items
